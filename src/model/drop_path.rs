//! Stochastic depth (Huang et al., 2016): in training, photos skip residual branches at random.

use burn::tensor::{Device, Tensor, TensorData};

/// What a branch adds for each photo: 0, or `1 / (1 - probability)` so that the mean stays; `[B, 1, 1]`.
type Factors = Tensor<3>;

/// Which branches each photo of a training step keeps, in the SA stream and in the PWCA stream.
///
/// The probability of being dropped rises linearly from 0 in the first block to `rate` in the last (paper, section 3.2);
/// a block's attention and its MLP are dropped apart. GLCA's block, which looks at the last one's tokens, is kept.
#[derive(Debug, Clone)]
pub struct DropPath {
    streams: [Vec<[Factors; 2]>; 2],
}

impl DropPath {
    /// Draws for `depth` blocks and `batch` photos; `uniform` gives the next number in `[0, 1)` of a photo.
    pub fn draw(rate: f64, depth: usize, batch: usize, device: &Device, uniform: &mut dyn FnMut(usize) -> f64) -> Self {
        let mut factors = |probability: f64| {
            let kept = (1.0 / (1.0 - probability)) as f32;
            let values = (0..batch).map(|photo| if uniform(photo) < probability { 0.0 } else { kept }).collect();
            Tensor::from_data(TensorData::new::<f32, _>(values, [batch, 1, 1]), device)
        };
        let mut stream = || {
            let probability = |block: usize| rate * block as f64 / (depth - 1).max(1) as f64;
            (0..depth).map(|block| [factors(probability(block)), factors(probability(block))]).collect()
        };
        Self { streams: [stream(), stream()] }
    }

    /// Factors of attention and MLP of block `block` in the SA stream.
    pub(super) fn sa(&self, block: usize) -> Option<&[Factors; 2]> {
        self.streams[0].get(block)
    }

    /// The same in the PWCA stream.
    pub(super) fn pwca(&self, block: usize) -> Option<&[Factors; 2]> {
        self.streams[1].get(block)
    }
}

/// What a residual branch `[B, T, D]` adds, after stochastic depth.
pub(super) fn kept(branch: Tensor<3>, factors: Option<&Factors>) -> Tensor<3> {
    match factors {
        Some(factors) => branch * factors.clone(),
        None => branch,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::{Architecture, Mechanism};
    use crate::model::{Network, host};

    fn network(depth: usize) -> Network {
        let architecture = Architecture {
            resnet: None,
            hybrid: None,
            image_size: [4, 4],
            patch_size: 2,
            dim: 4,
            depth,
            heads: 1,
            mlp_ratio: 2,
            layer_norm_eps: 1e-6,
            classes: 2,
            mechanism: Mechanism::None,
        };
        let weights = crate::model::random::weights(&architecture, 1.0, 7);
        Network::new(&architecture, &Device::flex()).load(&weights).unwrap()
    }

    #[test]
    fn the_last_block_is_dropped_most_and_the_mean_stays() {
        let mut next = 0;
        let drop = DropPath::draw(0.5, 3, 400, &Device::flex(), &mut |_| {
            next += 1;
            f64::from(next % 97) / 97.0
        });
        let mut shares = Vec::new();
        for block in 0..3 {
            let [attention, mlp] = drop.sa(block).unwrap().clone();
            for factors in [attention, mlp] {
                let values = host(factors);
                assert!((values.iter().sum::<f32>() / 400.0 - 1.0).abs() < 0.1, "block {block}");
                shares.push(values.iter().filter(|v| **v == 0.0).count() as f64 / 400.0);
            }
        }
        for (share, expected) in shares.iter().zip([0.0, 0.0, 0.25, 0.25, 0.5, 0.5]) {
            assert!((share - expected).abs() < 0.05, "{shares:?}");
        }
        assert!(drop.pwca(2).is_some() && drop.sa(3).is_none());
    }

    #[test]
    fn a_dropped_block_leaves_its_photo_as_it_is() {
        let network = network(2);
        let images: Vec<f32> = (0..2 * 48).map(|i| (i as f32 * 0.7).sin()).collect();
        let images = network.images(&images, &Device::flex());
        // The first photo drops everything that can be dropped (block 1), the second nothing.
        let drop = DropPath::draw(0.5, 2, 2, &Device::flex(), &mut |photo| photo as f64 * 0.9);
        let vit = network.backbone.vit().unwrap();
        let tokens = vit.tokens_after(images.clone(), Some(&drop), &mut |_, tokens| tokens);
        let plain = vit.tokens(images);
        let rows = |tensor: &Tensor<3>| host(tensor.clone());
        let (first, last, usual) = (rows(&tokens.blocks[0]), rows(&tokens.blocks[1]), rows(&plain.blocks[1]));
        let half = first.len() / 2;
        assert_eq!(first, rows(&plain.blocks[0]), "the first block is never dropped");
        assert_eq!(first[..half], last[..half]);
        assert!(last[half..].iter().zip(&usual[half..]).any(|(a, b)| (a - b).abs() > 1e-3), "kept branches are scaled");
    }
}

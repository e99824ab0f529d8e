//! Networks of many shapes with the burn model as reference, and the parts of a network written out in f64.

use burn::tensor::Device;
use finegrain::architecture::{Architecture, Dcal, Mechanism, Mixing, RectifyBlocks, RgaBlocks, TasnBlocks};
use finegrain::compare::reals;
use finegrain::engine::{Engine, Gpu};
use finegrain::model::{Forward, Network};
use finegrain::tensors::TensorMap;
use pollster::block_on;

/// Relative norm of what f32 may differ.
pub(crate) const TOLERANCE: f64 = 2e-5;

/// 50, 197 and 785 tokens, the smallest network there can be, odd heads, an image that is not square, no GLCA, RGA's gates, the
/// modules of Attend and Rectify, TASN's second pass, pairs, hybrids.
pub(crate) fn architectures() -> Vec<Architecture> {
    let dcal = |ratio| Mechanism::Dcal(Dcal { ratio, glca: true, pwca: false, gates: None });
    let rga = |[spatial, channel]: [bool; 2], after: &[usize]| {
        Mechanism::Rga(RgaBlocks { ratio: 4, spatial, channel, after: after.to_vec() })
    };
    let rectify = |heads, after: &[usize]| {
        Mechanism::Rectify(RectifyBlocks { heads, after: after.to_vec(), mixing: Mixing::Softmax, gates: None })
    };
    let shape = |image_size, patch_size, dim, heads, depth, classes, mechanism| Architecture {
        resnet: None,
        hybrid: None,
        image_size,
        patch_size,
        dim,
        depth,
        heads,
        mlp_ratio: 2,
        layer_norm_eps: 1e-6,
        classes,
        mechanism,
    };
    let others = [
        shape([5, 5], 5, 7, 1, 1, 2, dcal(0.5)),
        shape([28, 28], 4, 33, 3, 2, 11, dcal(0.1)),
        shape([56, 56], 4, 20, 5, 3, 6, dcal(0.3)),
        shape([112, 112], 4, 18, 2, 1, 3, dcal(0.1)),
        shape([24, 40], 8, 24, 3, 2, 9, Mechanism::None),
        shape([24, 40], 8, 24, 3, 4, 9, rga([true, true], &[1, 3])),
        shape([28, 28], 4, 33, 3, 2, 5, rga([false, true], &[1])),
        shape([24, 40], 8, 24, 3, 4, 9, rectify(4, &[1, 3, 4])),
        shape([56, 56], 4, 20, 5, 2, 6, rectify(3, &[2])),
        shape([24, 40], 8, 24, 3, 3, 9, Mechanism::Tasn(TasnBlocks { after: 2, ..TasnBlocks::default() })),
    ];
    let pairs = crate::shapes::pairs().into_iter().filter(|pair| pair.resnet.is_none());
    let hybrids = crate::shapes::hybrids().into_iter().take(2);
    others.into_iter().chain(pairs).chain(hybrids).collect()
}

/// A network of that shape, its weights in timm's layout, and a photo.
pub(crate) struct Case {
    pub(crate) architecture: Architecture,
    pub(crate) network: Network,
    pub(crate) weights: TensorMap,
    pub(crate) image: Vec<f32>,
}

impl Case {
    pub(crate) fn new(architecture: Architecture) -> Self {
        let weights = crate::random::weights(&architecture, 1.0, 31);
        let network = Network::new(&architecture, &Device::flex()).load(&weights).unwrap();
        let [height, width] = architecture.input_size();
        let count = 3 * height * width;
        let image = (0..count).map(|i| (i as f32 * 0.37).sin() + (i as f32 * 0.011).cos()).collect();
        Self { architecture, network, weights, image }
    }

    pub(crate) fn forward(&self) -> Forward {
        self.network.forward(self.network.images(&self.image, &Device::flex()))
    }

    pub(crate) fn engine(&self) -> Engine {
        let gpu = block_on(Gpu::open()).unwrap();
        block_on(Engine::load(&gpu, &self.architecture, &self.weights)).unwrap()
    }

    /// The same network with another R.
    pub(crate) fn with_ratio(&self, ratio: f64) -> Network {
        let architecture = self.architecture.with_ratio(ratio).unwrap();
        Network::new(&architecture, &Device::flex()).load(&self.weights).unwrap()
    }

    pub(crate) fn weight(&self, name: &str) -> Vec<f64> {
        self.weights.reals(name).unwrap().iter().map(|&v| f64::from(v)).collect()
    }

    /// `W x + b` for each row of `x`, W in timm's layout `[out, in]`.
    pub(crate) fn linear(&self, name: &str, x: &[f64], inputs: usize) -> Vec<f64> {
        let (weight, bias) = (self.weight(&format!("{name}.weight")), self.weight(&format!("{name}.bias")));
        let row = |x: &[f64]| -> Vec<f64> {
            let dot = |row: &[f64]| row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
            weight.chunks_exact(inputs).zip(&bias).map(|(row, bias)| dot(row) + bias).collect()
        };
        x.chunks_exact(inputs).flat_map(row).collect()
    }

    pub(crate) fn norm(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let (gamma, beta) = (self.weight(&format!("{name}.weight")), self.weight(&format!("{name}.bias")));
        x.chunks_exact(gamma.len())
            .flat_map(|row| {
                let (mean, deviation) = self.moments(row);
                row.iter().zip(&gamma).zip(&beta).map(|((x, g), b)| (x - mean) / deviation * g + b).collect::<Vec<_>>()
            })
            .collect()
    }

    pub(crate) fn moments(&self, row: &[f64]) -> (f64, f64) {
        let mean = row.iter().sum::<f64>() / row.len() as f64;
        let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / row.len() as f64;
        (mean, (variance + f64::from(self.architecture.layer_norm_eps)).sqrt())
    }
}

pub(crate) fn close(what: &str, found: &[f32], expected: &[f32]) {
    let difference = reals(found, expected).rel_norm;
    assert!(difference <= TOLERANCE, "{what}: {difference:.2e}");
}

/// The same local queries in the same order, but for those whose rollout differs by no more than f32 may: `rollout` is the
/// truth's, `[N + 1]`.
pub(crate) fn same_order(what: &str, found: &[u32], expected: &[u32], rollout: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (place, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let [found, expected] = [found, expected].map(|token| f64::from(rollout[token as usize]));
        assert!((found - expected).abs() <= TOLERANCE * expected, "{what}, place {place}: {found} for {expected}");
    }
}

pub(crate) fn host<const D: usize>(tensor: burn::tensor::Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// The tokens before block `layer`, `[T, D]`.
pub(crate) fn block_input(forward: &Forward, layer: usize) -> Vec<f64> {
    let tokens = forward.tokens.as_ref().unwrap();
    let x = if layer == 0 { &tokens.embed } else { &tokens.blocks[layer - 1] };
    host(x.clone()).iter().map(|&v| f64::from(v)).collect()
}

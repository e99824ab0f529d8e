//! Weights for training without pretrained ones, from the recipe's seed alone: burn draws its own from a source that
//! the whole process shares.

use finegrain::tensors::{Tensor, TensorMap, Values};
use rand::Rng;

use super::augment::source;

/// Replaces the random weights of a fresh network: matrices and kernels `[out, ...]` are normal with Glorot's variance
/// `2 / (in + out)`, those of a residual network with He's over the outputs, class token and position embedding normal with 0.02; norms, biases and the classifiers, which
/// start at zero, stay. GLCA is taken out, so that `adapt` starts it as a copy of the last block.
pub(super) fn reseed(weights: &TensorMap, seed: u64) -> TensorMap {
    let mut random = source(seed, 0, u32::MAX as usize - 1);
    let mut result = TensorMap::default();
    let copied = |name: &str| name.starts_with("glca") && !name.starts_with("glca_bottleneck");
    for (name, tensor) in weights.iter().filter(|(name, _)| !copied(name)) {
        let count: usize = tensor.shape.iter().product();
        let deviation = match (name, tensor.shape.first()) {
            ("cls_token" | "pos_embed", _) => Some(0.02),
            (name, Some(_)) if is_convolution(name, tensor) => {
                let inputs = tensor.shape.get(1).map_or(1, |&inputs| inputs.max(1));
                Some((2.0 / (count / inputs) as f64).sqrt())
            }
            (_, Some(&out)) if tensor.shape.len() > 1 && !is_classifier(name) => {
                Some((2.0 / (out + count / out) as f64).sqrt())
            }
            _ => None,
        };
        let tensor = match deviation {
            Some(deviation) => {
                let values = (0..count).map(|_| (deviation * normal(&mut random)) as f32).collect();
                Tensor { shape: tensor.shape.clone(), values: Values::F32(values) }
            }
            None => tensor.clone(),
        };
        result.insert(name, tensor);
    }
    result
}

/// The convolutions of a residual network or of a hybrid.
fn is_convolution(name: &str, tensor: &Tensor) -> bool {
    let of_any = ["conv1.", "layer", "patch_embed.backbone."];
    tensor.shape.len() == 4 && of_any.iter().any(|start| name.starts_with(start))
}

/// What starts at zero: every classifier (`head.`, `glca_head.`, TASN's), and what the modules of Attend and Rectify think of
/// each class.
fn is_classifier(name: &str) -> bool {
    name.contains("head.") || name.starts_with("rectify.") && name.ends_with(".output")
}

/// A standard normal number (Box and Muller).
fn normal(random: &mut impl Rng) -> f64 {
    let (u, v): (f64, f64) = (1.0 - random.random::<f64>(), random.random());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_decides_and_constants_stay() {
        let mut fresh = TensorMap::default();
        fresh.insert("blocks.0.mlp.fc1.weight", Tensor::f32([200, 100], vec![9.0; 20_000]));
        fresh.insert("head.weight", Tensor::f32([3, 4], vec![0.0; 12]));
        fresh.insert("norm.weight", Tensor::f32([4], vec![1.0; 4]));
        fresh.insert("glca.norm1.weight", Tensor::f32([4], vec![1.0; 4]));
        let (a, b) = (reseed(&fresh, 1), reseed(&fresh, 2));
        assert_eq!(a, reseed(&fresh, 1));
        assert_ne!(a.get("blocks.0.mlp.fc1.weight"), b.get("blocks.0.mlp.fc1.weight"));
        assert_eq!((a.get("head.weight"), a.get("norm.weight")), (fresh.get("head.weight"), fresh.get("norm.weight")));
        assert!(a.get("glca.norm1.weight").is_none());
        let values = a.reals("blocks.0.mlp.fc1.weight").unwrap();
        let mean = values.iter().sum::<f32>() / 20_000.0;
        let variance = values.iter().map(|v| v * v).sum::<f32>() / 20_000.0;
        assert!(mean.abs() < 0.003 && (variance * 150.0 - 1.0).abs() < 0.05, "{mean} {variance}");
    }
}

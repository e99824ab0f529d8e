//! Pretrained weights for another task: new classifier, GLCA from the last block, other input sizes.

use crate::architecture::{Architecture, Mechanism};
use crate::tensors::{Tensor, TensorError, TensorMap};

/// Makes weights for `architecture` out of pretrained ones (timm's names).
///
/// - A position embedding of another grid is interpolated ([`resample_position_embedding`]).
/// - A classifier with another number of classes starts at zero.
/// - Without `glca.*`, the GLCA block starts as a copy of the last block and its norm as a copy of the final norm;
///   its classifier is treated like the head. `loss_log_var` starts at 0.
/// - Without `tasn.norm.*`, TASN's norm (on a transformer) starts as a copy of the final norm; its classifiers are treated like the head.
///
/// # Errors
/// [`TensorError::Missing`] when what GLCA or the position embedding starts from is not there. Other mismatches are
/// found when the result is loaded.
pub fn adapt(pretrained: &TensorMap, architecture: &Architecture) -> Result<TensorMap, TensorError> {
    let mut weights = pretrained.clone();
    if architecture.resnet.is_none() {
        fit_positions(pretrained, &mut weights, architecture)?;
    }
    start_head(&mut weights, "head", architecture, architecture.dim);
    if let Mechanism::Dcal(dcal) = &architecture.mechanism {
        if dcal.glca {
            if pretrained.get("glca.norm1.weight").is_none() {
                copy(&mut weights, &format!("blocks.{}.", architecture.depth - 1), "glca.");
            }
            if pretrained.get("glca_norm.weight").is_none() {
                copy(&mut weights, "norm.", "glca_norm.");
            }
            start_head(&mut weights, "glca_head", architecture, architecture.dim);
        }
        if pretrained.get("loss_log_var").is_none() {
            weights.insert("loss_log_var", Tensor::f32([3], vec![0.0; 3]));
        }
    }
    if let Some(tasn) = architecture.tasn() {
        if architecture.resnet.is_none() && pretrained.get("tasn.norm.weight").is_none() {
            copy(&mut weights, "norm.", "tasn.norm.");
        }
        start_head(&mut weights, "tasn.attention_head", architecture, architecture.map_behind(tasn.after).channels);
        start_head(&mut weights, "tasn.part_head", architecture, architecture.dim);
    }
    Ok(weights)
}

/// The position embedding for another grid, where it is of another one.
fn fit_positions(
    pretrained: &TensorMap,
    weights: &mut TensorMap,
    architecture: &Architecture,
) -> Result<(), TensorError> {
    let tokens = architecture.tokens();
    let found = pretrained.get("pos_embed").ok_or_else(|| TensorError::Missing("pos_embed".into()))?;
    if found.shape.len() == 3 && found.shape[1] != tokens && found.shape[2] == architecture.dim {
        let values = resample_position_embedding(pretrained.reals("pos_embed")?, architecture.dim, architecture.grid());
        let values = values.ok_or_else(|| TensorError::Shape {
            name: "pos_embed".into(),
            found: found.shape.clone(),
            expected: vec![1, tokens, architecture.dim],
        })?;
        weights.insert("pos_embed", Tensor::f32([1, tokens, architecture.dim], values));
    }
    Ok(())
}

/// Zero weights unless a classifier of the right size is there, over `inputs` channels.
fn start_head(weights: &mut TensorMap, name: &str, architecture: &Architecture, inputs: usize) {
    let shape = [architecture.classes, inputs];
    let fits = weights.get(&format!("{name}.weight")).is_some_and(|tensor| tensor.shape == shape);
    if !fits {
        weights.insert(format!("{name}.weight"), Tensor::f32(shape, vec![0.0; shape[0] * shape[1]]));
        weights.insert(format!("{name}.bias"), Tensor::f32([shape[0]], vec![0.0; shape[0]]));
    }
}

/// Copies every tensor under one prefix to another.
fn copy(weights: &mut TensorMap, from: &str, to: &str) {
    for (name, tensor) in weights.under(from).iter() {
        weights.insert(format!("{to}{name}"), tensor.clone());
    }
}

/// A position embedding `[1, 1 + n^2, D]` of a square grid, interpolated to `grid` (rows, columns): antialiased
/// bicubic with half-pixel centres and a = -0.5 as in timm; the class token's row is kept. Returns
/// `[1, 1 + rows * columns, D]`, or `None` where the length is that of no square grid.
pub fn resample_position_embedding(values: &[f32], dim: usize, grid: [usize; 2]) -> Option<Vec<f32>> {
    let tokens = (values.len() / dim).checked_sub(1)?;
    let side = tokens.isqrt();
    if side == 0 || side * side != tokens || !values.len().is_multiple_of(dim) {
        return None;
    }
    let [rows, columns] = grid;
    let patches = &values[dim..];
    let (down, across) = (weights_along(side, rows), weights_along(side, columns));
    let mut result = values[..dim].to_vec();
    for row in &down {
        for column in &across {
            let start = result.len();
            result.resize(start + dim, 0.0);
            for &(y, wy) in row {
                for &(x, wx) in column {
                    let source = &patches[(y * side + x) * dim..][..dim];
                    for (out, value) in result[start..].iter_mut().zip(source) {
                        *out += (wy * wx) as f32 * value;
                    }
                }
            }
        }
    }
    Some(result)
}

/// For each of `to` positions: which of `from` positions it is made of, with weights that sum to 1.
fn weights_along(from: usize, to: usize) -> Vec<Vec<(usize, f64)>> {
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    (0..to)
        .map(|i| {
            let centre = (i as f64 + 0.5) * scale;
            let raw: Vec<(usize, f64)> =
                (0..from).map(|j| (j, cubic((j as f64 + 0.5 - centre) / stretch))).filter(|(_, w)| *w != 0.0).collect();
            let sum: f64 = raw.iter().map(|(_, w)| w).sum();
            raw.into_iter().map(|(j, w)| (j, w / sum)).collect()
        })
        .collect()
}

/// The cubic convolution kernel with a = -0.5.
fn cubic(x: f64) -> f64 {
    let (a, x) = (-0.5, x.abs());
    if x < 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * a
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_grid_is_unchanged_and_a_constant_stays_constant() {
        let values: Vec<f32> = (0..(1 + 16) * 3).map(|i| (i as f32 * 0.37).sin()).collect();
        let same = resample_position_embedding(&values, 3, [4, 4]).unwrap();
        assert!(same.iter().zip(&values).all(|(a, b)| (a - b).abs() < 1e-6));
        let constant = resample_position_embedding(&[0.5; 17], 1, [7, 5]).unwrap();
        assert_eq!(constant.len(), 36);
        assert!(constant.iter().all(|v| (v - 0.5).abs() < 1e-6));
    }

    #[test]
    fn a_ramp_stays_a_ramp_inside() {
        let values: Vec<f32> = std::iter::once(9.0).chain((0..64).map(|i| (i % 8) as f32)).collect();
        let doubled = resample_position_embedding(&values, 1, [8, 16]).unwrap();
        assert_eq!(doubled[0], 9.0, "the class token is kept");
        for x in 5..11 {
            assert!((doubled[1 + 16 * 3 + x] - (x as f32 * 0.5 - 0.25)).abs() < 1e-5);
        }
    }

    #[test]
    fn a_length_of_no_square_grid_is_refused() {
        assert!(resample_position_embedding(&[0.0; 6], 1, [2, 2]).is_none());
    }

    #[test]
    fn glca_starts_as_the_last_block_and_heads_at_zero() {
        let mut pretrained = TensorMap::default();
        pretrained.insert("pos_embed", Tensor::f32([1, 5, 2], vec![0.1; 10]));
        pretrained.insert("blocks.1.norm1.weight", Tensor::f32([2], vec![3.0, 4.0]));
        pretrained.insert("norm.weight", Tensor::f32([2], vec![5.0, 6.0]));
        let architecture = Architecture {
            resnet: None,
            hybrid: None,
            image_size: [4, 4],
            patch_size: 2,
            dim: 2,
            depth: 2,
            heads: 1,
            mlp_ratio: 4,
            layer_norm_eps: 1e-6,
            classes: 3,
            mechanism: Mechanism::Dcal(crate::architecture::Dcal { ratio: 0.5, glca: true, pwca: false, gates: None }),
        };
        let adapted = adapt(&pretrained, &architecture).unwrap();
        assert_eq!(adapted.reals("glca.norm1.weight").unwrap(), [3.0, 4.0]);
        assert_eq!(adapted.reals("glca_norm.weight").unwrap(), [5.0, 6.0]);
        assert_eq!(adapted.reals("head.weight").unwrap(), [0.0; 6]);
        assert_eq!(adapted.reals("glca_head.bias").unwrap(), [0.0; 3]);
    }
}

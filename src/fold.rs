//! Batch norm folded into the layer before it: at inference both are one linear map.

use std::borrow::Cow;

use crate::architecture::{Architecture, Rga};
use crate::tensors::{Tensor, TensorError, TensorMap};

/// Epsilon of every batch norm, PyTorch's.
pub const BATCH_NORM_EPSILON: f64 = 1e-5;

/// Weight `[out, in...]` and bias `[out]` of a layer without bias, named `layer`, and of the batch norm `norm` behind it
/// (`<norm>.weight`, `.bias`, `.running_mean`, `.running_var`).
///
/// # Errors
/// [`TensorError`] for a tensor that is missing, of another shape or not finite.
pub fn fold(weights: &TensorMap, layer: &str, norm: &str) -> Result<(Tensor, Tensor), TensorError> {
    let shape = weights.get(layer).ok_or_else(|| TensorError::Missing(layer.into()))?.shape.clone();
    let values = weights.weight(layer, &shape)?;
    let outputs = shape.first().copied().unwrap_or(0);
    let part = |name: &str| weights.weight(&format!("{norm}.{name}"), &[outputs]);
    let (gamma, beta, mean, variance) = (part("weight")?, part("bias")?, part("running_mean")?, part("running_var")?);
    let inner = values.len() / outputs.max(1);
    let (mut folded, mut bias) = (Vec::with_capacity(values.len()), Vec::with_capacity(outputs));
    for output in 0..outputs {
        let scale = f64::from(gamma[output]) / (f64::from(variance[output]) + BATCH_NORM_EPSILON).sqrt();
        let row = &values[output * inner..(output + 1) * inner];
        folded.extend(row.iter().map(|&w| (f64::from(w) * scale) as f32));
        bias.push((f64::from(beta[output]) - f64::from(mean[output]) * scale) as f32);
    }
    Ok((Tensor::f32(shape, folded), Tensor::f32([outputs], bias)))
}

/// The layers of RGA's gates on maps of `positions` and `channels`, named `<prefix><part>.<layer>` in `weights`, as
/// `.weight` `[out, in]` and `.bias` `[out]` in `folded`.
///
/// # Errors
/// As [`fold`].
pub fn fold_gates(
    weights: &TensorMap,
    prefix: &str,
    gates: &Rga,
    [positions, channels]: [usize; 2],
    folded: &mut TensorMap,
) -> Result<(), TensorError> {
    for (part, widths) in gates.parts(positions, channels) {
        for (layer, ..) in widths.layers() {
            let name = format!("{prefix}{part}.{layer}");
            let (weight, bias) = fold(weights, &format!("{name}.conv"), &format!("{name}.bn"))?;
            folded.insert(format!("{name}.weight"), weight);
            folded.insert(format!("{name}.bias"), bias);
        }
    }
    Ok(())
}

/// The weights of a network with every batch norm folded away: what engine and CPU path compute with. The global gates of Attend
/// and Rectify are `rectify.mix.weight` `[votes, D]` and `.bias` `[votes]` there.
///
/// # Errors
/// As [`fold`].
pub fn folded<'a>(architecture: &Architecture, weights: &'a TensorMap) -> Result<Cow<'a, TensorMap>, TensorError> {
    if architecture.rectify().is_some() {
        let mut folded = weights.clone();
        let (weight, bias) = fold(weights, "rectify.gates.weight", "rectify.gates.bn")?;
        folded.insert("rectify.mix.weight", weight);
        folded.insert("rectify.mix.bias", bias);
        return Ok(Cow::Owned(folded));
    }
    let Some(rga) = architecture.rga() else { return Ok(Cow::Borrowed(weights)) };
    let mut folded = weights.clone();
    for place in 0..rga.after.len() {
        let sizes = [architecture.patches(), architecture.dim];
        fold_gates(weights, &format!("rga.{place}."), &rga.gates(), sizes, &mut folded)?;
    }
    Ok(Cow::Owned(folded))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_layer_does_what_two_did() {
        let mut weights = TensorMap::default();
        weights.insert("conv", Tensor::f32([2, 1], vec![3.0, -2.0]));
        for (name, values) in
            [("weight", [2.0, 0.5]), ("bias", [0.1, 0.2]), ("running_mean", [1.0, -4.0]), ("running_var", [4.0, 0.25])]
        {
            weights.insert(format!("bn.{name}"), Tensor::f32([2], values.to_vec()));
        }
        let (weight, bias) = fold(&weights, "conv", "bn").unwrap();
        let mut folded = TensorMap::default();
        folded.insert("weight", weight);
        folded.insert("bias", bias);
        let x = 0.7f64;
        for (output, (w, gamma, beta, mean, variance)) in
            [(3.0, 2.0, 0.1, 1.0, 4.0f64), (-2.0, 0.5, 0.2, -4.0, 0.25)].into_iter().enumerate()
        {
            let two = (w * x - mean) / (variance + 1e-5).sqrt() * gamma + beta;
            let found = f64::from(folded.weight("weight", &[2, 1]).unwrap()[output]) * x
                + f64::from(folded.weight("bias", &[2]).unwrap()[output]);
            assert!((found - two).abs() < 1e-6, "{found} {two}");
        }
        weights.insert("bn.bias", Tensor::f32([3], vec![0.0; 3]));
        assert!(matches!(fold(&weights, "conv", "bn"), Err(TensorError::Shape { .. })));
        assert!(matches!(fold(&weights, "other", "bn"), Err(TensorError::Missing(_))));
    }
}

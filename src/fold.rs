//! What is done to weights once, before inference: a batch norm is folded into the layer before it (both are one linear map), the
//! weights of a hybrid's convolutions are standardised.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::architecture::{Architecture, Convolution, Hybrid, ResNet, Rga, WeightSpec};
use crate::tensors::{Tensor, TensorError, TensorMap};

/// Epsilon of every batch norm, PyTorch's.
pub const BATCH_NORM_EPSILON: f64 = 1e-5;

/// Epsilon of a hybrid's group norms, PyTorch's.
pub const GROUP_NORM_EPSILON: f64 = 1e-5;

/// Epsilon under the root by which the weights of a hybrid's convolutions are divided, that of the published weights.
pub const STANDARDISATION_EPSILON: f64 = 1e-8;

/// Weight `[out, in...]` and bias `[out]` of a layer without bias, named `layer`, and of the batch norm `norm` behind it
/// (`<norm>.weight`, `.bias`, `.running_mean`, `.running_var`).
///
/// # Errors
/// [`TensorError`] for a tensor that is missing, of another shape or not finite.
pub fn fold(weights: &TensorMap, layer: &str, norm: &str) -> Result<(Tensor, Tensor), TensorError> {
    let shape = weights.get(layer).ok_or_else(|| TensorError::Missing(layer.into()))?.shape.clone();
    let values = weights.weight(layer, &shape)?;
    let outputs = shape.first().copied().unwrap_or(0);
    let (scales, shifts) = scale_and_shift(weights, norm, outputs)?;
    let inner = values.len() / outputs.max(1);
    let mut folded = Vec::with_capacity(values.len());
    for (output, scale) in scales.iter().enumerate() {
        let row = &values[output * inner..(output + 1) * inner];
        folded.extend(row.iter().map(|&w| (f64::from(w) * scale) as f32));
    }
    Ok((Tensor::f32(shape, folded), narrow(&shifts)))
}

/// What the batch norm `norm` over `channels` multiplies with and adds at inference.
fn scale_and_shift(weights: &TensorMap, norm: &str, channels: usize) -> Result<(Vec<f64>, Vec<f64>), TensorError> {
    let part = |name: &str| weights.weight(&format!("{norm}.{name}"), &[channels]);
    let (gamma, beta, mean, variance) = (part("weight")?, part("bias")?, part("running_mean")?, part("running_var")?);
    let of = |channel: usize| {
        let scale = f64::from(gamma[channel]) / (f64::from(variance[channel]) + BATCH_NORM_EPSILON).sqrt();
        (scale, f64::from(beta[channel]) - f64::from(mean[channel]) * scale)
    };
    Ok((0..channels).map(of).unzip())
}

fn narrow(values: &[f64]) -> Tensor {
    Tensor::f32([values.len()], values.iter().map(|&value| value as f32).collect())
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

/// The convolutions of a residual network as `<name>.weight` `[out, in, side, side]` and `<name>.bias` `[out]` (0 where no norm is
/// behind it), the norms that stand before a ReLU as `<name>.scale` and `<name>.shift` `[C]`; all else as it is.
fn fold_resnet(resnet: &ResNet, weights: &TensorMap) -> Result<TensorMap, TensorError> {
    let (mut folded, mut gone) = (TensorMap::default(), BTreeSet::new());
    let blocks: Vec<_> = (0..resnet.blocks.len()).flat_map(|stage| resnet.stage(stage)).collect();
    let inside = blocks.iter().flat_map(|block| block.convolutions.iter().chain(&block.shortcut));
    for layer in std::iter::once(&resnet.first()).chain(inside) {
        let (name, bias) = (format!("{}.weight", layer.name), format!("{}.bias", layer.name));
        let Some(norm) = &layer.norm else {
            folded.insert(bias, Tensor::f32([layer.outputs], vec![0.0; layer.outputs]));
            continue;
        };
        let (weight, shift) = fold(weights, &name, norm)?;
        folded.insert(name.clone(), weight);
        folded.insert(bias, shift);
        gone.extend([name, format!("{norm}.")]);
    }
    for norm in blocks.iter().filter_map(|block| block.before.as_deref()).chain(resnet.last_norm()) {
        let channels = weights.reals(&format!("{norm}.weight"))?.len();
        let (scale, shift) = scale_and_shift(weights, norm, channels)?;
        folded.insert(format!("{norm}.scale"), narrow(&scale));
        folded.insert(format!("{norm}.shift"), narrow(&shift));
        gone.insert(format!("{norm}."));
    }
    for (name, tensor) in weights.iter() {
        let norm = name.rfind('.').map_or("", |dot| &name[..=dot]);
        if !gone.contains(name) && !gone.contains(norm) {
            folded.insert(name, tensor.clone());
        }
    }
    Ok(folded)
}

/// The weights of a network with every batch norm folded away: what the CPU path computes with. The global gates of Attend
/// and Rectify are `rectify.mix.weight` `[votes, D]` and `.bias` `[votes]` there; of a hybrid the convolutions' weights are standardised; of a residual network each convolution has a
/// `.bias` `[out]`, and the norms of wide blocks are `.scale` and `.shift` `[C]`.
///
/// # Errors
/// As [`fold`].
pub fn folded<'a>(architecture: &Architecture, weights: Cow<'a, TensorMap>) -> Result<Cow<'a, TensorMap>, TensorError> {
    let folded = match &architecture.resnet {
        Some(resnet) => Cow::Owned(fold_resnet(resnet, &weights)?),
        None => standardised(architecture, weights)?,
    };
    mechanisms(architecture, folded)
}

/// The same for the engine: each norm of a residual network is `.scale` and `.shift` `[C]`, the convolutions are as they were, so that
/// weights that a bundle stores in f16 are not rounded again after they were multiplied. (A hybrid's are standardised, and lie on the
/// device in f32.)
///
/// # Errors
/// As [`fold`].
pub fn apart<'a>(architecture: &Architecture, weights: &'a TensorMap) -> Result<Cow<'a, TensorMap>, TensorError> {
    let mut apart = mechanisms(architecture, standardised(architecture, Cow::Borrowed(weights))?)?;
    if architecture.resnet.is_some() {
        for WeightSpec { name, shape } in architecture.weights() {
            let Some(norm) = name.strip_suffix(".running_var") else { continue };
            let (scale, shift) = scale_and_shift(weights, norm, shape.iter().product())?;
            apart.to_mut().insert(format!("{norm}.scale"), narrow(&scale));
            apart.to_mut().insert(format!("{norm}.shift"), narrow(&shift));
        }
    }
    Ok(apart)
}

/// The weights of a hybrid with those of its convolutions standardised, as they are used: `(w - mean) / sqrt(variance + 1e-8)` over
/// everything that makes one output; of another network as they are.
fn standardised<'a>(
    architecture: &Architecture,
    mut weights: Cow<'a, TensorMap>,
) -> Result<Cow<'a, TensorMap>, TensorError> {
    for Convolution { name, inputs, outputs, side, .. } in architecture.hybrid.iter().flat_map(Hybrid::convolutions) {
        let (name, shape) = (format!("{name}.weight"), [outputs, inputs, side, side]);
        let values = weights.weight(&name, &shape)?;
        let mut result = Vec::with_capacity(values.len());
        for row in values.chunks_exact(inputs * side * side) {
            let count = row.len() as f64;
            let mean = row.iter().map(|&w| f64::from(w)).sum::<f64>() / count;
            let variance = row.iter().map(|&w| (f64::from(w) - mean).powi(2)).sum::<f64>() / count;
            let scale = 1.0 / (variance + STANDARDISATION_EPSILON).sqrt();
            result.extend(row.iter().map(|&w| ((f64::from(w) - mean) * scale) as f32));
        }
        weights.to_mut().insert(name, Tensor::f32(shape, result));
    }
    Ok(weights)
}

/// The norms of the mechanisms, folded.
fn mechanisms<'a>(
    architecture: &Architecture,
    mut folded: Cow<'a, TensorMap>,
) -> Result<Cow<'a, TensorMap>, TensorError> {
    if architecture.rectify().is_some() {
        let (weight, bias) = fold(&folded, "rectify.gates.weight", "rectify.gates.bn")?;
        folded.to_mut().insert("rectify.mix.weight", weight);
        folded.to_mut().insert("rectify.mix.bias", bias);
    }
    if let Some(rga) = architecture.rga() {
        for (place, &after) in rga.after.iter().enumerate() {
            let map = architecture.map_behind(after);
            let sizes = [map.positions(), map.channels];
            let mut gates = TensorMap::default();
            fold_gates(&folded, &format!("rga.{place}."), &rga.gates(), sizes, &mut gates)?;
            folded.to_mut().extend(gates);
        }
    }
    Ok(folded)
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

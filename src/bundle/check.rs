//! Whether the tensors of a bundle are those of its network.

use super::{BundleError, TRACE, WEIGHTS};
use crate::architecture::Architecture;
use crate::tensors::{TensorError, TensorMap};

/// Checks that `weights` are the weights of this network: all of them, nothing else, right shapes, finite values.
///
/// # Errors
/// [`BundleError::Tensors`] or [`BundleError::Extra`] names the first tensor that is wrong.
pub fn check_weights(architecture: &Architecture, weights: &TensorMap) -> Result<(), BundleError> {
    let expected = architecture.weights();
    for spec in &expected {
        weights
            .weight(&spec.name, &spec.shape)
            .map_err(|source| BundleError::Tensors { file: WEIGHTS.into(), source })?;
    }
    let extra = weights.iter().find(|(name, _)| !expected.iter().any(|spec| spec.name == *name));
    match extra {
        Some((name, _)) => Err(BundleError::Extra { file: WEIGHTS.into(), name: name.to_owned() }),
        None => Ok(()),
    }
}

/// Checks that `trace` is a golden trace of this network.
///
/// # Errors
/// [`BundleError::Tensors`] names the first tensor that is missing or wrong.
pub fn check_trace(architecture: &Architecture, trace: &TensorMap) -> Result<(), BundleError> {
    let [height, width] = architecture.input_size();
    let classes = architecture.classes;
    let failed = |source| BundleError::Tensors { file: TRACE.into(), source };
    let mut reals = vec![
        ("input.images", vec![1, 3, height, width]),
        ("out.rollout", vec![1, architecture.tokens()]),
        ("out.logits.sa", vec![1, classes]),
        ("out.probability", vec![1, classes]),
    ];
    if architecture.glca().is_some() {
        reals.push(("out.logits.glca", vec![1, classes]));
    }
    for (name, shape) in reals {
        trace.weight(name, &shape).map_err(failed)?;
    }
    if architecture.glca().is_some() {
        check_selected(architecture, trace)?;
    }
    Ok(())
}

fn check_selected(architecture: &Architecture, trace: &TensorMap) -> Result<(), BundleError> {
    let name = "out.selected";
    let failed = |source| BundleError::Tensors { file: TRACE.into(), source };
    let expected = vec![1, architecture.selected()];
    let tokens = trace.integers(name).map_err(failed)?;
    let found = trace.get(name).map(|tensor| tensor.shape.clone()).unwrap_or_default();
    if found != expected {
        return Err(failed(TensorError::Shape { name: name.into(), found, expected }));
    }
    // The class token is never listed.
    let inside = |&token: &i32| usize::try_from(token).is_ok_and(|token| (1..architecture.tokens()).contains(&token));
    match tokens.iter().find(|token| !inside(token)) {
        Some(&token) => Err(BundleError::Token { file: TRACE.into(), name: name.into(), token }),
        None => Ok(()),
    }
}

//! Twin of `shaders/classifier.wgsl`.

use super::shared::Weight;
use crate::engine::kernels::ClassifierUniforms;
use crate::tensors::Precision;

/// feature `[D]`, weight `[D, C]` (rows padded to a multiple of four), bias `[C]`, logits `[C]`, in eight bits scale `[C]`.
pub fn classifier(precision: Precision, u: &ClassifierUniforms, bindings: &mut [Vec<f32>]) {
    let [feature, weight, bias, logits, scale @ ..] = bindings else { return };
    let (dim, classes) = (u.dim as usize, u.classes as usize);
    let weight = Weight::new(precision, classes, weight, scale);
    for class in 0..classes {
        logits[class] = (weight.product(dim, class, |k| feature[k]) + f64::from(bias[class])) as f32;
    }
}

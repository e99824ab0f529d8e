//! Twin of `shaders/classifier.wgsl`.

use super::shared::product;
use crate::engine::kernels::ClassifierUniforms;

/// feature `[D]`, weight `[D, C]` (rows padded to a multiple of four), bias `[C]`, logits `[C]`.
pub fn classifier(u: &ClassifierUniforms, bindings: &mut [Vec<f32>]) {
    let [feature, weight, bias, logits] = bindings else { return };
    let (dim, classes) = (u.dim as usize, u.classes as usize);
    for class in 0..classes {
        logits[class] = (product(dim, classes, class, |k| feature[k], weight) + f64::from(bias[class])) as f32;
    }
}

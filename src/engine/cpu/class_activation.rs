//! Twin of `shaders/class_activation.wgsl`.

use super::shared::Weight;
use crate::engine::kernels::ClassActivationUniforms;
use crate::tensors::Precision;

/// f `[N, D]`, weight `[D, C]` (rows padded to a multiple of four), logits `[C]`, y `[N + 1]`, in eight bits scale `[C]`.
pub fn class_activation(precision: Precision, u: &ClassActivationUniforms, bindings: &mut [Vec<f32>]) {
    let [f, weight, logits, y, scale @ ..] = bindings else { return };
    let [positions, dim, classes] = [u.positions, u.dim, u.classes].map(|n| n as usize);
    let weight = Weight::new(precision, classes, weight, scale);
    let mut best = 0;
    for class in 1..classes {
        if logits[class] > logits[best] {
            best = class;
        }
    }
    let value = |p: usize| weight.product(dim, best, |d| f[p * dim + d]).max(0.0);
    let values: Vec<f64> = (0..positions).map(value).collect();
    let sum: f64 = values.iter().sum();
    y[0] = 0.0;
    for (y, value) in y[1..].iter_mut().zip(values) {
        *y = if sum > 0.0 { (value / sum) as f32 } else { 0.0 };
    }
}

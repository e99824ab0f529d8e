//! Twin of `shaders/class_activation.wgsl`.

use super::shared::Weight;
use crate::engine::kernels::ClassActivationUniforms;
use crate::tensors::Precision;

/// f `[N, D]`, weight `[D, C]` (rows padded to a multiple of four), logits `[C]`, y `[N + 1]`, in eight bits scale `[C]`.
pub fn class_activation(precision: Precision, u: &ClassActivationUniforms, bindings: &mut [Vec<f32>]) {
    let [f, weight, logits, y, scale @ ..] = bindings else { return };
    let [positions, dim, classes, first, second] =
        [u.positions, u.dim, u.classes, u.first, u.second].map(|n| n as usize);
    let weight = Weight::new(precision, classes, weight, scale);
    let along = |p: usize, class: usize| weight.product(dim, class, |d| f[p * dim + d]);
    let mut probable = 0;
    for class in 1..classes {
        if logits[class] > logits[probable] {
            probable = class;
        }
    }
    let values: Vec<f64> = (0..positions)
        .map(|p| match u.apart {
            1 => (along(p, first) - along(p, second)) / positions as f64,
            _ => along(p, probable).max(0.0),
        })
        .collect();
    let sum: f64 = values.iter().sum();
    let whole = if u.apart == 0 && sum > 0.0 { sum } else { 1.0 };
    y[0] = 0.0;
    for (y, value) in y[1..].iter_mut().zip(values) {
        *y = (value / whole) as f32;
    }
}

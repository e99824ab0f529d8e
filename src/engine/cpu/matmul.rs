//! Twin of `shaders/matmul.wgsl` and its specialisations.

use super::shared::{Weight, gelu};
use crate::engine::kernels::MatmulUniforms;
use crate::tensors::Precision;

/// y = x W + bias: x `[M, K]`, weight `[K, N]` (rows padded to a multiple of four), bias `[N]`, y `[M, N]`, in eight bits
/// scale `[N]`.
pub fn matmul(precision: Precision, u: &MatmulUniforms, bindings: &mut [Vec<f32>]) {
    each(precision, u, bindings, |value, _| value as f32);
}

/// y = gelu(x W + bias).
pub fn matmul_gelu(precision: Precision, u: &MatmulUniforms, bindings: &mut [Vec<f32>]) {
    each(precision, u, bindings, |value, _| gelu(value as f32));
}

/// y += x W + bias.
pub fn matmul_residual(precision: Precision, u: &MatmulUniforms, bindings: &mut [Vec<f32>]) {
    each(precision, u, bindings, |value, y| (value + f64::from(y)) as f32);
}

/// `epilogue` takes the product with its bias and what `y` held.
fn each(precision: Precision, u: &MatmulUniforms, bindings: &mut [Vec<f32>], epilogue: impl Fn(f64, f32) -> f32) {
    let [x, weight, bias, y, scale @ ..] = bindings else { return };
    let [rows, inner, columns] = [u.rows, u.inner, u.columns].map(|n| n as usize);
    let weight = Weight::new(precision, columns, weight, scale);
    for row in 0..rows {
        for (column, bias) in bias.iter().enumerate().take(columns) {
            let value = weight.product(inner, column, |k| x[row * inner + k]) + f64::from(*bias);
            let at = row * columns + column;
            y[at] = epilogue(value, y[at]);
        }
    }
}

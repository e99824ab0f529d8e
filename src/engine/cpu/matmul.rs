//! Twin of `shaders/matmul.wgsl` and its specialisations.

use super::shared::{gelu, product};
use crate::engine::kernels::MatmulUniforms;

/// y = x W + bias: x `[M, K]`, weight `[K, N]` (rows padded to a multiple of four), bias `[N]`, y `[M, N]`.
pub fn matmul(u: &MatmulUniforms, bindings: &mut [Vec<f32>]) {
    each(u, bindings, |value, _| value as f32);
}

/// y = gelu(x W + bias).
pub fn matmul_gelu(u: &MatmulUniforms, bindings: &mut [Vec<f32>]) {
    each(u, bindings, |value, _| gelu(value as f32));
}

/// y += x W + bias.
pub fn matmul_residual(u: &MatmulUniforms, bindings: &mut [Vec<f32>]) {
    each(u, bindings, |value, y| (value + f64::from(y)) as f32);
}

/// `epilogue` takes the product with its bias and what `y` held.
fn each(u: &MatmulUniforms, bindings: &mut [Vec<f32>], epilogue: impl Fn(f64, f32) -> f32) {
    let [x, weight, bias, y] = bindings else { return };
    let [rows, inner, columns] = [u.rows, u.inner, u.columns].map(|n| n as usize);
    for row in 0..rows {
        for (column, bias) in bias.iter().enumerate().take(columns) {
            let value = product(inner, columns, column, |k| x[row * inner + k], weight) + f64::from(*bias);
            let at = row * columns + column;
            y[at] = epilogue(value, y[at]);
        }
    }
}

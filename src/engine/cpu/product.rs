//! Twin of `shaders/product.wgsl` and its specialisations.

use crate::engine::kernels::ProductUniforms;

/// y = X W: x `[M, K]`, w `[K, N]`, y `[M, N]`, all strided.
pub fn product(u: &ProductUniforms, bindings: &mut [Vec<f32>]) {
    let [x, w, y] = bindings else { return };
    each(u, x, w, &[], y, |value| value);
}

/// y = max(X W + bias, 0), bias `[N]`.
pub fn product_relu(u: &ProductUniforms, bindings: &mut [Vec<f32>]) {
    let [x, w, bias, y] = bindings else { return };
    each(u, x, w, bias, y, |value| value.max(0.0));
}

/// y = sigmoid(X W + bias), bias `[N]`.
pub fn product_sigmoid(u: &ProductUniforms, bindings: &mut [Vec<f32>]) {
    let [x, w, bias, y] = bindings else { return };
    each(u, x, w, bias, y, |value| 1.0 / (1.0 + (-value).exp()));
}

fn each(u: &ProductUniforms, x: &[f32], w: &[f32], bias: &[f32], y: &mut [f32], epilogue: impl Fn(f64) -> f64) {
    let [rows, inner, columns] = [u.rows, u.inner, u.columns].map(|n| n as usize);
    let at_x = |row, k| u.x_offset as usize + row * u.x_row as usize + k * u.x_inner as usize;
    let at_w = |k, column| u.w_offset as usize + k * u.w_inner as usize + column * u.w_column as usize;
    for row in 0..rows {
        for column in 0..columns {
            let sum: f64 = (0..inner).map(|k| f64::from(x[at_x(row, k)]) * f64::from(w[at_w(k, column)])).sum();
            let value = sum + bias.get(column).map_or(0.0, |&bias| f64::from(bias));
            y[u.y_offset as usize + row * u.y_row as usize + column] = epilogue(value) as f32;
        }
    }
}

//! Twin of `shaders/sum.wgsl` and its specialisation.

use crate::engine::kernels::SumUniforms;

/// x `[M, L]`, y `[M]`, both strided.
pub fn sum(u: &SumUniforms, bindings: &mut [Vec<f32>]) {
    each(u, bindings, |sum| sum);
}

/// The same, nothing below 0.
pub fn sum_relu(u: &SumUniforms, bindings: &mut [Vec<f32>]) {
    each(u, bindings, |sum| sum.max(0.0));
}

fn each(u: &SumUniforms, bindings: &mut [Vec<f32>], epilogue: impl Fn(f64) -> f64) {
    let [x, y] = bindings else { return };
    for row in 0..u.rows as usize {
        let start = u.x_offset as usize + row * u.x_row as usize;
        let sum: f64 = (0..u.length as usize).map(|i| f64::from(x[start + i * u.x_inner as usize])).sum();
        y[u.y_offset as usize + row * u.y_row as usize] = (f64::from(u.scale) * epilogue(sum)) as f32;
    }
}

//! Twin of `shaders/probe_matrix.wgsl` and its specialisation.

use half::f16;

use crate::engine::kernels::ProbeMatrixUniforms;

/// y = x + 4 steps 16 a b, x and y `[S]`, a and b rounded to halves.
pub fn probe_matrix(u: &ProbeMatrixUniforms, bindings: &mut [Vec<f32>]) {
    each(16.0, u, bindings);
}

/// The same with matrices of 8 x 8.
pub fn probe_matrix_eight(u: &ProbeMatrixUniforms, bindings: &mut [Vec<f32>]) {
    each(8.0, u, bindings);
}

fn each(side: f64, u: &ProbeMatrixUniforms, bindings: &mut [Vec<f32>]) {
    let [x, y] = bindings else { return };
    let product = f16::from_f32(u.a).to_f64() * f16::from_f32(u.b).to_f64();
    for (x, y) in x.iter().zip(y.iter_mut()).take(u.subgroups as usize) {
        *y = (f64::from(*x) + 4.0 * side * f64::from(u.steps) * product) as f32;
    }
}

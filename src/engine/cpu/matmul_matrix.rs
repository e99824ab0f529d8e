//! Twin of `shaders/matmul_matrix.wgsl` and its specialisations: what `matmul` computes, of x in halves.

use half::f16;

use super::{matmul, matmul_gelu, matmul_residual};
use crate::engine::kernels::MatmulUniforms;
use crate::tensors::Precision;

/// y = x W + bias: x `[M, K]`, rounded to halves; the others as in [`matmul`].
pub fn matmul_matrix(precision: Precision, u: &MatmulUniforms, bindings: &mut [Vec<f32>]) {
    in_halves(bindings, |bindings| matmul(precision, u, bindings));
}

/// y = gelu(x W + bias).
pub fn matmul_matrix_gelu(precision: Precision, u: &MatmulUniforms, bindings: &mut [Vec<f32>]) {
    in_halves(bindings, |bindings| matmul_gelu(precision, u, bindings));
}

/// y += x W + bias.
pub fn matmul_matrix_residual(precision: Precision, u: &MatmulUniforms, bindings: &mut [Vec<f32>]) {
    in_halves(bindings, |bindings| matmul_residual(precision, u, bindings));
}

/// With the first binding as halves have it; afterwards it is as before.
fn in_halves(bindings: &mut [Vec<f32>], compute: impl FnOnce(&mut [Vec<f32>])) {
    let Some(x) = bindings.first().cloned() else { return };
    let round = |value: &mut f32| *value = f16::from_f32(value.clamp(-65504.0, 65504.0)).to_f32();
    bindings[0].iter_mut().for_each(round);
    compute(bindings);
    bindings[0] = x;
}

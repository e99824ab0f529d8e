//! Twin of `shaders/gather.wgsl`.

use crate::engine::kernels::GatherUniforms;

/// x `[N + 1, D]`, selected `[k]` (token indices as bits), y `[1 + k, D]`.
pub fn gather(u: &GatherUniforms, bindings: &mut [Vec<f32>]) {
    let [x, selected, y] = bindings else { return };
    let dim = u.dim as usize;
    for row in 0..u.rows as usize {
        let token = if row == 0 { 0 } else { selected[row - 1].to_bits() as usize };
        y[row * dim..(row + 1) * dim].copy_from_slice(&x[token * dim..(token + 1) * dim]);
    }
}

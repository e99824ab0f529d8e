//! Twin of `shaders/softmax.wgsl`.

use super::shared;
use crate::engine::kernels::SoftmaxUniforms;

/// x `[M, L]` (strided), y `[M, L]`.
pub fn softmax(u: &SoftmaxUniforms, bindings: &mut [Vec<f32>]) {
    let [x, y] = bindings else { return };
    let [rows, length, offset, row_step, step] = [u.rows, u.length, u.x_offset, u.x_row, u.x_inner].map(|n| n as usize);
    for row in 0..rows {
        let scaled: Vec<f32> = (0..length).map(|i| u.scale * x[offset + row * row_step + i * step]).collect();
        y[row * length..(row + 1) * length].copy_from_slice(&shared::softmax(&scaled));
    }
}

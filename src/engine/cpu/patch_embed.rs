//! Twin of `shaders/patch_embed.wgsl`.

use super::shared::Weight;
use crate::engine::kernels::PatchEmbedUniforms;
use crate::tensors::Precision;

/// x `[C, H, W]`, strided, weight `[C p p, D]`, bias `[D]`, class_token `[D]`, position `[N + 1, D]`, tokens `[N + 1, D]`.
pub fn patch_embed(precision: Precision, u: &PatchEmbedUniforms, bindings: &mut [Vec<f32>]) {
    let [x, weight, bias, class_token, position, tokens] = bindings else { return };
    let [height, width, channels, side, dim] = [u.height, u.width, u.channels, u.side, u.dim].map(|n| n as usize);
    let [x_position, x_channel] = [u.x_position, u.x_channel].map(|n| n as usize);
    let columns = width / side;
    let weight = Weight::new(precision, dim, weight, &[]);
    for row in 0..1 + columns * (height / side) {
        for column in 0..dim {
            let at = row * dim + column;
            if row == 0 {
                tokens[at] = class_token[column] + position[at];
                continue;
            }
            // Value k of the patch, in the order channel, row, column.
            let value = |k: usize| {
                let down = (row - 1) / columns * side + k % (side * side) / side;
                let along = (row - 1) % columns * side + k % side;
                x[(down * width + along) * x_position + k / (side * side) * x_channel]
            };
            let sum = weight.product(channels * side * side, column, value);
            tokens[at] = (sum + f64::from(bias[column]) + f64::from(position[at])) as f32;
        }
    }
}

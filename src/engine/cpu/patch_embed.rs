//! Twin of `shaders/patch_embed.wgsl`.

use super::shared::Weight;
use crate::engine::kernels::PatchEmbedUniforms;
use crate::tensors::Precision;

/// image `[3, H, W]`, weight `[3 p p, D]`, bias `[D]`, class_token `[D]`, position `[N + 1, D]`, tokens `[N + 1, D]`.
pub fn patch_embed(precision: Precision, u: &PatchEmbedUniforms, bindings: &mut [Vec<f32>]) {
    let [image, weight, bias, class_token, position, tokens] = bindings else { return };
    let [height, width, side, dim] = [u.height, u.width, u.side, u.dim].map(|n| n as usize);
    let columns = width / side;
    let weight = Weight::new(precision, dim, weight, &[]);
    for row in 0..1 + columns * (height / side) {
        for column in 0..dim {
            let at = row * dim + column;
            if row == 0 {
                tokens[at] = class_token[column] + position[at];
                continue;
            }
            // Pixel k of the patch, in the order channel, row, column.
            let pixel = |k: usize| {
                let y = (row - 1) / columns * side + k % (side * side) / side;
                let x = (row - 1) % columns * side + k % side;
                image[(k / (side * side) * height + y) * width + x]
            };
            let sum = weight.product(3 * side * side, column, pixel);
            tokens[at] = (sum + f64::from(bias[column]) + f64::from(position[at])) as f32;
        }
    }
}

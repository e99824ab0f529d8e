//! Twin of `shaders/convolution.wgsl`: the loops of a convolution.

use super::shared::Weight;
use crate::engine::kernels::ConvolutionUniforms;
use crate::tensors::Precision;

/// x `[H W, C]`, strided, weight `[k k C, N]` (rows padded to a multiple of four), scale and shift `[N]`, y `[M, N]`.
pub fn convolution(precision: Precision, u: &ConvolutionUniforms, bindings: &mut [Vec<f32>]) {
    let [x, weight, scale, shift, y] = bindings else { return };
    let [rows, inner, columns, height, width] = [u.rows, u.inner, u.columns, u.height, u.width].map(|n| n as usize);
    let [channels, side, stride, dilation, padding, across] =
        [u.channels, u.side, u.stride, u.dilation, u.padding, u.across].map(|n| n as usize);
    let [x_offset, x_position, x_channel] = [u.x_offset, u.x_position, u.x_channel].map(|n| n as usize);
    let weight = Weight::new(precision, columns, weight, &[]);
    // The pixel that a tap sees, or none where it lies outside.
    let seen = |at: usize, tap: usize, size: usize| {
        (at * stride + tap * dilation).checked_sub(padding).filter(|&pixel| pixel < size)
    };
    for position in 0..rows {
        let pixel = |k: usize| {
            let (tap, channel) = (k / channels, k % channels);
            let down = seen(position / across, tap / side, height);
            let along = seen(position % across, tap % side, width);
            match (down, along) {
                (Some(down), Some(along)) => x[x_offset + (down * width + along) * x_position + channel * x_channel],
                _ => 0.0,
            }
        };
        for column in 0..columns {
            let at = position * columns + column;
            let mut value = weight.product(inner, column, pixel);
            if u.normed == 1 {
                value = value * f64::from(scale[column]) + f64::from(shift[column]);
            }
            if u.adds == 1 {
                value += f64::from(y[at]);
            }
            y[at] = if u.relu == 1 { value.max(0.0) } else { value } as f32;
        }
    }
}

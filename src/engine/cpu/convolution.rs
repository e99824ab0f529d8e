//! Twin of `shaders/convolution.wgsl`: the six loops of a convolution.

use crate::engine::kernels::ConvolutionUniforms;

/// x `[H W, C]`, weight `[C k k, O]` (rows padded to a multiple of four), y `[H' W', O]`.
pub fn convolution(u: &ConvolutionUniforms, bindings: &mut [Vec<f32>]) {
    let [x, weight, y] = bindings else { return };
    let [height, width, channels, outputs, side] =
        [u.height, u.width, u.channels, u.outputs, u.side].map(|n| n as usize);
    let [stride, dilation, padding, rows, columns, offset] =
        [u.stride, u.dilation, u.padding, u.rows, u.columns, u.x_offset].map(|n| n as usize);
    let width4 = outputs.next_multiple_of(4);
    // The pixel that a tap sees, or none where it lies outside.
    let seen = |at: usize, tap: usize, size: usize| {
        (at * stride + tap * dilation).checked_sub(padding).filter(|&pixel| pixel < size)
    };
    for position in 0..rows * columns {
        for output in 0..outputs {
            let mut sum = 0.0f64;
            for channel in 0..channels {
                for tap in 0..side * side {
                    let down = seen(position / columns, tap / side, height);
                    let along = seen(position % columns, tap % side, width);
                    if let (Some(down), Some(along)) = (down, along) {
                        let value = x[offset + (down * width + along) * channels + channel];
                        let weight = weight[(channel * side * side + tap) * width4 + output];
                        sum += f64::from(value) * f64::from(weight);
                    }
                }
            }
            y[position * outputs + output] = sum as f32;
        }
    }
}

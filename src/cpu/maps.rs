//! Feature maps `[H W, C]`, position by position, channels last, of which each thread computes some positions in a buffer for all of
//! them: what residual networks and hybrids have in common.

use std::ops::Range;

use super::CpuError;
use super::kernels::convolution::{Convolution, Window};
use super::kernels::matmul::Store;
use super::together::Together;
use crate::architecture;
use crate::tensors::{TensorError, TensorMap};

/// The convolution `own` with the weight `<name>.weight` of `map` and a bias `[outputs]`.
///
/// # Errors
/// [`TensorError`] for a weight that is missing, of another shape or no number.
pub(super) fn convolution(
    map: &TensorMap,
    own: &architecture::Convolution,
    bias: Vec<f32>,
) -> Result<Convolution, TensorError> {
    let architecture::Convolution { name, inputs, outputs, side, stride, padding, .. } = own;
    let weight = map.weight(&format!("{name}.weight"), &[*outputs, *inputs, *side, *side])?;
    Ok(Convolution::new(weight, bias, *inputs, Window { side: *side, stride: *stride, padding: *padding }))
}

/// The values of those positions.
pub(super) fn values(positions: &Range<usize>, channels: usize) -> Range<usize> {
    positions.start * channels..positions.end * channels
}

/// Room for so many values; what lies there stays.
pub(super) fn grown(buffer: &mut Vec<f32>, count: usize) -> &mut Vec<f32> {
    if buffer.len() < count {
        buffer.resize(count, 0.0);
    }
    buffer
}

/// This thread's positions of what `layer` makes of a `map` of `size`, into `y`; gives its size.
pub(super) fn convolve(
    layer: &Convolution,
    (map, size): (&[f32], [usize; 2]),
    how: (Store, bool),
    y: &mut Vec<f32>,
    (together, room): (&Together<'_>, &mut Vec<f32>),
) -> [usize; 2] {
    let result @ [rows, columns] = layer.window.result(size);
    let own = together.share(rows * columns);
    let y = grown(y, rows * columns * layer.outputs());
    layer.apply((map, size), own.clone(), how, &mut y[values(&own, layer.outputs())], room);
    result
}

/// Makes the neighbours known that `windows`, which move over a `map` of `size`, see from this thread's positions.
pub(super) fn trade(
    (map, size): (&mut [f32], [usize; 2]),
    channels: usize,
    windows: &[Window],
    together: &mut Together<'_>,
) -> Result<(), CpuError> {
    if !windows.iter().any(Window::mixes) {
        return Ok(());
    }
    let seen = windows.iter().map(|window| {
        let [rows, columns] = window.result(size);
        window.sees(size, &together.share(rows * columns))
    });
    let seen = seen.filter(|seen| !seen.is_empty());
    let wanted = seen.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)).unwrap_or(0..0);
    let own = together.share(size[0] * size[1]);
    together.trade(map, &values(&own, channels), values(&wanted, channels))
}

//! Twin of `shaders/shrink.wgsl`.

use crate::engine::kernels::ShrinkUniforms;

/// image `[C, zoom h, zoom w]`, y `[C, h, w]`.
pub fn shrink(u: &ShrinkUniforms, bindings: &mut [Vec<f32>]) {
    let [image, y] = bindings else { return };
    let [columns, zoom] = [u.columns, u.zoom].map(|n| n as usize);
    for (i, value) in y.iter_mut().enumerate() {
        let (row, column) = (i / columns, i % columns);
        let lines = (row * zoom..(row + 1) * zoom).map(|line| &image[(line * columns + column) * zoom..][..zoom]);
        let sum: f64 = lines.flatten().map(|&v| f64::from(v)).sum();
        *value = (sum / (zoom * zoom) as f64) as f32;
    }
}

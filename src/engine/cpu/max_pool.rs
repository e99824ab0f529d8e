//! Twin of `shaders/max_pool.wgsl`.

use crate::engine::kernels::MaxPoolUniforms;

/// x `[H W, C]`, y `[H' W', C]`.
pub fn max_pool(u: &MaxPoolUniforms, bindings: &mut [Vec<f32>]) {
    let [x, y] = bindings else { return };
    let [height, width, channels, rows, columns, padding] =
        [u.height, u.width, u.channels, u.rows, u.columns, u.padding].map(|n| n as usize);
    // What of 3 positions about `2 place`, or from there on, is inside.
    let near = |place: usize, size: usize| (2 * place).saturating_sub(padding)..(2 * place + 3 - padding).min(size);
    for (at, y) in y.iter_mut().enumerate().take(rows * columns * channels) {
        let (position, channel) = (at / channels, at % channels);
        *y = f32::NEG_INFINITY;
        for row in near(position / columns, height) {
            for column in near(position % columns, width) {
                *y = y.max(x[(row * width + column) * channels + channel]);
            }
        }
    }
}

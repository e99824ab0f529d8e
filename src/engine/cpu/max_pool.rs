//! Twin of `shaders/max_pool.wgsl`.

use crate::engine::kernels::MaxPoolUniforms;

/// x `[H W, C]`, y `[H' W', C]`.
pub fn max_pool(u: &MaxPoolUniforms, bindings: &mut [Vec<f32>]) {
    let [x, y] = bindings else { return };
    let [height, width, channels, rows, columns] =
        [u.height, u.width, u.channels, u.rows, u.columns].map(|n| n as usize);
    // What of 3 positions about `2 centre` is inside.
    let near = |centre: usize, size: usize| (2 * centre).saturating_sub(1)..(2 * centre + 2).min(size);
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

//! Twin of `shaders/neighbours.wgsl`.

use crate::engine::kernels::NeighboursUniforms;

/// masks `[K, H W]`, x `[H W, C]` from `x_offset` on, y `[K, C 3 3]`.
pub fn neighbours(u: &NeighboursUniforms, bindings: &mut [Vec<f32>]) {
    let [masks, x, y] = bindings else { return };
    let [height, width, channels, heads, offset] =
        [u.height, u.width, u.channels, u.heads, u.x_offset].map(|n| n as usize);
    for (index, y) in y.iter_mut().enumerate().take(heads * channels * 9) {
        let (head, channel, tap) = (index / 9 / channels, index / 9 % channels, index % 9);
        let mut sum = 0.0f64;
        for position in 0..height * width {
            let row = (position / width + tap / 3).checked_sub(1).filter(|&row| row < height);
            let column = (position % width + tap % 3).checked_sub(1).filter(|&column| column < width);
            if let (Some(row), Some(column)) = (row, column) {
                let seen = x[offset + (row * width + column) * channels + channel];
                sum += f64::from(masks[head * height * width + position]) * f64::from(seen);
            }
        }
        *y = sum as f32;
    }
}

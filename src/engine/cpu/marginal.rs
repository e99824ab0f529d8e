//! Twin of `shaders/marginal.wgsl`: writes the resized map first, where the shader does not.

use crate::engine::kernels::MarginalUniforms;

/// map `[h, w]`, marginal `[H + W]`.
pub fn marginal(u: &MarginalUniforms, bindings: &mut [Vec<f32>]) {
    let [map, marginal] = bindings else { return };
    let [map_height, map_width, height, width] = [u.map_height, u.map_width, u.height, u.width].map(|n| n as usize);
    // The two neighbours of pixel `i` of `to` among `size` values, and the second one's share.
    let place = |i: usize, to: usize, size: usize| {
        let position = ((i as f64 + 0.5) * size as f64 / to as f64 - 0.5).clamp(0.0, (size - 1) as f64);
        (position as usize, (position as usize + 1).min(size - 1), position.fract())
    };
    let mut resized = vec![0.0f64; height * width];
    for (i, value) in resized.iter_mut().enumerate() {
        let (top, bottom, down) = place(i / width, height, map_height);
        let (left, right, along) = place(i % width, width, map_width);
        let row = |row: usize| {
            let [a, b] = [left, right].map(|column| f64::from(map[row * map_width + column]));
            a + (b - a) * along
        };
        *value = row(top) + (row(bottom) - row(top)) * down;
        if u.square == 1 {
            *value *= *value;
        }
    }
    let highest = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, f64::max) as f32;
    for row in 0..height {
        marginal[row] = highest(&mut resized[row * width..(row + 1) * width].iter().copied());
    }
    for column in 0..width {
        marginal[height + column] = highest(&mut resized.iter().copied().skip(column).step_by(width));
    }
}

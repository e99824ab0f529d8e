//! Twin of `shaders/grid_sample.wgsl`. Positions are rounded to f32 as the shader's are: between two unlike pixels the rounding
//! of a position is most of the difference.

use crate::engine::kernels::GridSampleUniforms;

/// image `[C, H, W]`, coordinates `[h + w]`, y `[C, h, w]`.
pub fn grid_sample(u: &GridSampleUniforms, bindings: &mut [Vec<f32>]) {
    let [image, coordinates, y] = bindings else { return };
    let [channels, height, width, rows, columns] =
        [u.channels, u.height, u.width, u.rows, u.columns].map(|n| n as usize);
    let place = |coordinate: f32, size: usize| {
        let last = (size - 1) as f32;
        let position = ((coordinate + 1.0) * 0.5 * last).clamp(0.0, last);
        (position as usize, (position as usize + 1).min(size - 1), f64::from(position.fract()))
    };
    for channel in 0..channels {
        for row in 0..rows {
            let (top, bottom, down) = place(coordinates[row], height);
            for column in 0..columns {
                let (left, right, along) = place(coordinates[rows + column], width);
                let between = |row: usize| {
                    let [a, b] = [left, right].map(|x| f64::from(image[(channel * height + row) * width + x]));
                    a + (b - a) * along
                };
                let value = between(top) + (between(bottom) - between(top)) * down;
                y[(channel * rows + row) * columns + column] = value as f32;
            }
        }
    }
}

//! Twin of `shaders/coordinates.wgsl`: goes through the cumulative sums from the start, where the shader bisects.

use crate::engine::kernels::CoordinatesUniforms;

/// density `[H + W]`, excess `[H + W]`, y `[h + w]`.
pub fn coordinates(u: &CoordinatesUniforms, bindings: &mut [Vec<f32>]) {
    let [density, excess, y] = bindings else { return };
    let [height, width, rows, columns] = [u.height, u.width, u.rows, u.columns].map(|n| n as usize);
    for (start, size, first, count) in [(0, height, 0, rows), (height, width, rows, columns)] {
        let sum = |i: usize| i as f64 + f64::from(excess[start + i]);
        for index in 0..count {
            if sum(size - 1) < 0.01 {
                y[first + index] = (2.0 * index as f64 / count as f64 - 1.0) as f32;
                continue;
            }
            let goal = sum(size - 1) * index as f64 / count as f64;
            let place = (0..size - 2).take_while(|&i| sum(i + 1) < goal).count();
            let step = f64::from(density[start + place + 1]).max(1e-30);
            let share = ((goal - sum(place)) / step).clamp(0.0, 1.0);
            y[first + index] = (2.0 * (place as f64 + share) / (size - 1) as f64 - 1.0) as f32;
        }
    }
}

//! Twin of `shaders/pull_back.wgsl`.

use crate::engine::kernels::PullBackUniforms;

/// weight `[K, N]` (rows padded to a multiple of four), g `[N]`, y `[K]`.
pub fn pull_back(u: &PullBackUniforms, bindings: &mut [Vec<f32>]) {
    let [weight, g, y] = bindings else { return };
    let (rows, columns) = (u.rows as usize, u.columns as usize);
    let stride = columns.next_multiple_of(4);
    for (row, y) in y.iter_mut().enumerate().take(rows) {
        let product = |column: usize| f64::from(weight[row * stride + column]) * f64::from(g[column]);
        *y = (0..columns).map(product).sum::<f64>() as f32;
    }
}

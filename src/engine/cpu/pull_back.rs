//! Twin of `shaders/pull_back.wgsl`.

use super::shared::Weight;
use crate::engine::kernels::PullBackUniforms;
use crate::tensors::Precision;

/// weight `[K, N]` (rows padded to a multiple of four), g `[N]`, y `[K]`, in eight bits scale `[N]`.
pub fn pull_back(precision: Precision, u: &PullBackUniforms, bindings: &mut [Vec<f32>]) {
    let [weight, g, y, scale @ ..] = bindings else { return };
    let (rows, columns) = (u.rows as usize, u.columns as usize);
    let weight = Weight::new(precision, columns, weight, scale);
    for (row, y) in y.iter_mut().enumerate().take(rows) {
        let product = |column: usize| weight.at(row, column) * f64::from(g[column]);
        *y = (0..columns).map(product).sum::<f64>() as f32;
    }
}

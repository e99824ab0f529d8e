//! Twin of `shaders/direction.wgsl`.

use crate::engine::kernels::DirectionUniforms;

/// x `[M, D]`, gamma `[D]`, weight `[D, C]` (rows padded to a multiple of four), g `[D]`.
pub fn direction(u: &DirectionUniforms, bindings: &mut [Vec<f32>]) {
    let [x, gamma, weight, g] = bindings else { return };
    let [dim, classes, first, second] = [u.dim, u.classes, u.first, u.second].map(|n| n as usize);
    let stride = classes.next_multiple_of(4);
    let x = &x[..dim];
    let mean = x.iter().map(|&v| f64::from(v)).sum::<f64>() / dim as f64;
    let variance = x.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / dim as f64;
    let scale = 1.0 / (variance + f64::from(u.eps)).sqrt();
    let at = |d: usize, class: usize| f64::from(weight[d * stride + class]);
    let c: Vec<f64> = (0..dim).map(|d| f64::from(gamma[d]) * (at(d, first) - at(d, second))).collect();
    let centre = c.iter().sum::<f64>() / dim as f64;
    g.iter_mut().zip(c).for_each(|(g, c)| *g = ((c - centre) * scale) as f32);
}

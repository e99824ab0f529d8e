//! Twin of `shaders/direction.wgsl`.

use super::shared::Weight;
use crate::engine::kernels::DirectionUniforms;
use crate::tensors::Precision;

/// x `[M, D]`, gamma `[D]`, weight `[D, C]` (rows padded to a multiple of four), g `[D]`, in eight bits scale `[C]`.
pub fn direction(precision: Precision, u: &DirectionUniforms, bindings: &mut [Vec<f32>]) {
    let [x, gamma, weight, g, scale @ ..] = bindings else { return };
    let [dim, classes, first, second] = [u.dim, u.classes, u.first, u.second].map(|n| n as usize);
    let weight = Weight::new(precision, classes, weight, scale);
    let x = &x[..dim];
    let mean = x.iter().map(|&v| f64::from(v)).sum::<f64>() / dim as f64;
    let variance = x.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / dim as f64;
    let inverse = 1.0 / (variance + f64::from(u.eps)).sqrt();
    let apart = |d: usize| weight.at(d, first) - weight.at(d, second);
    let c: Vec<f64> = (0..dim).map(|d| f64::from(gamma[d]) * apart(d)).collect();
    let centre = c.iter().sum::<f64>() / dim as f64;
    g.iter_mut().zip(c).for_each(|(g, c)| *g = ((c - centre) * inverse) as f32);
}

//! Twin of `shaders/group_norm.wgsl`.

use crate::engine::kernels::GroupNormUniforms;

/// x `[P, C]`, weight `[C]`, bias `[C]`, scale `[C]`, shift `[C]`.
pub fn group_norm(u: &GroupNormUniforms, bindings: &mut [Vec<f32>]) {
    let [x, weight, bias, scale, shift] = bindings else { return };
    let [channels, groups, positions] = [u.channels, u.groups, u.positions].map(|n| n as usize);
    let across = channels / groups;
    for first in (0..channels).step_by(across) {
        let values = || {
            let rows = x.chunks_exact(channels).take(positions);
            rows.flat_map(|row| &row[first..first + across]).map(|&v| f64::from(v))
        };
        let count = (positions * across) as f64;
        let mean = values().sum::<f64>() / count;
        let variance = values().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
        let factor = 1.0 / (variance + f64::from(u.eps)).sqrt();
        for channel in first..first + across {
            let factor = factor * f64::from(weight[channel]);
            scale[channel] = factor as f32;
            shift[channel] = (f64::from(bias[channel]) - mean * factor) as f32;
        }
    }
}

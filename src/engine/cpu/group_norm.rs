//! Twin of `shaders/group_norm.wgsl`.

use crate::engine::kernels::GroupNormUniforms;

/// moments `[parts, G, 2]`, weight `[C]`, bias `[C]`, scale `[C]`, shift `[C]`.
pub fn group_norm(u: &GroupNormUniforms, bindings: &mut [Vec<f32>]) {
    let [moments, weight, bias, scale, shift] = bindings else { return };
    let [positions, channels, groups, span] = [u.positions, u.channels, u.groups, u.span].map(|n| n as usize);
    let across = channels / groups;
    for channel in 0..channels {
        // Positions, mean and squared differences of each part.
        let parts = (0..positions).step_by(span).enumerate().map(|(part, first)| {
            let at = 2 * (part * groups + channel / across);
            (span.min(positions - first) as f64, f64::from(moments[at]), f64::from(moments[at + 1]))
        });
        let mean = parts.clone().map(|(count, mean, _)| count * mean).sum::<f64>() / positions as f64;
        let of = |(count, own, squares): (f64, f64, f64)| squares + count * across as f64 * (own - mean).powi(2);
        let variance = parts.map(of).sum::<f64>() / (positions * across) as f64;
        let factor = f64::from(weight[channel]) / (variance + f64::from(u.eps)).sqrt();
        scale[channel] = factor as f32;
        shift[channel] = (f64::from(bias[channel]) - mean * factor) as f32;
    }
}

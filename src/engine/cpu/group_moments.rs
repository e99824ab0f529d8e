//! Twin of `shaders/group_moments.wgsl`.

use crate::engine::kernels::GroupMomentsUniforms;

/// x `[P, C]`, moments `[parts, G, 2]`.
pub fn group_moments(u: &GroupMomentsUniforms, bindings: &mut [Vec<f32>]) {
    let [x, moments] = bindings else { return };
    let [positions, channels, groups, span] = [u.positions, u.channels, u.groups, u.span].map(|n| n as usize);
    let across = channels / groups;
    for (part, rows) in x[..positions * channels].chunks(span * channels).enumerate() {
        for group in 0..groups {
            let values = || {
                let of = |row: &[f32]| row[group * across..(group + 1) * across].to_vec();
                rows.chunks_exact(channels).flat_map(of).map(f64::from)
            };
            let mean = values().sum::<f64>() / (rows.len() / groups) as f64;
            let at = 2 * (part * groups + group);
            moments[at] = mean as f32;
            moments[at + 1] = values().map(|v| (v - mean).powi(2)).sum::<f64>() as f32;
        }
    }
}

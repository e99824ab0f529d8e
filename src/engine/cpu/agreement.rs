//! Twin of `shaders/agreement.wgsl`.

use crate::engine::kernels::AgreementUniforms;

/// votes `[M, C]`, sure `[2]`, early `[E, C]`, blocks `[E]` and workgroups `[W, 3]`, both of integers.
pub fn agreement(u: &AgreementUniforms, bindings: &mut [Vec<f32>]) {
    let [votes, sure, early, blocks, workgroups] = bindings else { return };
    let [count, classes, first, exit] = [u.votes, u.classes, u.first, u.exit].map(|n| n as usize);
    let mut mean = vec![0.0f64; classes];
    let mut named = Vec::new();
    for vote in votes.chunks(classes).take(count) {
        let high = vote.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        named.push(vote.iter().position(|&v| v == high));
        let sum: f64 = vote.iter().map(|&v| (f64::from(v) - f64::from(high)).exp()).sum();
        for (mean, &v) in mean.iter_mut().zip(vote) {
            *mean += (f64::from(v) - f64::from(high) - sum.ln()) / count as f64;
        }
    }
    let temperature = f64::from(sure[1].max(1e-6));
    let high = mean.iter().copied().fold(f64::NEG_INFINITY, f64::max) / temperature;
    let sum: f64 = mean.iter().map(|m| (m / temperature - high).exp()).sum();
    early[exit * classes..]
        .iter_mut()
        .zip(mean)
        .for_each(|(early, m)| *early = ((m / temperature - high).exp() / sum) as f32);
    let stop = named.windows(2).all(|pair| pair[0] == pair[1]) && sure[1] > 0.0 && 1.0 / sum >= f64::from(sure[0]);
    blocks[exit] = f32::from_bits(if stop { u.blocks } else { u.depth });
    if stop {
        workgroups[3 * first..].fill(0.0);
    }
}

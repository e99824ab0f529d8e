//! Twin of `shaders/hypothesis.wgsl`.

use crate::engine::kernels::HypothesisUniforms;

/// masks `[K, N]`, trust `[N, K]`, opinions `[K, C]`, head_gates `[K]`, logits `[C]` from `y_offset` on.
pub fn hypothesis(u: &HypothesisUniforms, bindings: &mut [Vec<f32>]) {
    let [masks, trust, opinions, head_gates, logits] = bindings else { return };
    let [positions, heads, classes] = [u.positions, u.heads, u.classes].map(|n| n as usize);
    let weights: Vec<f64> = (0..heads)
        .map(|head| {
            let product = |i: usize| f64::from(masks[head * positions + i]) * f64::from(trust[i * heads + head]);
            (0..positions).map(product).sum::<f64>().tanh().exp()
        })
        .collect();
    let divisor: f64 = weights.iter().sum();
    for (gate, weight) in head_gates.iter_mut().zip(&weights) {
        *gate = (weight / divisor) as f32;
    }
    for (class, logit) in logits.iter_mut().skip(u.y_offset as usize).enumerate().take(classes) {
        let opinion = |head: usize| f64::from(opinions[head * classes + class]);
        *logit = (weights.iter().enumerate().map(|(head, w)| w * opinion(head)).sum::<f64>() / divisor) as f32;
    }
}

//! Twin of `shaders/hypothesis.wgsl`.

use crate::engine::kernels::HypothesisUniforms;

/// trust `[K]`, opinions `[K, C]`, both with their own strides, head_gates `[K]`, logits `[C]` from `y_offset` on.
pub fn hypothesis(u: &HypothesisUniforms, bindings: &mut [Vec<f32>]) {
    let [trust, opinions, head_gates, logits] = bindings else { return };
    let [heads, classes, trust_head, opinion_head] =
        [u.heads, u.classes, u.trust_head, u.opinion_head].map(|n| n as usize);
    let weights: Vec<f64> = (0..heads).map(|head| f64::from(trust[head * trust_head]).tanh().exp()).collect();
    let divisor: f64 = weights.iter().sum();
    for (gate, weight) in head_gates.iter_mut().zip(&weights) {
        *gate = (weight / divisor) as f32;
    }
    for (class, logit) in logits.iter_mut().skip(u.y_offset as usize).enumerate().take(classes) {
        let opinion = |head: usize| f64::from(opinions[head * opinion_head + class]);
        *logit = (weights.iter().enumerate().map(|(head, w)| w * opinion(head)).sum::<f64>() / divisor) as f32;
    }
}

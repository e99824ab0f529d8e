//! Twin of `shaders/probability.wgsl`, without and with GLCA.

use super::shared::softmax;
use crate::engine::kernels::ProbabilityUniforms;

/// logits_sa `[C]`, sa `[C]`.
pub fn probability(_: &ProbabilityUniforms, bindings: &mut [Vec<f32>]) {
    let [logits_sa, sa] = bindings else { return };
    *sa = softmax(logits_sa);
}

/// logits_sa `[C]`, sa `[C]`, logits_glca `[C]`, glca `[C]`, probability `[C]`.
pub fn probability_glca(_: &ProbabilityUniforms, bindings: &mut [Vec<f32>]) {
    let [logits_sa, sa, logits_glca, glca, probability] = bindings else { return };
    *sa = softmax(logits_sa);
    *glca = softmax(logits_glca);
    *probability = sa.iter().zip(glca.iter()).map(|(a, b)| 0.5 * a + 0.5 * b).collect();
}

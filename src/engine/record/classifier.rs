//! From the class tokens to the answer: each branch's norm and head, both softmaxes and their mean; the votes of Attend and Rectify.

use super::Recorder;
use crate::engine::kernels;
use crate::engine::recording::BufferId;

impl Recorder<'_> {
    /// `tokens` `[N + 1, D]` and GLCA's output `[1 + k, D]`; the class token is row 0 of both.
    pub(super) fn classifier(&mut self, tokens: BufferId, glca: Option<BufferId>) {
        let (feature, logits_sa) = self.branch("sa", "norm", "head", tokens);
        self.answer(logits_sa, glca);
        if let Some(votes) = self.votes {
            self.rectified(votes, feature, logits_sa);
        }
    }

    /// From SA's logits `[classes]` and GLCA's output `[1 + k, D]`.
    pub(super) fn answer(&mut self, logits_sa: BufferId, glca: Option<BufferId>) {
        let classes = self.architecture.classes;
        let uniforms = kernels::ProbabilityUniforms { classes: classes as u32 };
        let sa = self.recording.scratch("probability.sa", &[classes]);
        if let Some(glca) = glca {
            let (_, logits_glca) = self.branch("glca", "glca_norm", "glca_head", glca);
            let glca = self.recording.scratch("probability.glca", &[classes]);
            let mean = self.recording.scratch("probability", &[classes]);
            let bindings = [logits_sa, sa, logits_glca, glca, mean];
            self.recording.dispatch("probability", &kernels::PROBABILITY_GLCA, uniforms, &bindings);
            self.recording.read_back("out.probability.glca", glca);
            self.recording.read_back("out.probability", mean);
        } else {
            self.recording.dispatch("probability", &kernels::PROBABILITY, uniforms, &[logits_sa, sa]);
        }
        self.recording.read_back("out.probability.sa", sa);
    }

    /// The feature `[D]` and the logits `[classes]` of one branch.
    fn branch(&mut self, branch: &str, norm: &str, head: &str, tokens: BufferId) -> (BufferId, BufferId) {
        let feature = self.recording.scratch(format!("feature.{branch}"), &[self.architecture.dim]);
        // The norm of one row is all that the head sees.
        self.layer_norm(norm, 1, tokens, feature);
        (feature, self.head(branch, head, feature))
    }

    /// The logits `[classes]` of one branch from its feature `[D]`.
    pub(super) fn head(&mut self, branch: &str, head: &str, feature: BufferId) -> BufferId {
        let (dim, classes) = (self.architecture.dim, self.architecture.classes);
        let weight = self.weight(&format!("{head}.weight"), &[classes, dim], 0..classes);
        let recording = &mut self.recording;
        let bias = recording.vector(format!("{head}.bias"), &[classes]);
        let logits = recording.scratch(format!("logits.{branch}"), &[classes]);
        let uniforms = kernels::ClassifierUniforms { dim: dim as u32, classes: classes as u32 };
        let bindings: Vec<BufferId> = [feature, weight.values, bias, logits].into_iter().chain(weight.scales).collect();
        recording.dispatch(head, self.kernels.classifier, uniforms, &bindings);
        recording.read_back(format!("out.logits.{branch}"), logits);
        self.trace(format!("out.feature.{branch}"), feature);
        logits
    }
}

//! Every intermediate result under the names of the trace files.

use burn::tensor::Tensor;

use super::{Forward, Losses, Network, host};
use crate::tensors::{self, TensorMap};

impl Network {
    /// Runs `images` `[B, 3, H, W]` and returns what [`Forward::trace`] says.
    pub fn trace(&self, images: Tensor<4>) -> TensorMap {
        self.forward(images).trace()
    }
}

impl Forward {
    /// What a trace file holds of inference: `out.embed`, `out.block.<i>` `[B, N + 1, D]`, `out.attn_mean.<i>`
    /// `[B, N + 1, N + 1]`, of a residual network `out.stage.<i>` `[B, H W, C]` instead, `out.gates.<place>` `[B, N]`, `out.sampling` `[B, H + W]`, `out.rollout` `[B, N + 1]`, `out.selected`
    /// `[B, k]`, `out.glca.attn` `[B, heads, 1 + k, N + 1]`, `out.glca.tokens` `[B, 1 + k, D]`, `out.masks.<module>` `[B, K, N]`,
    /// `out.votes.<module>` `[B, classes]`, `out.feature.*` `[B, D]`, `out.logits.*` and `out.probability` `[B, classes]`.
    pub fn trace(&self) -> TensorMap {
        let mut trace = TensorMap::default();
        if let Some(seen) = &self.tokens {
            trace.insert("out.embed", real(&seen.embed));
            for (i, (tokens, map)) in seen.blocks.iter().zip(&seen.attention_means).enumerate() {
                trace.insert(format!("out.block.{i}"), real(tokens));
                trace.insert(format!("out.attn_mean.{i}"), real(map));
            }
        }
        for (i, map) in self.stages.iter().enumerate() {
            let [batch, channels, height, width] = map.dims();
            let rows = map.clone().permute([0, 2, 3, 1]).reshape([batch, height * width, channels]);
            trace.insert(format!("out.stage.{i}"), real(&rows));
        }
        for (place, gates) in self.gates.iter().enumerate() {
            trace.insert(format!("out.gates.{place}"), real(gates));
        }
        if let Some(sampling) = &self.sampling {
            trace.insert("out.sampling", real(sampling));
        }
        trace.insert("out.rollout", real(&self.rollout));
        trace.insert("out.feature.sa", real(&self.feature_sa));
        trace.insert("out.logits.sa", real(&self.logits_sa));
        if let Some(glca) = &self.glca {
            let k = glca.selected.first().map_or(0, Vec::len);
            let selected = glca.selected.iter().flatten().map(|&token| token as i32).collect();
            trace.insert("out.selected", tensors::Tensor::i32([glca.selected.len(), k], selected));
            trace.insert("out.glca.attn", real(&glca.map));
            trace.insert("out.glca.tokens", real(&glca.tokens));
            trace.insert("out.feature.glca", real(&glca.feature));
            trace.insert("out.logits.glca", real(&glca.logits));
        }
        if let Some(rectified) = &self.rectified {
            for (place, found) in rectified.hypotheses.iter().enumerate() {
                trace.insert(format!("out.masks.{place}"), real(&found.masks.clone().flatten::<3>(2, 3)));
                trace.insert(format!("out.votes.{place}"), real(&found.logits));
            }
            trace.insert("out.logits.mixed", real(&rectified.logits));
        }
        trace.insert("out.probability", real(&self.probability()));
        trace
    }
}

impl Losses {
    /// What a trace file holds of training beside [`Forward::trace`]: `out.loss.parts` `[3]` (a branch that did not
    /// run is 0), `out.loss.total` `[1]`, `out.logits.pwca` `[B, classes]`.
    pub fn trace(&self) -> TensorMap {
        let mut trace = self.forward.trace();
        let parts = self.parts.iter().map(|part| part.as_ref().map_or(0.0, |part| host(part.clone())[0])).collect();
        trace.insert("out.loss.parts", tensors::Tensor::f32([3], parts));
        trace.insert("out.loss.total", real(&self.total));
        if let Some(logits) = &self.logits_pwca {
            trace.insert("out.logits.pwca", real(logits));
        }
        trace
    }
}

/// A tensor as a trace holds it.
pub(super) fn real<const D: usize>(tensor: &Tensor<D>) -> tensors::Tensor {
    tensors::Tensor::f32(tensor.dims(), host(tensor.clone()))
}

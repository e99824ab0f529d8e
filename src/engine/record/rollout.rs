//! Attention rollout of the class token as a vector recursion over the blocks, last block first (DCAL, section 3.2).

use super::Recorder;
use super::block::{Attention, scale};
use crate::engine::kernels::{ROLLOUT, RolloutUniforms};
use crate::engine::recording::BufferId;

/// Queries of a workgroup: enough work for one, and enough workgroups for a GPU.
const SPAN: usize = 256;

impl Recorder<'_> {
    /// The class token's row after these blocks, first block first, `[N + 1]`.
    pub(super) fn rollout(&mut self, blocks: &[Attention]) -> BufferId {
        let (tokens, head_dim, heads) =
            (self.architecture.tokens(), self.architecture.head_dim(), self.architecture.heads);
        // Each step reads one and writes the other.
        let shape = [tokens.div_ceil(SPAN) * heads, tokens];
        let mut r = self.recording.scratch("rollout.even", &shape);
        let mut next = self.recording.scratch("rollout.odd", &shape);
        let mut parts = 0;
        for (index, attention) in blocks.iter().enumerate().rev() {
            let queries = if parts == 0 { 1 } else { tokens };
            let uniforms = RolloutUniforms {
                queries: queries as u32,
                keys: tokens as u32,
                heads: heads as u32,
                head_dim: head_dim as u32,
                q_stride: attention.q_stride as u32,
                kv_stride: attention.kv_stride as u32,
                k_offset: attention.k_offset as u32,
                scale: scale(head_dim),
                parts: parts as u32,
                span: SPAN as u32,
                keep: 0.5,
            };
            let bindings = [attention.q, attention.kv, attention.lse, r, next];
            self.recording.dispatch(format!("blocks.{index}.rollout"), &ROLLOUT, uniforms, &bindings);
            std::mem::swap(&mut r, &mut next);
            parts = queries.div_ceil(SPAN) * heads;
            if index == 0 {
                let sum = self.recording.scratch("rollout", &[tokens]);
                let uniforms = RolloutUniforms { queries: 0, heads: 1, parts: parts as u32, keep: 1.0, ..uniforms };
                let bindings = [attention.q, attention.kv, attention.lse, r, sum];
                self.recording.dispatch("rollout", &ROLLOUT, uniforms, &bindings);
                r = sum;
            }
        }
        self.recording.read_back("out.rollout", r);
        r
    }

    /// The rollout that classifying left behind.
    pub(super) fn kept_rollout(&mut self) -> BufferId {
        self.recording.kept("rollout", &[self.architecture.tokens()])
    }
}

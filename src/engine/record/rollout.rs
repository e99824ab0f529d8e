//! Attention rollout of the class token as a vector recursion over the blocks, last block first (DCAL, section 3.2).

use super::Recorder;
use super::block::{Attention, scale};
use crate::engine::kernels;
use crate::engine::recording::BufferId;

impl Recorder<'_> {
    /// The class token's row after these blocks, first block first, `[N + 1]`.
    pub(super) fn rollout(&mut self, blocks: &[Attention]) -> BufferId {
        let (tokens, head_dim) = (self.architecture.tokens(), self.architecture.head_dim());
        // Each step reads one and writes the other.
        let mut r = self.recording.scratch("rollout.even", &[tokens]);
        let mut next = self.recording.scratch("rollout.odd", &[tokens]);
        for (index, attention) in blocks.iter().enumerate().rev() {
            let first = index + 1 == blocks.len();
            let uniforms = kernels::RolloutUniforms {
                queries: if first { 1 } else { tokens as u32 },
                keys: tokens as u32,
                heads: self.architecture.heads as u32,
                head_dim: head_dim as u32,
                q_stride: attention.q_stride as u32,
                kv_stride: attention.kv_stride as u32,
                k_offset: attention.k_offset as u32,
                scale: scale(head_dim),
                first: u32::from(first),
            };
            let bindings = [attention.q, attention.kv, attention.lse, r, next];
            self.recording.dispatch(format!("blocks.{index}.rollout"), &kernels::ROLLOUT, uniforms, &bindings);
            std::mem::swap(&mut r, &mut next);
        }
        self.recording.read_back("out.rollout", r);
        r
    }

    /// The rollout that classifying left behind: the steps over an even number of blocks end where they began.
    pub(super) fn kept_rollout(&mut self) -> BufferId {
        let label = if self.architecture.depth.is_multiple_of(2) { "rollout.even" } else { "rollout.odd" };
        self.recording.kept(label, &[self.architecture.tokens()])
    }
}

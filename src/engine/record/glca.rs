//! Global-local cross-attention (DCAL, section 3.3): a block of its own whose queries are the class token and the local
//! queries, and whose keys and values are all tokens of the last block. Its MLP runs on the selected tokens only.

use super::Recorder;
use super::block::{Attention, Scratch};
use crate::architecture::Architecture;
use crate::engine::EngineError;
use crate::engine::kernels;
use crate::engine::recording::BufferId;

/// What of GLCA does not depend on which patches were selected.
pub(super) struct Global {
    /// `[N + 1, D]`, the last block's output.
    pub(super) tokens: BufferId,
    /// `[N + 1, 2 D]`, keys and values of every token.
    pub(super) kv: BufferId,
    /// `[N + 1]`, rollout of the class token.
    pub(super) rollout: BufferId,
}

impl Recorder<'_> {
    /// `tokens` `[N + 1, D]`, `rollout` `[N + 1]`; gives the block's output, `[1 + k, D]`.
    pub(super) fn glca(&mut self, tokens: BufferId, rollout: BufferId) -> Result<BufferId, EngineError> {
        let (dim, all) = (self.architecture.dim, self.architecture.tokens());
        let normed = self.recording.scratch("glca.normed_all", &[all, dim]);
        let kv = self.recording.scratch("glca.kv", &[all, 2 * dim]);
        self.layer_norm("glca.norm1", all, tokens, normed);
        self.linear("glca.attn.qkv", 3 * dim, dim..3 * dim, all, normed, kv);
        self.glca_of_selected(&Global { tokens, kv, rollout })
    }

    /// From the selection on: all that depends on R.
    pub(super) fn glca_of_selected(&mut self, global: &Global) -> Result<BufferId, EngineError> {
        let (dim, all, k) = (self.architecture.dim, self.architecture.tokens(), self.architecture.selected());
        let rows = 1 + k;
        let &Global { tokens, kv, rollout } = global;
        let recording = &mut self.recording;
        let selected = recording.scratch("selected", &[k]);
        let uniforms = kernels::SelectUniforms { tokens: all as u32, selected: k as u32 };
        recording.dispatch("glca.select", &kernels::SELECT, uniforms, &[rollout, selected]);
        recording.read_back_integers("out.selected", selected);
        let x = recording.scratch("glca.tokens", &[rows, dim]);
        let uniforms = kernels::GatherUniforms { rows: rows as u32, dim: dim as u32 };
        recording.dispatch("glca.gather", &kernels::GATHER, uniforms, &[tokens, selected, x]);

        // Keys and values of every token, queries of the selected ones: the same weights, another part of them.
        let q = recording.scratch("glca.q", &[rows, dim]);
        let lse = recording.scratch("glca.lse", &[self.architecture.heads, rows]);
        let scratch = Scratch::new(self, "glca.", rows);
        self.layer_norm("glca.norm1", rows, x, scratch.normed);
        self.linear("glca.attn.qkv", 3 * dim, 0..dim, rows, scratch.normed, q);
        let attention = glca_attention(self.architecture, q, kv, lse);
        self.attend("glca", &attention, &scratch, x)?;
        self.mlp("glca", rows, &scratch, x);
        if self.detail == super::Detail::Trace {
            let maps = self.recording.scratch("glca.attn_map", &[self.architecture.heads, rows, all]);
            self.attention_map("glca", &kernels::ATTENTION_HEADS, &attention, maps);
            self.trace("out.glca.attn", maps);
            self.trace("out.glca.tokens", x);
        }
        Ok(x)
    }
}

/// The attention of class token and local queries over every token.
pub(super) fn glca_attention(architecture: &Architecture, q: BufferId, kv: BufferId, lse: BufferId) -> Attention {
    let (dim, queries) = (architecture.dim, 1 + architecture.selected());
    Attention { q, kv, lse, queries, q_stride: dim, kv_stride: 2 * dim, k_offset: 0, v_offset: dim }
}

//! The backbone: patch embedding and the transformer blocks with self-attention (SA).

use super::Recorder;
use super::block::{Attention, Scratch};
use crate::architecture::Architecture;
use crate::engine::EngineError;
use crate::engine::kernels;
use crate::engine::recording::BufferId;
use crate::tensors::Precision;

/// What the backbone leaves behind.
pub(super) struct Backbone {
    /// `[N + 1, D]`, the last block's output.
    pub(super) tokens: BufferId,
    /// Each block's queries, keys and log-sum-exp, first block first: what rollout needs.
    pub(super) attention: Vec<Attention>,
}

impl Recorder<'_> {
    pub(super) fn vit(&mut self) -> Result<Backbone, EngineError> {
        let architecture = self.architecture;
        let [height, width] = architecture.image_size;
        let (side, dim, tokens) = (architecture.patch_size, architecture.dim, architecture.tokens());
        let recording = &mut self.recording;
        let image = recording.input("image", &[3, height, width]);
        // No matrix, hence never in eight bits.
        let precision = self.precision.min(Precision::F16);
        let weight = recording.linear("patch_embed.proj.weight", &[dim, 3, side, side], 0..dim, precision);
        let bias = recording.vector("patch_embed.proj.bias", &[dim]);
        let class_token = recording.vector("cls_token", &[1, 1, dim]);
        let position = recording.vector("pos_embed", &[1, tokens, dim]);
        // The residual stream: embedded here, added to by every block.
        let x = recording.scratch("tokens", &[tokens, dim]);
        recording.dispatch(
            "patch_embed",
            self.kernels.patch_embed,
            kernels::PatchEmbedUniforms {
                height: height as u32,
                width: width as u32,
                side: side as u32,
                dim: dim as u32,
            },
            &[image, weight, bias, class_token, position, x],
        );
        self.trace("out.embed", x);
        let scratch = Scratch::new(self, "", tokens);
        let mut attention = Vec::new();
        for index in 0..architecture.depth {
            let block = format!("blocks.{index}");
            // Every block keeps its own Q and K, because rollout runs backwards over them after the last block.
            let qkv = self.recording.scratch(format!("{block}.qkv"), &[tokens, 3 * dim]);
            self.layer_norm(&format!("{block}.norm1"), tokens, x, scratch.normed);
            self.linear(&format!("{block}.attn.qkv"), 3 * dim, 0..3 * dim, tokens, scratch.normed, qkv);
            let lse = self.recording.scratch(format!("{block}.lse"), &[architecture.heads, tokens]);
            let shape = self_attention(architecture, qkv, lse);
            self.attend(&block, &shape, &scratch, x)?;
            self.mlp(&block, tokens, &scratch, x);
            self.rga(index, x);
            self.rectify(index, x);
            if self.detail == super::Detail::Trace {
                let map = self.recording.scratch(format!("{block}.attn_mean"), &[tokens, tokens]);
                self.attention_map(&block, &kernels::ATTENTION_MEAN, &shape, map);
                self.trace(format!("out.attn_mean.{index}"), map);
                self.trace(format!("out.block.{index}"), x);
            }
            attention.push(shape);
        }
        Ok(Backbone { tokens: x, attention })
    }
}

/// The attention of every token over every token: queries, keys and values side by side in `qkv` `[N + 1, 3 D]`.
pub(super) fn self_attention(architecture: &Architecture, qkv: BufferId, lse: BufferId) -> Attention {
    let (dim, queries) = (architecture.dim, architecture.tokens());
    Attention { q: qkv, kv: qkv, lse, queries, q_stride: 3 * dim, kv_stride: 3 * dim, k_offset: dim, v_offset: 2 * dim }
}

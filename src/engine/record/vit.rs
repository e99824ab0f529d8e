//! The backbone: patch embedding, of a hybrid behind its convolutions, and the transformer blocks with self-attention (SA).

use super::Recorder;
use super::block::{Attention, Scratch};
use super::hybrid;
use super::matrix::Map;
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

/// The buffers that a pass over the backbone writes. With TASN there are two, and the second one's results stay.
pub(super) struct Stream {
    /// `[N + 1, D]`
    pub(super) x: BufferId,
    pub(super) scratch: Scratch,
    attention: Vec<Attention>,
    /// What a hybrid has before the patches.
    hybrid: Option<hybrid::Buffers>,
}

impl Recorder<'_> {
    pub(super) fn vit(&mut self) -> Result<Backbone, EngineError> {
        let architecture = self.architecture;
        let (tokens, dim, [height, width]) = (architecture.tokens(), architecture.dim, architecture.input_size());
        let image = self.recording.input("image", &[3, height, width]);
        // The residual stream: embedded here, added to by every block.
        let x = self.recording.scratch("tokens", &[tokens, dim]);
        let scratch = Scratch::new(self, "", tokens);
        // Every block keeps its own Q and K, because rollout runs backwards over them after the last block.
        let attention = (0..architecture.depth).map(|index| {
            let qkv = self.recording.scratch(format!("blocks.{index}.qkv"), &[tokens, 3 * dim]);
            let lse = self.recording.scratch(format!("blocks.{index}.lse"), &[architecture.heads, tokens]);
            self_attention(architecture, qkv, lse)
        });
        let attention = attention.collect();
        let hybrid = self.hybrid_buffers();
        let stream = Stream { x, scratch, attention, hybrid };
        let image = match architecture.tasn() {
            Some(settings) => self.resampled(settings, image, &mut |recorder, small| {
                // What this leaves in the buffers of the stream the next pass writes over.
                recorder.pass(small, &stream, settings.after)?;
                let normed = stream.scratch.normed;
                recorder.layer_norm("tasn.norm", tokens, x, normed);
                let Map { offset, height, width, channels, .. } = patch_map(architecture, x);
                let count = height * width * channels;
                let buffer = recorder.recording.scratch("tasn.map", &[height * width, channels]);
                recorder.recording.relu("tasn.map", normed, offset, count, buffer);
                Ok(Map { buffer, offset: 0, height, width, channels })
            })?,
            None => image,
        };
        self.pass(image, &stream, architecture.depth)?;
        Ok(Backbone { tokens: x, attention: stream.attention })
    }

    /// An image `[3, H, W]` through the first `count` blocks, in the buffers of `stream`.
    pub(super) fn pass(&mut self, image: BufferId, stream: &Stream, count: usize) -> Result<(), EngineError> {
        let architecture = self.architecture;
        let [height, width] = architecture.image_size;
        let (dim, tokens) = (architecture.dim, architecture.tokens());
        let &Stream { x, ref scratch, ref attention, ref hybrid } = stream;
        let photo = Map { buffer: image, offset: 0, height, width, channels: 3 };
        // What patches are cut from, their side there, and how it lies in memory.
        let (seen, side, [x_position, x_channel]) = match hybrid {
            Some(buffers) => {
                let map = self.hybrid(photo, buffers);
                (map, 1, [map.channels, 1])
            }
            None => (photo, architecture.patch_size, [1, height * width]),
        };
        let recording = &mut self.recording;
        // No matrix, hence never in eight bits.
        let precision = self.precision.min(Precision::F16);
        let weight = recording.linear("patch_embed.proj.weight", &[dim, seen.channels, side, side], 0..dim, precision);
        let bias = recording.vector("patch_embed.proj.bias", &[dim]);
        let class_token = recording.vector("cls_token", &[1, 1, dim]);
        let position = recording.vector("pos_embed", &[1, tokens, dim]);
        recording.dispatch(
            "patch_embed",
            self.kernels.patch_embed,
            kernels::PatchEmbedUniforms {
                height: seen.height as u32,
                width: seen.width as u32,
                channels: seen.channels as u32,
                side: side as u32,
                dim: dim as u32,
                x_position: x_position as u32,
                x_channel: x_channel as u32,
            },
            &[seen.buffer, weight, bias, class_token, position, x],
        );
        self.trace("out.embed", x);
        let map = patch_map(architecture, x);
        for (index, shape) in attention.iter().enumerate().take(count) {
            let block = format!("blocks.{index}");
            self.layer_norm(&format!("{block}.norm1"), tokens, x, scratch.normed);
            self.linear(&format!("{block}.attn.qkv"), 3 * dim, 0..3 * dim, tokens, scratch.normed, shape.q);
            self.attend(&block, shape, scratch, x)?;
            self.mlp(&block, tokens, scratch, x);
            self.rga(index, &map);
            self.rectify(index, &map);
            if self.detail == super::Detail::Trace {
                let map = self.recording.scratch(format!("{block}.attn_mean"), &[tokens, tokens]);
                self.attention_map(&block, &kernels::ATTENTION_MEAN, shape, map);
                self.trace(format!("out.attn_mean.{index}"), map);
                self.trace(format!("out.block.{index}"), x);
            }
        }
        Ok(())
    }
}

/// The patch tokens of `[N + 1, D]`, behind the class token.
fn patch_map(architecture: &Architecture, tokens: BufferId) -> Map {
    let (channels, [height, width]) = (architecture.dim, architecture.grid());
    Map { buffer: tokens, offset: channels, height, width, channels }
}

/// The attention of every token over every token: queries, keys and values side by side in `qkv` `[N + 1, 3 D]`.
pub(super) fn self_attention(architecture: &Architecture, qkv: BufferId, lse: BufferId) -> Attention {
    let (dim, queries) = (architecture.dim, architecture.tokens());
    Attention { q: qkv, kv: qkv, lse, queries, q_stride: 3 * dim, kv_stride: 3 * dim, k_offset: dim, v_offset: 2 * dim }
}

//! The parts of a transformer block, shared by the backbone and GLCA.

use std::ops::Range;

use super::Recorder;
use crate::engine::EngineError;
use crate::engine::kernels;
use crate::engine::recording::{BufferId, Kernel};

/// One attention: where its queries, keys and values lie, and each row's log-sum-exp.
pub(super) struct Attention {
    /// `[queries, q_stride]`, the queries at 0.
    pub(super) q: BufferId,
    /// `[N + 1, kv_stride]`, keys and values at their offsets.
    pub(super) kv: BufferId,
    /// `[heads, queries]`
    pub(super) lse: BufferId,
    /// Query tokens.
    pub(super) queries: usize,
    /// Values from one query token to the next.
    pub(super) q_stride: usize,
    /// Values from one key token to the next.
    pub(super) kv_stride: usize,
    /// Where the keys start.
    pub(super) k_offset: usize,
    /// Where the values start.
    pub(super) v_offset: usize,
}

/// What a block writes on its way, used again by the next one.
pub(super) struct Scratch {
    /// `[rows, D]`, a layer norm's result.
    pub(super) normed: BufferId,
    /// `[rows, D]`, the heads' outputs side by side.
    attended: BufferId,
    /// `[rows, hidden]`, the MLP's hidden layer.
    hidden: BufferId,
}

impl Scratch {
    /// Buffers for `rows` tokens.
    pub(super) fn new(recorder: &mut Recorder<'_>, prefix: &str, rows: usize) -> Self {
        let (dim, hidden) = (recorder.architecture.dim, recorder.architecture.hidden());
        let recording = &mut recorder.recording;
        Self {
            normed: recording.scratch(format!("{prefix}normed"), &[rows, dim]),
            attended: recording.scratch(format!("{prefix}attended"), &[rows, dim]),
            hidden: recording.scratch(format!("{prefix}hidden"), &[rows, hidden]),
        }
    }
}

/// `1 / sqrt(d)`, rounded once.
pub(super) fn scale(head_dim: usize) -> f32 {
    (1.0 / (head_dim as f64).sqrt()) as f32
}

impl Recorder<'_> {
    /// A linear layer without GELU or residual: outputs `part` of the `outputs` of layer `name`, for `rows` tokens.
    pub(super) fn linear(
        &mut self,
        name: &str,
        outputs: usize,
        part: Range<usize>,
        rows: usize,
        x: BufferId,
        y: BufferId,
    ) {
        let inner = self.architecture.dim;
        let columns = part.len();
        let weight = self.weight(&format!("{name}.weight"), &[outputs, inner], part.clone());
        let bias = self.recording.vector_part(format!("{name}.bias"), outputs, part);
        self.matmul(name, self.kernels.matmul, [rows, inner, columns], [x, weight.values, bias, y], weight.scales);
    }

    fn matmul(
        &mut self,
        name: &str,
        kernel: &'static Kernel,
        shape: [usize; 3],
        bindings: [BufferId; 4],
        scales: Option<BufferId>,
    ) {
        let [rows, inner, columns] = shape.map(|n| n as u32);
        let bindings: Vec<BufferId> = bindings.into_iter().chain(scales).collect();
        self.recording.dispatch(name, kernel, kernels::MatmulUniforms { rows, inner, columns }, &bindings);
    }

    /// A layer whose result is added to `y` (RESIDUAL) or goes through GELU into `y`.
    fn fused(&mut self, name: &str, kernel: &'static Kernel, shape: [usize; 3], x: BufferId, y: BufferId) {
        let [_, inner, columns] = shape;
        let weight = self.weight(&format!("{name}.weight"), &[columns, inner], 0..columns);
        let bias = self.recording.vector(format!("{name}.bias"), &[columns]);
        self.matmul(name, kernel, shape, [x, weight.values, bias, y], weight.scales);
    }

    /// Attention and its projection, added to the residual stream `x` `[queries, D]`.
    pub(super) fn attend(
        &mut self,
        block: &str,
        attention: &Attention,
        scratch: &Scratch,
        x: BufferId,
    ) -> Result<(), EngineError> {
        let (dim, heads, head_dim) = (self.architecture.dim, self.architecture.heads, self.architecture.head_dim());
        let kernel = kernels::attention(head_dim)
            .ok_or_else(|| EngineError::Unsupported(format!("an attention head is {head_dim} wide")))?;
        let uniforms = kernels::AttentionUniforms {
            queries: attention.queries as u32,
            keys: self.architecture.tokens() as u32,
            heads: heads as u32,
            head_dim: head_dim as u32,
            q_stride: attention.q_stride as u32,
            kv_stride: attention.kv_stride as u32,
            k_offset: attention.k_offset as u32,
            v_offset: attention.v_offset as u32,
            scale: scale(head_dim),
        };
        let bindings = [attention.q, attention.kv, scratch.attended, attention.lse];
        self.recording.dispatch(format!("{block}.attn"), kernel, uniforms, &bindings);
        let shape = [attention.queries, dim, dim];
        self.fused(&format!("{block}.attn.proj"), self.kernels.matmul_residual, shape, scratch.attended, x);
        Ok(())
    }

    /// Norm and MLP, added to the residual stream `x` `[rows, D]`.
    pub(super) fn mlp(&mut self, block: &str, rows: usize, scratch: &Scratch, x: BufferId) {
        let (dim, hidden) = (self.architecture.dim, self.architecture.hidden());
        self.layer_norm(&format!("{block}.norm2"), rows, x, scratch.normed);
        let shape = [rows, dim, hidden];
        self.fused(&format!("{block}.mlp.fc1"), self.kernels.matmul_gelu, shape, scratch.normed, scratch.hidden);
        let shape = [rows, hidden, dim];
        self.fused(&format!("{block}.mlp.fc2"), self.kernels.matmul_residual, shape, scratch.hidden, x);
    }

    /// The attention weights themselves (traces only), by [`kernels::ATTENTION_MEAN`] or [`kernels::ATTENTION_HEADS`].
    pub(super) fn attention_map(&mut self, block: &str, kernel: &'static Kernel, attention: &Attention, map: BufferId) {
        let head_dim = self.architecture.head_dim();
        let uniforms = kernels::AttentionMeanUniforms {
            queries: attention.queries as u32,
            keys: self.architecture.tokens() as u32,
            heads: self.architecture.heads as u32,
            head_dim: head_dim as u32,
            q_stride: attention.q_stride as u32,
            kv_stride: attention.kv_stride as u32,
            k_offset: attention.k_offset as u32,
            scale: scale(head_dim),
        };
        let bindings = [attention.q, attention.kv, attention.lse, map];
        self.recording.dispatch(format!("{block}.attn_map"), kernel, uniforms, &bindings);
    }
}

//! What can be recorded after a photo was classified: further passes over what [`super::classify`] left in its buffers.
//!
//! Every block keeps its queries, keys, values and log-sum-exp (rollout needs them), and the last tokens, the rollout and
//! GLCA's keys and values stay where they are. So attention, rollout, another R and the difference of two classes cost no
//! pass over the backbone: none of these recordings has one of its dispatches.

use std::ops::RangeInclusive;

use super::block::{Attention, scale};
use super::glca::{Global, glca_attention as glca_layout};
use super::vit::self_attention;
use super::{Detail, Recorder};
use crate::architecture::Architecture;
use crate::engine::EngineError;
use crate::engine::kernels;
use crate::engine::recording::{BufferId, Recording};
use crate::look::{LookError, check_attention, check_classes, check_layer, check_token};
use crate::tensors::Precision;

/// The attention of token `query` over all tokens in each of `layers`: `out.attention.<layer>` `[heads, N + 1]`.
///
/// # Errors
/// [`EngineError::Look`] for a layer or token that is not there.
pub fn attention(
    architecture: &Architecture,
    layers: RangeInclusive<usize>,
    query: usize,
) -> Result<Recording, EngineError> {
    check_layer(architecture, *layers.end())?;
    check_token(architecture, query)?;
    let mut recorder = Recorder::new(architecture, Precision::F32, Detail::Answer)?;
    for layer in layers {
        let attention = recorder.kept_block(layer);
        recorder.attention_row(&format!("attention.{layer}"), &attention, query);
    }
    Ok(recorder.recording)
}

/// GLCA's attention of its query in `row` (0: class token, then the local queries as selected) over all tokens:
/// `out.attention.glca` `[heads, N + 1]`. The ratio R is that of `architecture`.
///
/// # Errors
/// [`EngineError::Look`] without GLCA.
pub fn glca_attention(architecture: &Architecture, row: usize) -> Result<Recording, EngineError> {
    architecture.glca().ok_or(LookError::NoGlca)?;
    let mut recorder = Recorder::new(architecture, Precision::F32, Detail::Answer)?;
    let attention = recorder.kept_glca();
    recorder.attention_row("attention.glca", &attention, row);
    Ok(recorder.recording)
}

/// Rollout from the class token's row after block `layer` down to the first block: `out.rollout` `[N + 1]`. For the last
/// layer it is the rollout that classifying gives.
///
/// # Errors
/// [`EngineError::Look`] for a layer that is not there.
pub fn rollout(architecture: &Architecture, layer: usize) -> Result<Recording, EngineError> {
    check_layer(architecture, layer)?;
    let mut recorder = Recorder::new(architecture, Precision::F32, Detail::Answer)?;
    let blocks: Vec<Attention> = (0..=layer).map(|layer| recorder.kept_block(layer)).collect();
    recorder.rollout(&blocks);
    Ok(recorder.recording)
}

/// Everything that depends on R, for the R of `architecture`: selection, gathering, GLCA on the selected tokens, its
/// classifier and the answer. Reads back what [`super::classify`] does, except SA's logits and the rollout, which stay.
///
/// GLCA's keys and values are those of all tokens and stay, too; its queries have buffers of their own, as large as this R
/// needs. Buffers for R = 1 made beforehand would let a slider run without any allocation, and would cost every photo
/// ten times GLCA's activations for a slider that few people touch.
///
/// # Errors
/// [`EngineError::Look`] without GLCA.
pub fn tail(architecture: &Architecture, precision: Precision) -> Result<Recording, EngineError> {
    architecture.glca().ok_or(LookError::NoGlca)?;
    let (all, dim) = (architecture.tokens(), architecture.dim);
    let mut recorder = Recorder::new(architecture, precision, Detail::Answer)?;
    let tokens = recorder.recording.kept("tokens", &[all, dim]);
    let kv = recorder.recording.kept("glca.kv", &[all, 2 * dim]);
    let rollout = recorder.kept_rollout();
    let logits_sa = recorder.recording.kept("logits.sa", &[architecture.classes]);
    let glca = recorder.glca_of_selected(&Global { tokens, kv, rollout })?;
    recorder.answer(logits_sa, Some(glca));
    Ok(recorder.recording)
}

/// What set two classes apart ([`crate::look::Difference`]): `out.difference.sa` and, with GLCA,
/// `out.difference.glca`, `[N + 1]`.
///
/// # Errors
/// [`EngineError::Look`] for a class that is not there, and for a residual network.
pub fn difference(
    architecture: &Architecture,
    precision: Precision,
    classes: [usize; 2],
) -> Result<Recording, EngineError> {
    check_attention(architecture)?;
    check_classes(architecture, classes)?;
    let (all, dim) = (architecture.tokens(), architecture.dim);
    let mut recorder = Recorder::new(architecture, precision, Detail::Answer)?;
    let mut blocks: Vec<(String, Attention)> =
        (0..architecture.depth).map(|layer| (format!("blocks.{layer}"), recorder.kept_block(layer))).collect();
    let tokens = recorder.recording.kept("tokens", &[all, dim]);
    recorder.branch_difference("sa", ["norm", "head"], tokens, classes, &blocks);
    if architecture.glca().is_some() {
        blocks.push(("glca".into(), recorder.kept_glca()));
        let tokens = recorder.recording.kept("glca.tokens", &[1 + architecture.selected(), dim]);
        recorder.branch_difference("glca", ["glca_norm", "glca_head"], tokens, classes, &blocks);
    }
    Ok(recorder.recording)
}

impl Recorder<'_> {
    /// What block `layer` left behind.
    fn kept_block(&mut self, layer: usize) -> Attention {
        let (tokens, dim, heads) = (self.architecture.tokens(), self.architecture.dim, self.architecture.heads);
        let qkv = self.recording.kept(format!("blocks.{layer}.qkv"), &[tokens, 3 * dim]);
        let lse = self.recording.kept(format!("blocks.{layer}.lse"), &[heads, tokens]);
        self_attention(self.architecture, qkv, lse)
    }

    /// What GLCA left behind.
    fn kept_glca(&mut self) -> Attention {
        let (tokens, dim, heads) = (self.architecture.tokens(), self.architecture.dim, self.architecture.heads);
        let rows = 1 + self.architecture.selected();
        let q = self.recording.kept("glca.q", &[rows, dim]);
        let kv = self.recording.kept("glca.kv", &[tokens, 2 * dim]);
        let lse = self.recording.kept("glca.lse", &[heads, rows]);
        glca_layout(self.architecture, q, kv, lse)
    }

    /// Each head's attention of one query, `[heads, N + 1]`, as `out.<name>`.
    fn attention_row(&mut self, name: &str, attention: &Attention, query: usize) {
        let (heads, keys, head_dim) =
            (self.architecture.heads, self.architecture.tokens(), self.architecture.head_dim());
        let y = self.recording.scratch(name, &[heads, keys]);
        let uniforms = kernels::AttentionRowUniforms {
            query: query as u32,
            queries: attention.queries as u32,
            keys: keys as u32,
            heads: heads as u32,
            head_dim: head_dim as u32,
            q_stride: attention.q_stride as u32,
            kv_stride: attention.kv_stride as u32,
            k_offset: attention.k_offset as u32,
            scale: scale(head_dim),
        };
        let bindings = [attention.q, attention.kv, attention.lse, y];
        self.recording.dispatch(name, &kernels::ATTENTION_ROW, uniforms, &bindings);
        self.recording.read_back(format!("out.{name}"), y);
    }

    /// The difference of one branch's two logits over the tokens that `blocks` (each with its name) read; the branch ends
    /// with the class token of `tokens`, its norm and its head.
    fn branch_difference(
        &mut self,
        branch: &str,
        [norm, head]: [&str; 2],
        tokens: BufferId,
        [first, second]: [usize; 2],
        blocks: &[(String, Attention)],
    ) {
        let Architecture { dim, classes, heads, layer_norm_eps: eps, .. } = *self.architecture;
        let (keys, head_dim) = (self.architecture.tokens(), self.architecture.head_dim());
        let gamma = self.recording.vector(format!("{norm}.weight"), &[dim]);
        let weight = self.weight(&format!("{head}.weight"), &[classes, dim], 0..classes);
        let recording = &mut self.recording;
        let g = recording.scratch(format!("direction.{branch}"), &[dim]);
        let uniforms = kernels::DirectionUniforms {
            dim: dim as u32,
            classes: classes as u32,
            first: first as u32,
            second: second as u32,
            eps,
        };
        let bindings: Vec<BufferId> = [tokens, gamma, weight.values, g].into_iter().chain(weight.scales).collect();
        recording.dispatch(format!("{head}.direction"), self.kernels.direction, uniforms, &bindings);
        let values = recording.scratch(format!("direction.{branch}.values"), &[dim]);
        let y = recording.scratch(format!("difference.{branch}"), &[keys]);
        for (index, (block, attention)) in blocks.iter().enumerate() {
            let projection = self.weight(&format!("{block}.attn.proj.weight"), &[dim, dim], 0..dim);
            let recording = &mut self.recording;
            let uniforms = kernels::PullBackUniforms { rows: dim as u32, columns: dim as u32 };
            let bindings: Vec<BufferId> = [projection.values, g, values].into_iter().chain(projection.scales).collect();
            recording.dispatch(format!("{block}.pull_back"), self.kernels.pull_back, uniforms, &bindings);
            let uniforms = kernels::ContributionUniforms {
                query: 0,
                queries: attention.queries as u32,
                keys: keys as u32,
                heads: heads as u32,
                head_dim: head_dim as u32,
                q_stride: attention.q_stride as u32,
                kv_stride: attention.kv_stride as u32,
                k_offset: attention.k_offset as u32,
                v_offset: attention.v_offset as u32,
                scale: scale(head_dim),
                first: u32::from(index == 0),
            };
            let bindings = [attention.q, attention.kv, attention.lse, values, y];
            recording.dispatch(format!("{block}.contribution"), &kernels::CONTRIBUTION, uniforms, &bindings);
        }
        self.recording.read_back(format!("out.difference.{branch}"), y);
    }
}

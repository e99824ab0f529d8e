//! Looking into the photo that was classified last: the engine's hooks between layers.
//!
//! Classifying leaves each block's queries, keys, values and log-sum-exp on the device. A look is a further recording that
//! names those buffers ([`Recording::kept`]); it is compiled, run and freed by itself, so classifying pays nothing for it.

use std::sync::{Arc, PoisonError};

use super::executor::Executor;
use super::recording::Recording;
use super::{Engine, EngineError, record};
use crate::answer::Answer;
use crate::architecture::Architecture;
use crate::look::{Difference, LookError, check_layer, check_token, gate_places, glca_row, masked};
use crate::tensors::{Tensor, TensorMap, Values};

/// What is known of the photo that was classified last.
pub(super) struct Seen {
    /// The network's, with the R of `answer`.
    pub(super) architecture: Architecture,
    pub(super) answer: Answer,
    /// GLCA for another R than the network's, with its buffers.
    pub(super) tail: Option<Executor>,
}

#[cfg_attr(
    target_arch = "wasm32",
    expect(clippy::arc_with_non_send_sync, reason = "a browser's buffers stay on their thread, other systems' do not")
)]
fn shared(seen: Seen) -> Arc<Seen> {
    Arc::new(seen)
}

impl Engine {
    /// Runs a recording over what classifying the last photo left on the device: [`Recording::kept`] names a buffer by its
    /// label in [`record::classify`], and in [`record::tail`] after [`Engine::with_ratio`]. Weights are named as there.
    ///
    /// # Errors
    /// [`EngineError::Look`] before the first photo, or for a buffer that is not there.
    pub async fn look(&self, recording: Recording) -> Result<TensorMap, EngineError> {
        let seen = self.seen().ok_or(LookError::NoPhoto)?;
        let look = self.follow_up(recording, &seen).await?;
        look.run(&self.gpu, &[]).await
    }

    /// The attention of token `query` over all tokens in block `layer`, each head by itself: `[heads, N + 1]`, each row
    /// sums to 1. Token 0 is the class token.
    ///
    /// # Errors
    /// [`EngineError::Look`] for a layer or token that is not there, or before the first photo.
    pub async fn attention(&self, layer: usize, query: usize) -> Result<Vec<f32>, EngineError> {
        check_layer(&self.architecture, layer)?;
        let results = self.look(record::attention(&self.architecture, layer..=layer, query)?).await?;
        reals(results, &[format!("out.attention.{layer}")])
    }

    /// The same in every block, one submission: `[depth, heads, N + 1]`.
    ///
    /// # Errors
    /// As [`Engine::attention`].
    pub async fn attention_of_layers(&self, query: usize) -> Result<Vec<f32>, EngineError> {
        let depth = self.architecture.depth;
        check_token(&self.architecture, query)?;
        let results = self.look(record::attention(&self.architecture, 0..=depth.saturating_sub(1), query)?).await?;
        reals(results, &(0..depth).map(|layer| format!("out.attention.{layer}")).collect::<Vec<_>>())
    }

    /// GLCA's attention of token `query`, the class token (0) or a local query, over all tokens: `[heads, N + 1]`.
    ///
    /// # Errors
    /// [`EngineError::Look`] without GLCA, for a token that was not selected, or before the first photo.
    pub async fn glca_attention(&self, query: usize) -> Result<Vec<f32>, EngineError> {
        let seen = self.seen().ok_or(LookError::NoPhoto)?;
        let row = glca_row(&seen.architecture, &seen.answer, query)?;
        let results = self.look(record::glca_attention(&seen.architecture, row)?).await?;
        reals(results, &["out.attention.glca".into()])
    }

    /// Rollout from the class token's row after block `layer` down to the photo, `[N + 1]`; sums to 1.
    ///
    /// # Errors
    /// [`EngineError::Look`] for a layer that is not there, or before the first photo.
    pub async fn rollout(&self, layer: usize) -> Result<Vec<f32>, EngineError> {
        let results = self.look(record::rollout(&self.architecture, layer)?).await?;
        reals(results, &["out.rollout".into()])
    }

    /// RGA's spatial gates, from 0 to 1, of each place that has them: `[places, N]`.
    ///
    /// # Errors
    /// [`EngineError::Look`] for a network without them, or before the first photo.
    pub async fn gates(&self) -> Result<Vec<f32>, EngineError> {
        let places = gate_places(&self.architecture)?;
        let results = self.look(record::gates_seen(&self.architecture)?).await?;
        reals(results, &(0..places).map(|place| format!("out.gates.{place}")).collect::<Vec<_>>())
    }

    /// Where each head of each module of Attend and Rectify looks, `[modules, K, N]`; each head's mask sums to 1.
    ///
    /// # Errors
    /// [`EngineError::Look`] for a network without them, or before the first photo.
    pub async fn masks(&self) -> Result<Vec<f32>, EngineError> {
        let places = masked(&self.architecture)?.after.len();
        let results = self.look(record::masks_seen(&self.architecture)?).await?;
        reals(results, &(0..places).map(|place| format!("out.masks.{place}")).collect::<Vec<_>>())
    }

    /// The answer to the same photo with another share `ratio` of local queries, in (0, 1]: only what depends on it runs
    /// ([`record::tail`]). Later looks see this answer's local queries.
    /// The logits are those of any other R: GLCA is one block, in which the class token reads all tokens and no other query.
    ///
    /// # Errors
    /// [`EngineError::Look`] without GLCA, for a ratio outside (0, 1], or before the first photo; as [`Engine::classify`].
    pub async fn with_ratio(&self, ratio: f64) -> Result<Answer, EngineError> {
        let seen = self.seen().ok_or(LookError::NoPhoto)?;
        let architecture = self.architecture.with_ratio(ratio)?;
        // Written by classifying, not by another tail: the one before can go.
        let tail = self.follow_up(record::tail(&architecture, self.precision)?, &seen).await?;
        let mut results = tail.run(&self.gpu, &[]).await?;
        let before = &seen.answer;
        for (name, values) in [("out.logits.sa", &before.logits_sa), ("out.rollout", &before.rollout)] {
            results.insert(name, Tensor::f32([values.len()], values.clone()));
        }
        let answer = super::answer(results)?;
        // Another photo may have come meanwhile.
        let mut current = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, &seen)) {
            *current = Some(shared(Seen { architecture, answer: answer.clone(), tail: Some(tail) }));
        }
        Ok(answer)
    }

    /// What set class `classes[0]` apart from class `classes[1]` in the last photo.
    ///
    /// # Errors
    /// [`EngineError::Look`] for a class that is not there, or before the first photo.
    pub async fn difference(&self, classes: [usize; 2]) -> Result<Difference, EngineError> {
        let seen = self.seen().ok_or(LookError::NoPhoto)?;
        let mut results = self.look(record::difference(&seen.architecture, self.precision, classes)?).await?;
        let glca = results.remove("out.difference.glca").map_or_else(Vec::new, values);
        Ok(Difference { sa: reals(results, &["out.difference.sa".into()])?, glca })
    }

    pub(super) fn seen(&self) -> Option<Arc<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_seen(&self, seen: Option<Seen>) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen.map(shared);
    }

    async fn follow_up(&self, mut recording: Recording, seen: &Seen) -> Result<Executor, EngineError> {
        recording.check()?;
        self.choice.apply(&mut recording);
        self.pipelines.compile(&self.gpu, &recording, |_, _| {}).await?;
        let earlier: Vec<&Executor> = std::iter::once(&self.frame).chain(&seen.tail).collect();
        Executor::new(&self.gpu, recording, &self.pipelines, &self.weights, &earlier).await
    }
}

/// The values of these results, one after the other; all of them numbers.
fn reals(mut results: TensorMap, names: &[String]) -> Result<Vec<f32>, EngineError> {
    let all: Vec<f32> = names.iter().filter_map(|name| results.remove(name)).flat_map(values).collect();
    if all.iter().all(|v| v.is_finite()) { Ok(all) } else { Err(EngineError::NotFinite("attention")) }
}

fn values(tensor: Tensor) -> Vec<f32> {
    match tensor.values {
        Values::F32(values) => values,
        Values::I32(_) => Vec::new(),
    }
}

//! Writes the forward pass of an architecture as a [`Recording`]: one file a part of the network. A further mechanism is
//! a module here beside `glca`, called from [`classify`] by its variant of [`Mechanism`].

mod block;
mod classifier;
mod glca;
mod look;
mod rollout;
mod vit;

pub use look::{attention, difference, glca_attention, rollout, tail};

use super::EngineError;
use super::kernels;
use super::recording::{BufferId, Recording};
use crate::architecture::{Architecture, Mechanism};

/// How much is read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Detail {
    /// The answer.
    Answer,
    /// Every intermediate result.
    Trace,
}

/// The recording under construction and what every part of it needs.
struct Recorder<'a> {
    recording: Recording,
    architecture: &'a Architecture,
    detail: Detail,
}

/// The recording of one photo's classification, reading back what [`crate::answer::Answer`] holds: `out.logits.sa`,
/// `out.logits.glca`, `out.probability.sa`, `out.probability.glca`, `out.probability`, `out.rollout`, `out.selected`.
///
/// # Errors
/// [`EngineError::Architecture`] or [`EngineError::Unsupported`].
pub fn classify(architecture: &Architecture) -> Result<Recording, EngineError> {
    record(architecture, Detail::Answer)
}

/// The plain backbone with its classifier, without rollout and GLCA: what those two cost is measured beside it.
///
/// # Errors
/// As [`classify`].
pub fn self_attention(architecture: &Architecture) -> Result<Recording, EngineError> {
    let mut recorder = Recorder::new(architecture, Detail::Answer)?;
    let backbone = recorder.vit()?;
    recorder.classifier(backbone.tokens, None);
    Ok(recorder.recording)
}

/// As [`classify`], reading back every intermediate result under the names of the trace files as well.
///
/// # Errors
/// As [`classify`].
pub fn trace(architecture: &Architecture) -> Result<Recording, EngineError> {
    record(architecture, Detail::Trace)
}

fn record(architecture: &Architecture, detail: Detail) -> Result<Recording, EngineError> {
    let mut recorder = Recorder::new(architecture, detail)?;
    let backbone = recorder.vit()?;
    let rollout = recorder.rollout(&backbone.attention);
    let glca = match &architecture.mechanism {
        // PWCA is a regulariser of training: with GLCA off, DCAL at inference is the plain backbone.
        Mechanism::Dcal(dcal) if dcal.glca => Some(recorder.glca(backbone.tokens, rollout)?),
        Mechanism::Dcal(_) | Mechanism::None => None,
    };
    recorder.classifier(backbone.tokens, glca);
    Ok(recorder.recording)
}

impl<'a> Recorder<'a> {
    /// Nothing recorded yet, for an architecture that the kernels cover.
    fn new(architecture: &'a Architecture, detail: Detail) -> Result<Self, EngineError> {
        architecture.check()?;
        if architecture.head_dim() > kernels::MAX_HEAD_DIM {
            return Err(EngineError::Unsupported(format!(
                "an attention head is {} wide, the kernels cover {}",
                architecture.head_dim(),
                kernels::MAX_HEAD_DIM
            )));
        }
        Ok(Self { recording: Recording::default(), architecture, detail })
    }
}

impl Recorder<'_> {
    /// Reads a buffer back in a trace.
    fn trace(&mut self, name: impl Into<String>, buffer: BufferId) {
        if self.detail == Detail::Trace {
            self.recording.read_back(name, buffer);
        }
    }

    fn layer_norm(&mut self, name: &str, rows: usize, x: BufferId, y: BufferId) {
        let Architecture { dim, layer_norm_eps: eps, .. } = *self.architecture;
        let weight = self.recording.vector(format!("{name}.weight"), &[dim]);
        let bias = self.recording.vector(format!("{name}.bias"), &[dim]);
        let uniforms = kernels::LayerNormUniforms { rows: rows as u32, dim: dim as u32, eps };
        self.recording.dispatch(name, &kernels::LAYER_NORM, uniforms, &[x, weight, bias, y]);
    }
}

//! Writes the forward pass of an architecture as a [`Recording`]: one file a part of the network. A further mechanism is
//! a module here beside `glca`, called from [`classify`] by its variant of [`Mechanism`].

mod block;
mod classifier;
mod glca;
mod hybrid;
mod look;
mod matrix;
mod rectify;
mod resnet;
mod rga;
mod rollout;
mod tasn;
mod vit;

pub use look::{attention, difference, glca_attention, rollout, tail};
pub use rectify::{masks_seen, rectify};
pub use rga::{gates_seen, rga};
pub use tasn::tasn;

use std::ops::Range;

use super::EngineError;
use super::kernels::{self, Linear};
use super::recording::{BufferId, Recording};
use crate::architecture::{Architecture, Mechanism};
use crate::tensors::Precision;

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
    /// How the weights of linear layers lie on the device, and the kernels for that.
    precision: Precision,
    kernels: Linear,
    detail: Detail,
    /// Where the modules of Attend and Rectify vote, `[votes, classes]`.
    votes: Option<matrix::Matrix>,
    /// How sure they must be to answer early, `[2]`; for each exit that answer, `[exits, classes]`, and the blocks that it took, `[exits]`.
    early: Option<[BufferId; 3]>,
}

/// The weight of a linear layer.
struct Weight {
    /// `[in, out]`, packed as its precision says.
    values: BufferId,
    /// `[out]`, in eight bits.
    scales: Option<BufferId>,
}

/// The recording of one photo's classification, reading back what [`crate::answer::Answer`] holds: `out.logits.sa`,
/// `out.logits.glca`, `out.logits.mixed`, `out.probability.sa`, `out.probability.glca`, `out.probability`, `out.rollout`,
/// `out.selected`, `out.sampling`. The weights of linear layers lie on the device in `precision`.
///
/// # Errors
/// [`EngineError::Architecture`] or [`EngineError::Unsupported`].
pub fn classify(architecture: &Architecture, precision: Precision) -> Result<Recording, EngineError> {
    record(architecture, precision, Detail::Answer)
}

/// The plain backbone with its classifier, without rollout (or class activation) and GLCA: what those two cost is measured beside it.
///
/// # Errors
/// As [`classify`].
pub fn self_attention(architecture: &Architecture, precision: Precision) -> Result<Recording, EngineError> {
    let mut recorder = Recorder::new(architecture, precision, Detail::Answer)?;
    if let Some(resnet) = &architecture.resnet {
        recorder.resnet(resnet, false)?;
        return Ok(recorder.recording);
    }
    let backbone = recorder.vit()?;
    recorder.classifier(backbone.tokens, None);
    Ok(recorder.recording)
}

/// As [`classify`], reading back every intermediate result under the names of the trace files as well.
///
/// # Errors
/// As [`classify`].
pub fn trace(architecture: &Architecture, precision: Precision) -> Result<Recording, EngineError> {
    record(architecture, precision, Detail::Trace)
}

fn record(architecture: &Architecture, precision: Precision, detail: Detail) -> Result<Recording, EngineError> {
    let mut recorder = Recorder::new(architecture, precision, detail)?;
    if let Some(resnet) = &architecture.resnet {
        recorder.resnet(resnet, true)?;
        return Ok(recorder.recording);
    }
    let backbone = recorder.vit()?;
    let rollout = recorder.rollout(&backbone.attention);
    let glca = match &architecture.mechanism {
        // PWCA is a regulariser of training: with GLCA off, DCAL at inference is the plain backbone.
        Mechanism::Dcal(dcal) if dcal.glca => Some(recorder.glca(backbone.tokens, rollout)?),
        Mechanism::Dcal(_) | Mechanism::None | Mechanism::Rga(_) | Mechanism::Rectify(_) | Mechanism::Tasn(_) => None,
    };
    recorder.classifier(backbone.tokens, glca);
    Ok(recorder.recording)
}

impl<'a> Recorder<'a> {
    /// Nothing recorded yet, for an architecture that the kernels cover.
    fn new(architecture: &'a Architecture, precision: Precision, detail: Detail) -> Result<Self, EngineError> {
        architecture.check()?;
        if architecture.resnet.is_none() && architecture.head_dim() > kernels::MAX_HEAD_DIM {
            return Err(EngineError::Unsupported(format!(
                "an attention head is {} wide, the kernels cover {}",
                architecture.head_dim(),
                kernels::MAX_HEAD_DIM
            )));
        }
        let kernels = kernels::linear(precision);
        Ok(Self { recording: Recording::default(), architecture, precision, kernels, detail, votes: None, early: None })
    }
}

impl Recorder<'_> {
    /// Reads a buffer back in a trace.
    fn trace(&mut self, name: impl Into<String>, buffer: BufferId) {
        if self.detail == Detail::Trace {
            self.recording.read_back(name, buffer);
        }
    }

    /// The outputs `rows` of a linear layer's weight, `[out, in]` in the file.
    fn weight(&mut self, name: &str, shape: &[usize], rows: Range<usize>) -> Weight {
        let values = self.recording.linear(name, shape, rows.clone(), self.precision);
        let scales = (self.precision == Precision::Int8).then(|| self.recording.scales(name, shape, rows));
        Weight { values, scales }
    }

    fn layer_norm(&mut self, name: &str, rows: usize, x: BufferId, y: BufferId) {
        let Architecture { dim, layer_norm_eps: eps, .. } = *self.architecture;
        let weight = self.recording.vector(format!("{name}.weight"), &[dim]);
        let bias = self.recording.vector(format!("{name}.bias"), &[dim]);
        let uniforms = kernels::LayerNormUniforms { rows: rows as u32, dim: dim as u32, eps };
        self.recording.dispatch(name, &kernels::LAYER_NORM, uniforms, &[x, weight, bias, y]);
    }
}

//! The network on the processor: for pages without WebGPU, and wherever a GPU is only pretended.
//!
//! A lean forward pass over slices with the kernels of `kernels` and the `gemm` crate's matrix product, one photo at a
//! time, without a tensor library. It speaks the engine's language: the same weights in, the same [`Answer`] out, the
//! same names in a trace.

mod forward;
pub(crate) mod kernels;
mod look;
mod weights;

use crate::answer::Answer;
use crate::architecture::{Architecture, ArchitectureError};
use crate::look::LookError;
use crate::tensors::{Tensor, TensorError, TensorMap};
use forward::{Local, Pass, softmax};
pub use look::Seen;
use weights::Weights;

/// Why the processor could not answer.
#[derive(Debug, thiserror::Error)]
pub enum CpuError {
    /// An architecture that cannot be.
    #[error(transparent)]
    Architecture(#[from] ArchitectureError),
    /// A weight that is missing or wrong.
    #[error(transparent)]
    Weights(#[from] TensorError),
    /// An input of the wrong length.
    #[error("the image has {found} values, the network expects {expected}: resize and crop it as the bundle says")]
    Image {
        /// Values given.
        found: usize,
        /// `3 H W`.
        expected: usize,
    },
    /// A question about a photo that has no answer.
    #[error(transparent)]
    Look(#[from] LookError),
    /// A damaged model.
    #[error("the result \"{0}\" is not a finite number: the model or the photo is damaged; load the model again")]
    NotFinite(&'static str),
}

/// A network, ready to classify on the calling thread.
pub struct Cpu {
    architecture: Architecture,
    weights: Weights,
}

impl Cpu {
    /// Takes the weights (timm's names and layouts) of `architecture`.
    ///
    /// # Errors
    /// [`CpuError::Architecture`] or [`CpuError::Weights`].
    pub fn load(architecture: &Architecture, weights: &TensorMap) -> Result<Self, CpuError> {
        architecture.check()?;
        Ok(Self { architecture: architecture.clone(), weights: Weights::read(architecture, weights)? })
    }

    /// The network's architecture.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Classifies one photo: `image` is `[3, H, W]`, resized and normalised.
    ///
    /// # Errors
    /// [`CpuError::Image`] for a wrong length, [`CpuError::NotFinite`] if the result is no number.
    pub fn classify(&self, image: &[f32]) -> Result<Answer, CpuError> {
        Ok(self.run(image, false, &mut |_, _, _| {})?.0)
    }

    /// The same, and what is needed to look into it afterwards: beside the answer, the tokens before each block. The
    /// methods of [`Seen`] recompute the rest.
    ///
    /// # Errors
    /// As [`Cpu::classify`].
    pub fn see(&self, image: &[f32]) -> Result<Seen, CpuError> {
        let (answer, inputs, glca) = self.run(image, true, &mut |_, _, _| {})?;
        Ok(Seen::new(self.architecture.clone(), answer, inputs, glca))
    }

    /// Runs one photo and gives every intermediate result under the names of the trace files, each with a batch of one
    /// in front (`out.embed` `[1, N + 1, D]`, `out.block.<i>`, `out.attn_mean.<i>`, ...).
    ///
    /// # Errors
    /// As [`Cpu::classify`].
    pub fn trace(&self, image: &[f32]) -> Result<TensorMap, CpuError> {
        let mut trace = TensorMap::default();
        let (answer, ..) = self.run(image, false, &mut |name, shape, values| {
            let shape: Vec<usize> = std::iter::once(1).chain(shape.iter().copied()).collect();
            trace.insert(name, Tensor::f32(shape, values.to_vec()));
        })?;
        let selected: Vec<i32> = answer.selected.iter().map(|&token| token.cast_signed()).collect();
        if !selected.is_empty() {
            trace.insert("out.selected", Tensor::i32([1, selected.len()], selected));
        }
        let mut add = |name: &str, values: Vec<f32>| {
            if !values.is_empty() {
                trace.insert(name, Tensor::f32([1, values.len()], values));
            }
        };
        add("out.rollout", answer.rollout);
        add("out.logits.sa", answer.logits_sa);
        add("out.logits.glca", answer.logits_glca);
        add("out.probability", answer.probability);
        Ok(trace)
    }

    /// The answer; with `keep`, the tokens before each block and after the last, and what GLCA made.
    fn run(&self, image: &[f32], keep: bool, observe: forward::Observe<'_>) -> Result<Run, CpuError> {
        let [height, width] = self.architecture.image_size;
        let expected = 3 * height * width;
        if image.len() != expected {
            return Err(CpuError::Image { found: image.len(), expected });
        }
        let mut pass = Pass::new(&self.architecture, &self.weights);
        if keep {
            pass = pass.keeping_inputs();
        }
        pass.backbone(image, observe);
        let logits_sa = pass.classify(observe);
        let rollout = pass.rollout();
        let global = pass.global();
        let inputs = pass.into_inputs();
        let glca = self.weights.glca.as_ref().zip(global).map(|(weights, global)| {
            let local = forward::glca(&self.architecture, weights, &global, &rollout, observe);
            (global, local)
        });
        let answer = answer(logits_sa, rollout, glca.as_ref().map(|(_, local)| local))?;
        Ok((answer, inputs, glca))
    }
}

/// Answer, tokens before each block and after the last, GLCA.
type Run = (Answer, Vec<Vec<f32>>, Option<(forward::Global, Local)>);

/// The answer from SA's logits `[classes]`, the rollout `[T]` and GLCA.
fn answer(logits_sa: Vec<f32>, rollout: Vec<f32>, glca: Option<&Local>) -> Result<Answer, CpuError> {
    let (selected, logits_glca) = glca.map(|local| (local.selected.clone(), local.logits.clone())).unwrap_or_default();
    let (sa, glca) = (softmax(&logits_sa), softmax(&logits_glca));
    let probability =
        if glca.is_empty() { sa.clone() } else { sa.iter().zip(&glca).map(|(a, b)| 0.5 * (a + b)).collect() };
    for (name, values) in [("probability", &probability), ("rollout", &rollout)] {
        if !values.iter().all(|v| v.is_finite()) {
            return Err(CpuError::NotFinite(name));
        }
    }
    Ok(Answer { logits_sa, logits_glca, sa, glca, probability, rollout, selected })
}

//! The network on the processor: for pages without WebGPU, and wherever a GPU is only pretended.
//!
//! A lean forward pass over slices with the kernels of `kernels`, one photo at a time, without a tensor library, on one
//! thread or on several ([`Exchange`]). It speaks the engine's language: the same weights in, the same [`Answer`] out, the
//! same names in a trace.

mod class_activation;
mod early;
mod forward;
mod glca;
mod hybrid;
pub(crate) mod kernels;
mod look;
mod maps;
mod rectify;
mod resnet;
mod rga;
mod tasn;
mod together;
mod weights;

use std::borrow::Cow;

use crate::answer::Answer;
use crate::architecture::{Architecture, ArchitectureError};
use crate::fold::folded;
use crate::look::LookError;
use crate::select::select;
use crate::tensors::{Tensor, TensorError, TensorMap};
use forward::{Pass, softmax};
use glca::{SecondLook, second_look};
use look::GlcaSeen;
pub use look::Seen;
use together::Together;
pub use together::{Exchange, common_values};
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
    /// Another thread did not do its part.
    #[error("a thread of the network stopped ({0}): load the network again")]
    Thread(String),
}

/// A network, ready to classify on the calling thread.
pub struct Cpu {
    architecture: Architecture,
    backbone: Backbone,
}

/// What looks at the photo.
enum Backbone {
    Transformer(Box<Weights>),
    Residual(Box<resnet::Weights>),
}

impl Cpu {
    /// Takes the weights (timm's names and layouts) of `architecture`.
    ///
    /// # Errors
    /// [`CpuError::Architecture`] or [`CpuError::Weights`].
    pub fn load(architecture: &Architecture, weights: &TensorMap) -> Result<Self, CpuError> {
        Self::read(architecture, Cow::Borrowed(weights))
    }

    /// The same, and frees the weights of a transformer's block once they are laid out: a page's memory never shrinks again.
    ///
    /// # Errors
    /// As [`Cpu::load`].
    pub fn take(architecture: &Architecture, weights: TensorMap) -> Result<Self, CpuError> {
        Self::read(architecture, Cow::Owned(weights))
    }

    fn read(architecture: &Architecture, weights: Cow<'_, TensorMap>) -> Result<Self, CpuError> {
        architecture.check()?;
        let mut weights = folded(architecture, weights)?;
        let backbone = match &architecture.resnet {
            Some(resnet) => Backbone::Residual(Box::new(resnet::Weights::read(architecture, resnet, &weights)?)),
            None => Backbone::Transformer(Box::new(Weights::read(architecture, &mut weights)?)),
        };
        Ok(Self { architecture: architecture.clone(), backbone })
    }

    /// The network's architecture.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// Classifies one photo: `image` is `[3, H, W]` ([`Architecture::input_size`]), resized and normalised.
    ///
    /// # Errors
    /// [`CpuError::Image`] for a wrong length, [`CpuError::NotFinite`] if the result is no number.
    pub fn classify(&self, image: &[f32]) -> Result<Answer, CpuError> {
        self.check(image)?;
        Ok(self.run(image, Together::new(&self.architecture, None), Wanted::Answer, &mut |_, _, _| {})?.answer)
    }

    /// The same, and what is needed to look into it afterwards: beside the answer, the tokens before each block. The
    /// methods of [`Seen`] recompute the rest.
    ///
    /// # Errors
    /// As [`Cpu::classify`].
    pub fn see(&self, image: &[f32]) -> Result<Seen, CpuError> {
        self.check(image)?;
        self.seen(image, Together::new(&self.architecture, None))
    }

    /// The same on several threads, of which this is the first: the others [`Cpu::help`] meanwhile.
    ///
    /// # Errors
    /// As [`Cpu::classify`]; [`CpuError::Thread`] if one of them stopped.
    pub fn see_together(&self, image: &[f32], exchange: &dyn Exchange) -> Result<Seen, CpuError> {
        // Before anybody waits for this thread.
        self.check(image)?;
        let together = Together::new(&self.architecture, Some(exchange));
        together.give_image(image)?;
        self.seen(image, together)
    }

    /// Does this thread's part of a photo that the first one sees.
    ///
    /// # Errors
    /// [`CpuError::Thread`] if another thread stopped.
    pub fn help(&self, exchange: &dyn Exchange) -> Result<(), CpuError> {
        let [height, width] = self.architecture.input_size();
        let together = Together::new(&self.architecture, Some(exchange));
        let mut image = vec![0.0; 3 * height * width];
        together.take_image(&mut image)?;
        match &self.backbone {
            Backbone::Transformer(weights) => {
                let mut pass = Pass::new(&self.architecture, weights, together, true);
                pass.backbone(&image, &mut |_, _, _| {})?;
                pass.finish()?;
                pass.rollout()?;
            }
            Backbone::Residual(weights) => {
                let mut pass = resnet::Pass::new(&self.architecture, weights, together);
                pass.backbone(&image, &mut |_, _, _| {})?;
                pass.finish(&mut |_, _, _| {})?;
            }
        }
        Ok(())
    }

    /// Runs one photo and gives every intermediate result under the names of the trace files, each with a batch of one
    /// in front (`out.embed` `[1, N + 1, D]`, `out.block.<i>`, `out.attn_mean.<i>`, ...).
    ///
    /// # Errors
    /// As [`Cpu::classify`].
    pub fn trace(&self, image: &[f32]) -> Result<TensorMap, CpuError> {
        self.check(image)?;
        let mut trace = TensorMap::default();
        let mut observe = |name: &str, shape: &[usize], values: &[f32]| {
            let shape: Vec<usize> = std::iter::once(1).chain(shape.iter().copied()).collect();
            trace.insert(name, Tensor::f32(shape, values.to_vec()));
        };
        let Run { answer, .. } =
            self.run(image, Together::new(&self.architecture, None), Wanted::Trace, &mut observe)?;
        let selected: Vec<i32> = answer.selected.iter().map(|&token| token.cast_signed()).collect();
        if !selected.is_empty() {
            trace.insert("out.selected", Tensor::i32([1, selected.len()], selected));
        }
        let mut add = |name: &str, values: Vec<f32>| {
            if !values.is_empty() {
                trace.insert(name, Tensor::f32([1, values.len()], values));
            }
        };
        add("out.sampling", answer.sampling);
        add("out.rollout", answer.rollout);
        add("out.logits.sa", answer.logits_sa);
        add("out.logits.glca", answer.logits_glca);
        add("out.logits.mixed", answer.logits_mixed);
        add("out.probability", answer.probability);
        Ok(trace)
    }

    /// What looks go into.
    fn transformer(&self) -> Result<&Weights, LookError> {
        match &self.backbone {
            Backbone::Transformer(weights) => Ok(weights),
            Backbone::Residual(_) => Err(LookError::NoAttention),
        }
    }

    fn check(&self, image: &[f32]) -> Result<(), CpuError> {
        let [height, width] = self.architecture.input_size();
        let expected = 3 * height * width;
        if image.len() == expected { Ok(()) } else { Err(CpuError::Image { found: image.len(), expected }) }
    }

    fn seen(&self, image: &[f32], together: Together<'_>) -> Result<Seen, CpuError> {
        let Run { answer, inputs, gates, masks, glca } = self.run(image, together, Wanted::Looks, &mut |_, _, _| {})?;
        Ok(Seen::new(self.architecture.clone(), answer, inputs, [gates, masks], glca))
    }

    fn run(
        &self,
        image: &[f32],
        together: Together<'_>,
        wanted: Wanted,
        observe: forward::Observe<'_>,
    ) -> Result<Run, CpuError> {
        match &self.backbone {
            Backbone::Transformer(weights) => {
                let mut pass = Pass::new(&self.architecture, weights, together, wanted == Wanted::Looks);
                pass.backbone(image, observe)?;
                self.answer(weights, pass, wanted, observe)
            }
            Backbone::Residual(weights) => {
                let mut pass = resnet::Pass::new(&self.architecture, weights, together);
                pass.backbone(image, observe)?;
                answer_of_maps(pass, observe)
            }
        }
    }

    /// What follows the last block.
    fn answer(
        &self,
        weights: &Weights,
        mut pass: Pass<'_>,
        wanted: Wanted,
        observe: forward::Observe<'_>,
    ) -> Result<Run, CpuError> {
        let architecture = &self.architecture;
        let kv = pass.finish()?;
        let rollout = pass.rollout()?;
        let [logits_sa, logits_mixed] = pass.classify(observe);
        let selected = if kv.is_some() { select(&rollout, architecture.selected()) } else { Vec::new() };
        let looked = weights.glca.as_ref().zip(kv).map(|(glca, kv)| {
            let local: &[u32] = if wanted == Wanted::Trace { &selected } else { &[] };
            (second_look(architecture, glca, &kv, pass.tokens(local), observe), kv)
        });
        let logits_glca = looked.as_ref().map(|(SecondLook { logits, .. }, _)| logits.clone()).unwrap_or_default();
        let answer = answer([logits_sa, logits_glca, logits_mixed], rollout, selected)?;
        let answer = Answer { sampling: pass.sampling(), ..answer };
        let glca = looked.map(|(SecondLook { class, .. }, kv)| GlcaSeen { kv, class });
        let (inputs, gates, masks) = pass.into_seen();
        Ok(Run { answer, inputs, gates, masks, glca })
    }
}

/// What follows the last stage of a residual network.
fn answer_of_maps(pass: resnet::Pass<'_>, observe: forward::Observe<'_>) -> Result<Run, CpuError> {
    let resnet::End { logits: [logits, mixed], class_activation, sampling, gates, masks } = pass.finish(observe)?;
    let answer = answer([logits, Vec::new(), mixed], class_activation, Vec::new())?;
    let answer = Answer { sampling, ..answer };
    Ok(Run { answer, inputs: Vec::new(), gates, masks, glca: None })
}

/// What is computed beside the answer.
#[derive(Clone, Copy, PartialEq)]
enum Wanted {
    /// Nothing.
    Answer,
    /// What looks need.
    Looks,
    /// The local queries' second look, which has no say in the answer.
    Trace,
}

struct Run {
    answer: Answer,
    /// Tokens before each block and after the last, `[T, D]`, for looks.
    inputs: Vec<Vec<f32>>,
    /// RGA's spatial gates, `[places, N]`; maps of a residual network have each an `N` of its own.
    gates: Vec<f32>,
    /// The masks of Attend and Rectify, `[modules, K, N]`.
    masks: Vec<f32>,
    glca: Option<GlcaSeen>,
}

/// The answer from the logits `[classes]` of SA, of GLCA and of the mixed votes (empty where there is none), the rollout `[T]` and
/// the local queries.
fn answer(
    [logits_sa, logits_glca, logits_mixed]: [Vec<f32>; 3],
    rollout: Vec<f32>,
    selected: Vec<u32>,
) -> Result<Answer, CpuError> {
    let (sa, glca) = (softmax(&logits_sa), softmax(&logits_glca));
    let probability = match (glca.is_empty(), logits_mixed.is_empty()) {
        (true, true) => sa.clone(),
        (true, false) => softmax(&logits_mixed),
        (false, _) => sa.iter().zip(&glca).map(|(a, b)| 0.5 * (a + b)).collect(),
    };
    for (name, values) in [("probability", &probability), ("rollout", &rollout)] {
        if !values.iter().all(|v| v.is_finite()) {
            return Err(CpuError::NotFinite(name));
        }
    }
    let sampling = Vec::new();
    Ok(Answer { logits_sa, logits_glca, logits_mixed, sa, glca, probability, rollout, selected, sampling })
}

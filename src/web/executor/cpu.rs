//! The network on the processor: one thread, wasm SIMD. For browsers without WebGPU.

use std::cell::RefCell;

use super::Failed;
use crate::answer::Answer;
use crate::bundle::Bundle;
use crate::cpu::{Cpu, CpuError, Seen};
use crate::look::{Difference, LookError};
use crate::tensors::Precision;

pub(in crate::web) struct Executor {
    network: Cpu,
    /// The photo that was classified last.
    seen: RefCell<Option<Seen>>,
}

impl Executor {
    #[allow(clippy::unused_async, reason = "the same shape as the WebGPU executor")]
    pub(in crate::web) async fn load(
        bundle: &Bundle,
        _: Precision,
        stage: &dyn Fn(&str, f64, f64),
    ) -> Result<Self, Failed> {
        stage("upload", 0.0, 0.0);
        let network = Cpu::load(&bundle.manifest.architecture, &bundle.weights).map_err(Failed::plain)?;
        Ok(Self { network, seen: RefCell::new(None) })
    }

    #[allow(clippy::unused_async, reason = "the same shape as the WebGPU executor")]
    pub(in crate::web) async fn classify(&self, image: &[f32]) -> Result<Answer, Failed> {
        // Its memory is there for the next photo.
        self.seen.take();
        let seen = self.network.see(image).map_err(Failed::plain)?;
        let answer = seen.answer().clone();
        self.seen.replace(Some(seen));
        Ok(answer)
    }

    #[allow(clippy::unused_async, reason = "the same shape as the WebGPU executor")]
    pub(in crate::web) async fn with_ratio(&self, ratio: f64) -> Result<Answer, Failed> {
        let mut seen = self.seen.borrow_mut();
        let seen = seen.as_mut().ok_or_else(|| Failed::plain(LookError::NoPhoto))?;
        seen.with_ratio(&self.network, ratio).cloned().map_err(Failed::plain)
    }

    #[allow(clippy::unused_async, reason = "the same shape as the WebGPU executor")]
    pub(in crate::web) async fn attention(&self, layer: Option<usize>, query: usize) -> Result<Vec<f32>, Failed> {
        self.look(|seen, network| match layer {
            Some(layer) => seen.attention(network, layer, query),
            None => seen.attention_of_layers(network, query),
        })
    }

    #[allow(clippy::unused_async, reason = "the same shape as the WebGPU executor")]
    pub(in crate::web) async fn glca_attention(&self, query: usize) -> Result<Vec<f32>, Failed> {
        self.look(|seen, _| seen.glca_attention(query))
    }

    #[allow(clippy::unused_async, reason = "the same shape as the WebGPU executor")]
    pub(in crate::web) async fn rollout(&self, layer: usize) -> Result<Vec<f32>, Failed> {
        self.look(|seen, network| seen.rollout(network, layer))
    }

    #[allow(clippy::unused_async, reason = "the same shape as the WebGPU executor")]
    pub(in crate::web) async fn difference(&self, classes: [usize; 2]) -> Result<Difference, Failed> {
        self.look(|seen, network| seen.difference(network, classes))
    }

    fn look<T>(&self, question: impl FnOnce(&Seen, &Cpu) -> Result<T, CpuError>) -> Result<T, Failed> {
        let seen = self.seen.borrow();
        let seen = seen.as_ref().ok_or_else(|| Failed::plain(LookError::NoPhoto))?;
        question(seen, &self.network).map_err(Failed::plain)
    }

    /// What a bundle rounded is widened again.
    pub(in crate::web) fn precision(&self) -> Precision {
        Precision::F32
    }

    /// Nothing lies on a graphics device.
    pub(in crate::web) fn device_bytes(&self) -> u64 {
        0
    }
}

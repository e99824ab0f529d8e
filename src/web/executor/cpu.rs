//! The network on the processor: wasm SIMD, on this worker alone or with helpers. For browsers without WebGPU.

use std::cell::RefCell;

use super::{Failed, Kind, Tiles};
use crate::answer::Answer;
use crate::bundle::Bundle;
use crate::cpu::{Cpu, CpuError, Seen};
use crate::early::{Early, Sure};
use crate::look::{Difference, LookError};
use crate::tensors::Precision;
use crate::web::threads::Share;

pub(in crate::web) struct Executor {
    network: Cpu,
    /// What this worker and its helpers have in common.
    share: RefCell<Option<Share>>,
    /// The photo that was classified last.
    seen: RefCell<Option<Seen>>,
}

impl Executor {
    #[allow(clippy::unused_async, reason = "the same shape as the WebGPU executor")]
    pub(in crate::web) async fn load(
        bundle: &mut Bundle,
        _: Precision,
        _: &Tiles,
        stage: &dyn Fn(&str, f64, f64),
    ) -> Result<Self, Failed> {
        stage("upload", 0.0, 0.0);
        let weights = std::mem::take(&mut bundle.weights);
        let network = Cpu::take(&bundle.manifest.architecture, weights).map_err(Failed::plain)?;
        Ok(Self { network, share: RefCell::new(None), seen: RefCell::new(None) })
    }

    /// From now on helpers do a part of each photo.
    pub(in crate::web) fn join(&self, share: Share) {
        self.share.replace(Some(share));
    }

    #[allow(clippy::unused_async, reason = "the same shape as the WebGPU executor")]
    pub(in crate::web) async fn classify(&self, image: &[f32]) -> Result<Answer, Failed> {
        // Its memory is there for the next photo.
        self.seen.take();
        let seen = match &*self.share.borrow() {
            None => self.network.see(image)?,
            Some(share) => {
                share.begin();
                self.network.see_together(image, share)?
            }
        };
        let answer = seen.answer().clone();
        self.seen.replace(Some(seen));
        Ok(answer)
    }

    /// By this worker alone, also where it has helpers.
    #[allow(clippy::unused_async, reason = "the same shape as the WebGPU executor")]
    pub(in crate::web) async fn classify_early(&self, image: &[f32], sure: Sure) -> Result<Early, Failed> {
        self.seen.take();
        Ok(self.network.classify_early(image, sure)?)
    }

    #[allow(clippy::unused_async, reason = "the same shape as the WebGPU executor")]
    pub(in crate::web) async fn with_ratio(&self, ratio: f64) -> Result<Answer, Failed> {
        let mut seen = self.seen.borrow_mut();
        let seen = seen.as_mut().ok_or_else(|| Failed::plain(LookError::NoPhoto))?;
        seen.with_ratio(ratio).cloned().map_err(Failed::plain)
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
        self.look(|seen, network| seen.glca_attention(network, query))
    }

    #[allow(clippy::unused_async, reason = "the same shape as the WebGPU executor")]
    pub(in crate::web) async fn rollout(&self, layer: usize) -> Result<Vec<f32>, Failed> {
        self.look(|seen, network| seen.rollout(network, layer))
    }

    #[allow(clippy::unused_async, reason = "the same shape as the WebGPU executor")]
    pub(in crate::web) async fn gates(&self) -> Result<Vec<f32>, Failed> {
        self.look(|seen, _| seen.gates().map(<[f32]>::to_vec))
    }

    #[allow(clippy::unused_async, reason = "the same shape as the WebGPU executor")]
    pub(in crate::web) async fn masks(&self) -> Result<Vec<f32>, Failed> {
        self.look(|seen, _| seen.masks().map(<[f32]>::to_vec))
    }

    #[allow(clippy::unused_async, reason = "the same shape as the WebGPU executor")]
    pub(in crate::web) async fn difference(&self, classes: [usize; 2]) -> Result<Difference, Failed> {
        self.look(|seen, network| seen.difference(network, classes))
    }

    fn look<T>(&self, question: impl FnOnce(&Seen, &Cpu) -> Result<T, CpuError>) -> Result<T, Failed> {
        let seen = self.seen.borrow();
        let seen = seen.as_ref().ok_or_else(|| Failed::plain(LookError::NoPhoto))?;
        Ok(question(seen, &self.network)?)
    }

    /// What a bundle rounded is widened again.
    pub(in crate::web) fn precision(&self) -> Precision {
        Precision::F32
    }

    /// Nothing is measured on the processor.
    pub(in crate::web) fn tile_times(&self) -> Option<String> {
        None
    }

    /// Nothing lies on a graphics device.
    pub(in crate::web) fn device_bytes(&self) -> u64 {
        0
    }
}

impl From<CpuError> for Failed {
    fn from(error: CpuError) -> Self {
        let kind = if matches!(error, CpuError::Thread(_)) { Kind::Thread } else { Kind::Plain };
        Self { kind, message: error.to_string() }
    }
}

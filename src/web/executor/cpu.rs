//! The network on the processor: one thread, wasm SIMD. For browsers without WebGPU.

use super::Failed;
use crate::answer::Answer;
use crate::bundle::Bundle;
use crate::cpu::Cpu;

pub(in crate::web) struct Executor {
    network: Cpu,
}

impl Executor {
    #[allow(clippy::unused_async, reason = "the same shape as the WebGPU executor")]
    pub(in crate::web) async fn load(bundle: &Bundle, stage: &dyn Fn(&str, f64, f64)) -> Result<Self, Failed> {
        stage("upload", 0.0, 0.0);
        let network = Cpu::load(&bundle.manifest.architecture, &bundle.weights).map_err(Failed::plain)?;
        Ok(Self { network })
    }

    #[allow(clippy::unused_async, reason = "the same shape as the WebGPU executor")]
    pub(in crate::web) async fn classify(&self, image: &[f32]) -> Result<Answer, Failed> {
        self.network.classify(image).map_err(Failed::plain)
    }

    /// Nothing lies on a graphics device.
    pub(in crate::web) fn device_bytes(&self) -> u64 {
        0
    }
}

//! The burn model on flex: one thread, wasm SIMD. For browsers without WebGPU.

use burn::tensor::Device;

use super::Failed;
use crate::answer::Answer;
use crate::bundle::Bundle;
use crate::model::Network;

pub(in crate::web) struct Executor {
    network: Network,
    device: Device,
}

impl Executor {
    #[allow(clippy::unused_async, reason = "the same shape as the WebGPU executor")]
    pub(in crate::web) async fn load(bundle: &Bundle, stage: &dyn Fn(&str, f64, f64)) -> Result<Self, Failed> {
        stage("upload", 0.0, 0.0);
        let device = Device::flex();
        let network =
            Network::new(&bundle.manifest.architecture, &device).load(&bundle.weights).map_err(Failed::plain)?;
        Ok(Self { network, device })
    }

    #[allow(clippy::unused_async, reason = "the same shape as the WebGPU executor")]
    pub(in crate::web) async fn classify(&self, image: &[f32]) -> Result<Answer, Failed> {
        let images = self.network.images(image, &self.device);
        self.network.classify(images).pop().ok_or_else(|| Failed::plain("the network gave no answer"))
    }

    /// Nothing lies on a graphics device.
    pub(in crate::web) fn device_bytes(&self) -> u64 {
        0
    }
}

//! The golden trace of a bundle: what the reference makes of a generated image, for devices to be tested with.

use anyhow::Result;
use burn::tensor::Device;
use finegrain::architecture::Architecture;
use finegrain::bundle::{check_trace, seeded_image};
use finegrain::model::Network;
use finegrain::tensors::{Tensor, TensorMap};

/// The seed of the image; it is told in the trace's metadata.
const SEED: u64 = 2026;

/// Results that are kept: what a device must get right, not every activation.
const KEPT: [&str; 5] = ["out.logits.sa", "out.logits.glca", "out.probability", "out.rollout", "out.selected"];

/// Runs the burn model on the CPU with `weights` as the bundle will hold them (already rounded).
///
/// # Errors
/// Weights that are not those of the architecture, or that compute what is no number.
pub fn trace(architecture: &Architecture, weights: &TensorMap) -> Result<TensorMap> {
    let device = Device::flex();
    let network = Network::new(architecture, &device).load(weights)?;
    let [height, width] = architecture.input_size();
    let image = seeded_image(SEED, architecture.input_size());
    let found = network.trace(network.images(&image, &device));
    let mut trace = TensorMap::default();
    trace.metadata.insert("seed".into(), SEED.to_string());
    trace.insert("input.images", Tensor::f32([1, 3, height, width], image));
    for name in KEPT {
        if let Some(tensor) = found.get(name) {
            trace.insert(name, tensor.clone());
        }
    }
    check_trace(architecture, &trace)?;
    Ok(trace)
}

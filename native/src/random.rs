//! Networks of known shape with random weights: their answers mean nothing, their times do.

use anyhow::{Result, anyhow, bail};
use finegrain::architecture::{Architecture, Dcal, Mechanism};
use finegrain::tensors::{Tensor, TensorMap};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::train::Backbone;

/// Of the weights.
const SEED: u64 = 2026;
/// How many there are to choose from.
pub const CLASSES: usize = 100;
/// Above this, times say nothing that smaller inputs do not, and memory ends.
const MAX_SIZE: usize = 2048;

/// A backbone by name (`vit-tiny`, with GLCA as DCAL has it, R = 0.1; `resnet-50`), for photos of `size` pixels, and its weights.
///
/// # Errors
/// No such backbone, or a size that it cannot have.
pub fn network(name: &str, size: usize) -> Result<(Architecture, TensorMap)> {
    let backbone = Backbone::named(name).map_err(|error| anyhow!("\"{name}\" is no network: {error}"))?;
    if size > MAX_SIZE {
        bail!("a size of {size} is more than the {MAX_SIZE} pixels that can be measured");
    }
    let mechanism = match backbone.resnet() {
        Some(_) => Mechanism::None,
        None => Mechanism::Dcal(Dcal { ratio: 0.1, glca: true, pwca: false, gates: None }),
    };
    let architecture = backbone.architecture(size, CLASSES, mechanism);
    architecture.check()?;
    let weights = weights(&architecture);
    Ok((architecture, weights))
}

/// Weights that keep activations of one size: norms near the identity, matrices scaled by their inputs.
pub fn weights(architecture: &Architecture) -> TensorMap {
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let mut weights = TensorMap::default();
    for spec in architecture.weights() {
        let inputs: usize = spec.shape.iter().skip(1).product();
        let scale = if spec.shape.len() == 1 { 0.1 } else { 1.0 / (inputs as f32).sqrt() };
        let gain = spec.name.ends_with("running_var") || spec.shape.len() == 1 && spec.name.ends_with(".weight");
        let middle = if gain { 1.0 } else { 0.0 };
        let length = spec.shape.iter().product();
        let values = (0..length).map(|_| middle + scale * random.random_range(-1.0..1.0_f32)).collect();
        weights.insert(spec.name, Tensor::f32(spec.shape, values));
    }
    weights
}

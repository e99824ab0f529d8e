//! What is measured: a bundle's network, or one of known shape with random weights.

use std::path::Path;

use anyhow::{Result, anyhow, bail};
use finegrain::architecture::{Architecture, Dcal, Mechanism};
use finegrain::bundle::seeded_image;
use finegrain::tensors::{Precision, Tensor, TensorMap};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::store;
use crate::train::Backbone;

/// Of random weights and of the image.
const SEED: u64 = 2026;
/// Classes of a network without a bundle.
const CLASSES: usize = 100;
/// Above this, times say nothing that smaller inputs do not, and memory ends.
const MAX_SIZE: usize = 2048;

/// A network and a photo for it.
pub(super) struct Subject {
    /// The bundle's id or the backbone's name.
    pub(super) name: String,
    pub(super) architecture: Architecture,
    pub(super) weights: TensorMap,
    /// How the bundle stores them.
    pub(super) stored: Precision,
    /// True without a bundle: the answers mean nothing, the times do.
    pub(super) random: bool,
    /// `[3, H, W]`
    pub(super) image: Vec<f32>,
}

impl Subject {
    /// The network of a bundle.
    pub(super) fn bundle(path: &Path) -> Result<Self> {
        let bundle = store::open(path)?;
        let architecture = bundle.manifest.architecture;
        Ok(Self {
            name: bundle.manifest.id,
            image: seeded_image(SEED, architecture.image_size),
            architecture,
            weights: bundle.weights,
            stored: bundle.manifest.precision,
            random: false,
        })
    }

    /// A backbone by name, with GLCA as DCAL has it (R = 0.1), for photos of `size` pixels, with random weights.
    pub(super) fn named(name: &str, size: usize) -> Result<Self> {
        let backbone = Backbone::named(name).map_err(|error| anyhow!("--model \"{name}\" is no network: {error}"))?;
        if size > MAX_SIZE {
            bail!("--size {size} is more than the {MAX_SIZE} pixels that can be measured");
        }
        let mechanism = Mechanism::Dcal(Dcal { ratio: 0.1, glca: true, pwca: false });
        let architecture = backbone.architecture(size, CLASSES, mechanism);
        architecture.check()?;
        let weights = random_weights(&architecture);
        let image = seeded_image(SEED, architecture.image_size);
        Ok(Self { name: name.to_owned(), architecture, weights, stored: Precision::F32, random: true, image })
    }
}

/// Weights that keep activations of one size: norms near the identity, matrices scaled by their inputs.
fn random_weights(architecture: &Architecture) -> TensorMap {
    let mut random = ChaCha8Rng::seed_from_u64(SEED);
    let mut weights = TensorMap::default();
    for spec in architecture.weights() {
        let inputs: usize = spec.shape.iter().skip(1).product();
        let scale = if spec.shape.len() == 1 { 0.1 } else { 1.0 / (inputs as f32).sqrt() };
        let middle = if spec.name.contains("norm") && spec.name.ends_with("weight") { 1.0 } else { 0.0 };
        let length = spec.shape.iter().product();
        let values = (0..length).map(|_| middle + scale * random.random_range(-1.0..1.0_f32)).collect();
        weights.insert(spec.name, Tensor::f32(spec.shape, values));
    }
    weights
}

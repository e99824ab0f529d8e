//! What is measured: a bundle's network, or one of known shape with random weights.

use std::path::Path;

use anyhow::Result;
use finegrain::architecture::Architecture;
use finegrain::bundle::seeded_image;
use finegrain::tensors::{Precision, TensorMap};

use crate::{random, store};

/// Of the image.
const SEED: u64 = 2026;

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
            image: seeded_image(SEED, architecture.input_size()),
            architecture,
            weights: bundle.weights,
            stored: bundle.manifest.precision,
            random: false,
        })
    }

    /// A backbone by name for photos of `size` pixels, with random weights.
    pub(super) fn named(name: &str, size: usize) -> Result<Self> {
        let (architecture, weights) = random::network(name, size)?;
        let image = seeded_image(SEED, architecture.input_size());
        Ok(Self { name: name.to_owned(), architecture, weights, stored: Precision::F32, random: true, image })
    }
}

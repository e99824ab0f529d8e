//! Bundles of networks of known shape with random weights, to be timed.

use anyhow::Result;
use finegrain::bundle::{Bundle, Manifest, round};
use finegrain::photo::{Fit, Preprocessing};
use finegrain::tensors::Precision;
use finegrain_native::{golden, random};
use serde_json::json;

/// A bundle of the backbone `name` for photos of `size` pixels, in f16 as bundles are, with rollout and GLCA.
///
/// # Errors
/// No such backbone, or a size that it cannot have.
pub fn bundle(name: &str, size: usize) -> Result<Bundle> {
    let (architecture, weights) = random::network(name, size)?;
    let weights = round(&weights, Precision::F16)?;
    let trace = golden::trace(&architecture, &weights)?;
    let manifest = Manifest {
        format: 1,
        id: "random".into(),
        title: format!("{name} at {size} pixels"),
        preprocessing: Preprocessing {
            resize: size,
            fit: Fit::Crop,
            crop: [size, size],
            mean: [0.5; 3],
            std: [0.5; 3],
        },
        labels: (0..architecture.classes).map(|class| format!("class {class}")).collect(),
        architecture,
        precision: Precision::F16,
        files: Vec::new(),
        training: json!({}),
        calibration: None,
        hierarchy: Vec::new(),
        confused: Vec::new(),
    };
    Ok(Bundle { manifest, weights, trace })
}

//! Bundles of networks of known shape with random weights, to be timed.

use anyhow::Result;
use finegrain::architecture::{
    Architecture, Dcal, Hybrid, Mechanism, Mixing, RectifyBlocks, ResNet, Residual, RgaBlocks, Stem, TasnBlocks,
};
use finegrain::bundle::{Bundle, Manifest, round};
use finegrain::photo::{Fit, Preprocessing};
use finegrain::tensors::{Precision, TensorMap};
use finegrain_native::{golden, random};
use serde_json::json;

/// A bundle of the backbone `name` for photos of `size` pixels, in f16 as bundles are, a transformer's with rollout and GLCA.
///
/// # Errors
/// No such backbone, or a size that it cannot have.
pub fn bundle(name: &str, size: usize) -> Result<Bundle> {
    let (architecture, weights) = random::network(name, size)?;
    of(&format!("{name} at {size} pixels"), architecture, &weights)
}

/// A bundle of a small residual network with that mechanism, for photos of 64 pixels: maps of 16, 8 and 4 rows.
///
/// # Errors
/// None that a test could cause.
pub fn residual(mechanism: Mechanism) -> Result<Bundle> {
    let (blocks, strides) = (vec![1; 3], vec![1, 2, 2]);
    let resnet = ResNet { block: Residual::Bottleneck, stem: Stem::Large, blocks, strides, width: 8 };
    let architecture = resnet.architecture([64, 64], 5, mechanism);
    let weights = random::weights(&architecture);
    of("Residual: 5 classes", architecture, &weights)
}

/// A bundle of a small hybrid with GLCA, for photos of 64 pixels.
///
/// # Errors
/// None that a test could cause.
pub fn hybrid() -> Result<Bundle> {
    let architecture = Architecture {
        resnet: None,
        hybrid: Some(Hybrid { blocks: vec![2, 1], width: 8, groups: 4 }),
        image_size: [64, 64],
        patch_size: 8,
        dim: 32,
        depth: 2,
        heads: 2,
        mlp_ratio: 2,
        layer_norm_eps: 1e-6,
        classes: 5,
        mechanism: Mechanism::Dcal(Dcal { ratio: 0.2, glca: true, pwca: false, gates: None }),
    };
    let weights = random::weights(&architecture);
    of("Hybrid: 5 classes", architecture, &weights)
}

/// A bundle of a small network with RGA's gates, for photos of 64 pixels.
///
/// # Errors
/// None that a test could cause.
pub fn gated() -> Result<Bundle> {
    let gates = RgaBlocks { ratio: 4, spatial: true, channel: true, after: vec![1, 2] };
    with("Gates: 5 classes", Mechanism::Rga(gates))
}

/// The same beside GLCA.
///
/// # Errors
/// None that a test could cause.
pub fn paired() -> Result<Bundle> {
    let gates = Some(RgaBlocks { ratio: 4, spatial: true, channel: true, after: vec![1, 2] });
    with("Pair: 5 classes", Mechanism::Dcal(Dcal { ratio: 0.2, glca: true, pwca: false, gates }))
}

/// The same with the modules of Attend and Rectify.
///
/// # Errors
/// None that a test could cause.
pub fn rectified() -> Result<Bundle> {
    let modules = RectifyBlocks { heads: 3, after: vec![1, 2, 3], mixing: Mixing::Softmax, gates: None };
    with("Masks: 5 classes", Mechanism::Rectify(modules))
}

/// The same that sees photos of 128 pixels as TASN resamples them to 64.
///
/// # Errors
/// None that a test could cause.
pub fn resampling() -> Result<Bundle> {
    let tasn = TasnBlocks { after: 2, rounds: 1, ..TasnBlocks::default() };
    with("Resampled: 5 classes", Mechanism::Tasn(tasn))
}

fn with(title: &str, mechanism: Mechanism) -> Result<Bundle> {
    let architecture = Architecture {
        resnet: None,
        hybrid: None,
        image_size: [64, 64],
        patch_size: 8,
        dim: 32,
        depth: 3,
        heads: 2,
        mlp_ratio: 2,
        layer_norm_eps: 1e-6,
        classes: 5,
        mechanism,
    };
    let weights = random::weights(&architecture);
    of(title, architecture, &weights)
}

fn of(title: &str, architecture: Architecture, weights: &TensorMap) -> Result<Bundle> {
    let [size, _] = architecture.input_size();
    let weights = round(weights, Precision::F16)?;
    let trace = golden::trace(&architecture, &weights)?;
    let manifest = Manifest {
        format: 1,
        id: "random".into(),
        title: title.to_owned(),
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

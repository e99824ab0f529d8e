//! A bundle of a very small network, for tests of everything but the network.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use finegrain::architecture::{Architecture, Dcal, Mechanism};
use finegrain::bundle::Bundle;
use finegrain::bundle::Manifest;
use finegrain::photo::{Fit, Preprocessing};
use finegrain::tensors::{Precision, Tensor, TensorMap, Values};
use finegrain_native::store;
use serde_json::json;

use crate::site::www;

/// How many classes it has.
pub const CLASSES: usize = 5;

/// The network of the repository's smallest trace, which is its golden trace too.
///
/// # Errors
/// Where the trace is not there.
pub fn bundle() -> Result<Bundle> {
    let traced = TensorMap::read(&fs::read(www().join("../tests/fixtures/dcal_small.safetensors"))?)?;
    let mut weights = traced.under("param.");
    weights.remove("loss_log_var");
    let mut trace = TensorMap::default();
    for name in ["input.images", "out.logits.sa", "out.logits.glca", "out.probability", "out.rollout", "out.selected"] {
        trace.insert(name, first(traced.get(name).with_context(|| format!("{name} is missing"))?));
    }
    let manifest = Manifest {
        format: 1,
        id: "small".into(),
        title: "Small: 5 classes".into(),
        architecture: Architecture {
            resnet: None,
            hybrid: None,
            image_size: [32, 32],
            patch_size: 8,
            dim: 32,
            depth: 3,
            heads: 2,
            mlp_ratio: 4,
            layer_norm_eps: 1e-6,
            classes: CLASSES,
            mechanism: Mechanism::Dcal(Dcal { ratio: 0.25, glca: true, pwca: true, gates: None }),
        },
        preprocessing: Preprocessing { resize: 36, fit: Fit::Crop, crop: [32, 32], mean: [0.5; 3], std: [0.5; 3] },
        labels: (0..CLASSES).map(|class| format!("class {class}")).collect(),
        precision: Precision::F32,
        files: Vec::new(),
        training: json!({ "seed": 1 }),
        calibration: None,
        hierarchy: Vec::new(),
        confused: Vec::new(),
    };
    Ok(Bundle { manifest, weights, trace })
}

/// Puts a bundle into the page's folder as its only model.
///
/// # Errors
/// Where it cannot be written.
pub fn install(www: &Path, bundle: &Bundle) -> Result<()> {
    install_as(www, &["small"], bundle)
}

/// Puts a bundle into the page's folder under several ids, as its only models.
///
/// # Errors
/// Where it cannot be written.
pub fn install_as(www: &Path, ids: &[&str], bundle: &Bundle) -> Result<()> {
    install_all(www, &ids.iter().map(|id| (*id, bundle)).collect::<Vec<_>>())
}

/// Puts bundles into the page's folder, each under its id, as its only models.
///
/// # Errors
/// Where they cannot be written.
pub fn install_all(www: &Path, bundles: &[(&str, &Bundle)]) -> Result<()> {
    let mut models = Vec::new();
    for (id, bundle) in bundles {
        let folder = www.join("models").join(id);
        fs::create_dir_all(&folder)?;
        for (name, bytes) in &bundle.write()? {
            fs::write(folder.join(name), bytes)?;
        }
        let Manifest { title, labels, precision, architecture, .. } = &bundle.manifest;
        models.push(json!({
            "bytes": 1, "classes": labels.len(), "id": id, "path": format!("models/{id}/"), "precision": precision, "title": title,
            "mechanism": store::mechanism(architecture)?,
        }));
    }
    Ok(fs::write(www.join("models/index.json"), json!({ "models": models }).to_string())?)
}

/// The first of a batch, as a batch of one.
fn first(tensor: &Tensor) -> Tensor {
    let mut shape = tensor.shape.clone();
    let count = shape.iter().skip(1).product();
    if let Some(batch) = shape.first_mut() {
        *batch = 1;
    }
    let values = match &tensor.values {
        Values::F32(values) => Values::F32(values[..count].to_vec()),
        Values::I32(values) => Values::I32(values[..count].to_vec()),
    };
    Tensor { shape, values }
}

/// The tensor with every value twice as large.
#[must_use]
pub fn doubled(tensor: &Tensor) -> Tensor {
    let values = match &tensor.values {
        Values::F32(values) => Values::F32(values.iter().map(|value| 2.0 * value).collect()),
        Values::I32(values) => Values::I32(values.iter().map(|value| 2 * value).collect()),
    };
    Tensor { shape: tensor.shape.clone(), values }
}

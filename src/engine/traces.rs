//! The further mechanisms by themselves, on what their trace files hold: for `finegrain verify` and the tests.
//!
//! A trace holds maps as `[B, C, h, w]` and batch norms by themselves; the kernels want a row of channels for each position
//! and norms that are folded. Both are arranged here, and the results are put into the trace's shapes.

use super::{EngineError, Recording, record};
use crate::architecture::{Rga, Tasn};
use crate::fold::fold_gates;
use crate::tensors::{Tensor, TensorError, TensorMap, Values};

/// What runs a recording with weights and an input: the device ([`super::run`]) or the twins ([`super::cpu::run`]).
pub type Run<'a> = &'a mut dyn FnMut(Recording, &TensorMap, &[f32]) -> Result<TensorMap, EngineError>;

/// TASN on `input.features` and `input.image`: `out.trilinear`, `out.structure`, `out.detail`, `out.structure_coords`,
/// `out.detail_coords`, as in the trace. The loss belongs to training.
///
/// # Errors
/// A tensor that is missing or wrong, sizes that the kernels do not cover, or a device that fails.
pub fn tasn(
    settings: &Tasn,
    detail_channel: usize,
    tensors: &TensorMap,
    run: Run<'_>,
) -> Result<TensorMap, EngineError> {
    let maps = Maps::of(tensors)?;
    let ([batch, planes, height, width], pixels) = tensors.axes::<4>("input.image")?;
    tensors.weight("input.image", &[maps.batch, 3, height, width])?;
    let mut found = Vec::new();
    for image in 0..batch {
        let recording = record::tasn(settings, maps.size, [height, width], detail_channel)?;
        let pixels = &pixels[image * planes * height * width..(image + 1) * planes * height * width];
        found.push(run(recording, &maps.weights(image), pixels)?);
    }
    let [rows, columns] = settings.size;
    let shape = |name: &str, shape: &[usize]| match name {
        "out.structure_coords" | "out.detail_coords" if rows == columns => vec![2, rows],
        _ => shape.to_vec(),
    };
    stack(&found, shape, |_| false)
}

/// RGA on `input.features` with the parameters `weights`, named as the model's: `out.spatial_gate`, `out.spatial`,
/// `out.channel_gate`, `out.spatial_channel`.
///
/// # Errors
/// As [`tasn`].
pub fn rga(settings: &Rga, tensors: &TensorMap, weights: &TensorMap, run: Run<'_>) -> Result<TensorMap, EngineError> {
    let maps = Maps::of(tensors)?;
    let [height, width, channels] = maps.size;
    let mut folded = TensorMap::default();
    fold_gates(weights, "", settings, [height * width, channels], &mut folded)?;
    let mut found = Vec::new();
    for image in 0..maps.batch {
        let mut weights = folded.clone();
        weights.insert("features", maps.features(image));
        found.push(run(record::rga(settings, maps.size)?, &weights, &[])?);
    }
    let shape = |name: &str, _: &[usize]| match name {
        "out.spatial_gate" => vec![1, height, width],
        "out.channel_gate" => vec![channels, 1, 1],
        _ => vec![channels, height, width],
    };
    stack(&found, shape, |name| !name.ends_with("gate"))
}

/// One module of Attend and Rectify on `input.features` with the parameters `weights`, and the mixing of its logits with
/// `input.hypothesis2` and `input.classifier`: `out.masks`, `out.head_gates`, `out.hypothesis`, `out.softmax`,
/// `out.sigmoid`. The regulariser belongs to training.
///
/// # Errors
/// As [`tasn`].
pub fn rectify(
    heads: usize,
    classes: usize,
    tensors: &TensorMap,
    weights: &TensorMap,
    run: Run<'_>,
) -> Result<TensorMap, EngineError> {
    let maps = Maps::of(tensors)?;
    let [height, width, _] = maps.size;
    let inputs = [("hypothesis2", classes), ("classifier", classes), ("global_gate_logits", 3)];
    let mut found = Vec::new();
    for image in 0..maps.batch {
        let mut weights = weights.clone();
        weights.insert("features", maps.features(image));
        for (name, length) in inputs {
            let values = tensors.weight(&format!("input.{name}"), &[maps.batch, length])?;
            weights.insert(name, Tensor::f32([length], values[image * length..(image + 1) * length].to_vec()));
        }
        let mut results = run(record::rectify(heads, classes, maps.size)?, &weights, &[])?;
        if let Some(Values::F32(votes)) = results.remove("out.votes").map(|votes| votes.values) {
            results.insert("out.hypothesis", Tensor::f32([classes], votes[..classes].to_vec()));
        }
        found.push(results);
    }
    let shape = |name: &str, shape: &[usize]| match name {
        "out.masks" => vec![heads, height, width],
        _ => shape.to_vec(),
    };
    stack(&found, shape, |_| false)
}

/// The feature maps of a batch.
struct Maps<'a> {
    values: &'a [f32],
    batch: usize,
    /// Height, width, channels.
    size: [usize; 3],
}

impl<'a> Maps<'a> {
    fn of(tensors: &'a TensorMap) -> Result<Self, TensorError> {
        let ([batch, channels, height, width], values) = tensors.axes::<4>("input.features")?;
        Ok(Self { values, batch, size: [height, width, channels] })
    }

    /// One map, a row of channels for each position.
    fn features(&self, image: usize) -> Tensor {
        let [height, width, channels] = self.size;
        let positions = height * width;
        let map = &self.values[image * channels * positions..(image + 1) * channels * positions];
        Tensor::f32([positions, channels], turned(map, channels))
    }

    fn weights(&self, image: usize) -> TensorMap {
        let mut weights = TensorMap::default();
        weights.insert("features", self.features(image));
        weights
    }
}

/// A matrix of `rows` rows with rows and columns exchanged.
fn turned(values: &[f32], rows: usize) -> Vec<f32> {
    let columns = values.len() / rows;
    (0..values.len()).map(|i| values[i % rows * columns + i / rows]).collect()
}

/// Joins the results of single images: each with its `shape`, and turned from rows of channels to planes where `by_row`.
fn stack(
    found: &[TensorMap],
    shape: impl Fn(&str, &[usize]) -> Vec<usize>,
    by_row: impl Fn(&str) -> bool,
) -> Result<TensorMap, EngineError> {
    let mut batch = TensorMap::default();
    let Some(first) = found.first() else { return Ok(batch) };
    for (name, tensor) in first.iter() {
        let mut values = Vec::new();
        for one in found {
            let own = one.reals(name)?;
            let positions = tensor.shape.first().copied().unwrap_or(1);
            values.extend(if by_row(name) { turned(own, positions) } else { own.to_vec() });
        }
        let shape: Vec<usize> = std::iter::once(found.len()).chain(shape(name, &tensor.shape)).collect();
        batch.insert(name, Tensor::f32(shape, values));
    }
    Ok(batch)
}

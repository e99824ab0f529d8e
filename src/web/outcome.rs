//! The object that `classify` resolves to.

use js_sys::{Float32Array, Uint32Array};
use serde::Serialize;
use wasm_bindgen::prelude::*;

use super::failure;
use crate::answer::{Answer, Prediction, order, top};
use crate::bundle::{Coarser, Manifest, between, coarser};
use crate::early::Early;
use crate::photo::{Preprocessing, zoom};

/// What the network says of one photo; `src/web/js/session.js` adds the device. Documented for its users in
/// `src/web/js/finegrain.d.ts`.
#[derive(Serialize)]
pub(super) struct Outcome {
    predictions: Vec<Prediction>,
    /// How many were computed.
    blocks: usize,
    recognised: Option<bool>,
    coarser: Vec<Coarser>,
    confused: Vec<Mistaken>,
    sa: Vec<Prediction>,
    glca: Vec<Prediction>,
    #[serde(with = "serde_wasm_bindgen::preserve")]
    rollout: Float32Array,
    /// What `rollout` is.
    map: &'static str,
    #[serde(with = "serde_wasm_bindgen::preserve")]
    selected: Uint32Array,
    grid: [usize; 2],
    crop: Crop,
    zoom: Option<Crop>,
    sampling: Option<Sampling>,
    timings: Timings,
}

/// How often one of the two most probable classes was taken for the other on the test photos.
#[derive(Serialize)]
struct Mistaken {
    /// The class that the photos show.
    right: String,
    /// The class that was named.
    named: String,
    photos: usize,
    of: usize,
}

/// Where the time went, in milliseconds.
#[derive(Serialize)]
pub(super) struct Timings {
    pub(super) preprocess: f64,
    pub(super) run: f64,
}

/// Where the rows and columns of what the transformer saw come from, as shares of the crop's height and width.
#[derive(Serialize)]
struct Sampling {
    #[serde(with = "serde_wasm_bindgen::preserve")]
    rows: Float32Array,
    #[serde(with = "serde_wasm_bindgen::preserve")]
    columns: Float32Array,
}

/// The part of the photo that the network saw, in the photo's pixels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Crop {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

impl Crop {
    /// Of a photo of that width and height.
    pub(super) fn of(preprocessing: &Preprocessing, [width, height]: [u32; 2]) -> Self {
        Self::from(preprocessing.region(width, height))
    }

    /// The part for a second look, where rollout (`[rows * columns]`) found one.
    fn zoom(self, rollout: &[f32], grid: [usize; 2]) -> Option<Self> {
        zoom(rollout, grid, [self.x, self.y, self.width, self.height]).map(Self::from)
    }
}

impl From<[f64; 4]> for Crop {
    fn from([x, y, width, height]: [f64; 4]) -> Self {
        Self { x, y, width, height }
    }
}

/// Rows of `tokens` values each, class token first, as values of patches.
pub(super) fn patches_of(rows: &[f32], tokens: usize) -> Float32Array {
    let patches: Vec<f32> = rows.chunks_exact(tokens.max(1)).flat_map(|row| &row[1..]).copied().collect();
    Float32Array::from(patches.as_slice())
}

impl Outcome {
    /// Names the classes of an answer, calibrated where the bundle says how, and maps tokens to patches: the class token
    /// (token 0) is left out of `rollout`, and `selected` counts patches from 0 in reading order. Of an early answer there is nothing
    /// but the names.
    pub(super) fn new(found: &Early, manifest: &Manifest, top_k: usize, crop: Crop, timings: Timings) -> Self {
        let Manifest { architecture, labels, calibration, hierarchy, .. } = manifest;
        let (none, Early { probability, blocks, .. }) = (Answer::default(), found);
        let answer = found.answer.as_ref().unwrap_or(&none);
        let recognised = calibration.map(|calibration| probability.iter().any(|&p| p >= calibration.threshold));
        // The answer is the mean of the branches, here as well.
        let [sa, glca] = answer.calibrated_branches(manifest.temperature());
        let rollout = answer.rollout.get(1..).unwrap_or_default();
        let patches: Vec<u32> = answer.selected.iter().map(|&token| token.saturating_sub(1)).collect();
        Self {
            predictions: top(probability, labels, top_k),
            blocks: *blocks,
            recognised,
            coarser: coarser(hierarchy, probability),
            confused: mistaken(manifest, probability),
            sa: top(&sa, labels, top_k),
            glca: top(&glca, labels, top_k),
            rollout: Float32Array::from(rollout),
            map: if architecture.resnet.is_some() { "activation" } else { "rollout" },
            selected: Uint32Array::from(patches.as_slice()),
            grid: architecture.grid(),
            crop,
            zoom: crop.zoom(&answer.rollout_over_photo(architecture.grid()), architecture.grid()),
            sampling: architecture.tasn().map(|_| {
                let shares = answer.sampling_shares(architecture.input_size(), architecture.grid());
                let [rows, columns] = shares.map(|shares| Float32Array::from(shares.as_slice()));
                Sampling { rows, columns }
            }),
            timings,
        }
    }

    pub(super) fn into_js(self) -> Result<JsValue, JsError> {
        // The types say null, where the crate would say undefined.
        self.serialize(&serde_wasm_bindgen::Serializer::new().serialize_missing_as_null(true)).map_err(failure)
    }
}

/// What the bundle knows of the two most probable classes.
fn mistaken(manifest: &Manifest, probability: &[f32]) -> Vec<Mistaken> {
    let [first, second, ..] = order(probability)[..] else { return Vec::new() };
    let name = |class: usize| manifest.labels.get(class).cloned().unwrap_or_default();
    between(&manifest.confused, second, first)
        .map(|pair| Mistaken { right: name(pair.right), named: name(pair.named), photos: pair.photos, of: pair.of })
        .collect()
}

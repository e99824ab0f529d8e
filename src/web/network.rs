//! A bundle's network, loaded and ready.

use std::cell::RefCell;

use js_sys::{Function, Map, Uint8Array};
use wasm_bindgen::prelude::*;

use super::executor::{Executor, Failed, Measure, Tiles};
use super::outcome::{Crop, Outcome, Timings};
use super::pixels::Pixels;
use super::{failure, milliseconds};
use crate::answer::Answer;
use crate::bundle::{Bundle, Hashes, Manifest};
use crate::early::{Early, Sure};
use crate::photo::Incoming;
use crate::self_test::{SelfTest, tolerance};
use crate::tensors::{Precision, TensorMap};

/// The most bytes that loading and running a network may take: half of what wasm can address, and far more than a phone
/// gives to a tab. Where more is asked for, a sentence is better than a module that aborts.
const MAX_MEMORY: u64 = 2 << 30;

/// A network that classifies photos.
#[wasm_bindgen]
pub struct Network {
    pub(super) manifest: Manifest,
    pub(super) executor: Executor,
    trace: TensorMap,
    /// Of the self-test.
    tolerance: f64,
    /// The photo that can be looked into.
    pub(super) photo: RefCell<Option<Photo>>,
}

/// A photo that was classified.
pub(super) struct Photo {
    /// The network's input, `[3, H, W]`.
    pub(super) image: Vec<f32>,
    pub(super) crop: Crop,
}

#[wasm_bindgen]
impl Network {
    /// Checks a bundle and loads its weights.
    ///
    /// `files` maps the names in the manifest to `Uint8Array`s and is emptied on the way; `hashed` says that they have the hashes that
    /// the manifest names, which are looked at otherwise; `on_stage` is called with
    /// `verify`, `upload` and `compile`, how many steps of it are done, and how many there are (0 where nobody counts).
    /// `precision` is how the weights lie on a graphics device: `f32`, `f16`, `int8`, or anything else for the bundle's own;
    /// the processor computes in f32. `tiles` says whether the tiles of matrix products are measured: `measure`, `default`
    /// (never), or anything else for where it is no processor; `tile_times` is what the property of that name was before.
    ///
    /// # Errors
    /// A bundle that does not pass its checks, or no device that could run it; a device that was lost meanwhile has the
    /// name `DeviceError`.
    pub async fn load(
        manifest: Vec<u8>,
        files: Map,
        hashed: bool,
        on_stage: Function,
        precision: String,
        tiles: String,
        tile_times: Option<String>,
    ) -> Result<Network, JsValue> {
        let stage = |name: &str, done: f64, total: f64| {
            // A listener that throws must not stop the loading.
            let _ = on_stage.call3(&JsValue::NULL, &name.into(), &done.into(), &total.into());
        };
        stage("verify", 0.0, 0.0);
        let mut bundle = read(&manifest, &files, hashed)?;
        let stored = bundle.manifest.precision;
        let precision = match &*precision {
            "f32" => Precision::F32,
            "f16" => Precision::F16,
            "int8" => Precision::Int8,
            _ => stored,
        };
        let measure = match &*tiles {
            "measure" => Measure::Always,
            "default" => Measure::Never,
            _ => Measure::Hardware,
        };
        let tiles = Tiles { measure, known: tile_times };
        let executor = Executor::load(&mut bundle, precision, &tiles, &stage).await?;
        let tolerance = tolerance(stored, executor.precision());
        Ok(Self { manifest: bundle.manifest, executor, trace: bundle.trace, tolerance, photo: RefCell::new(None) })
    }

    /// Makes room for a photo of `width` x `height` pixels, for [`Network::classify`].
    ///
    /// # Errors
    /// A photo without pixels, one with more than [`MAX_PIXELS`](crate::photo::MAX_PIXELS), one that is too narrow, or no
    /// memory for it.
    pub fn pixels(&self, width: u32, height: u32) -> Result<Pixels, JsError> {
        let incoming = Incoming::new(&self.manifest.preprocessing, width, height).map_err(failure)?;
        Ok(Pixels { incoming })
    }

    /// Classifies a photo and frees its pixels. With `ratio`, the local queries are that share of the patches instead of
    /// the bundle's; with `early`, the answer may come before the last block, where modules are sure of a class by that probability, and
    /// the photo cannot be looked into afterwards.
    ///
    /// # Errors
    /// Pixels that are not all there; a device that failed (`DeviceError`) or computes no numbers (`WrongResultError`); a
    /// ratio outside (0, 1].
    pub async fn classify(
        &self,
        pixels: Pixels,
        top_k: usize,
        ratio: Option<f64>,
        early: Option<f32>,
    ) -> Result<JsValue, JsValue> {
        let start = milliseconds();
        let crop = Crop::of(&self.manifest.preprocessing, pixels.incoming.size());
        let image = pixels.incoming.finish().map_err(failure)?;
        let prepared = milliseconds();
        let found = match early {
            Some(probability) => {
                self.photo.replace(None);
                let sure = Sure { probability, temperature: self.manifest.temperature() };
                self.executor.classify_early(&image, sure).await?
            }
            None => {
                let Manifest { architecture, .. } = &self.manifest;
                Early::full(
                    self.run(Photo { image, crop }, ratio).await?,
                    self.manifest.temperature(),
                    architecture.depth,
                )
            }
        };
        let timings = Timings { preprocess: prepared - start, run: milliseconds() - prepared };
        Ok(Outcome::new(&found, &self.manifest, top_k, crop, timings).into_js()?)
    }

    /// Runs the bundle's golden trace: `{passed, tolerance, results: [{name, difference}]}`, in the order of computation.
    ///
    /// # Errors
    /// As [`Network::classify`].
    pub async fn self_test(&self) -> Result<JsValue, JsValue> {
        let image = self.trace.reals("input.images").map_err(failure)?;
        self.photo.replace(None);
        let answer = self.executor.classify(image).await?;
        let test = SelfTest::new(&answer, &self.trace, self.tolerance).map_err(failure)?;
        Ok(serde_wasm_bindgen::to_value(&test).map_err(failure)?)
    }

    /// What was measured of the tiles of matrix products on this graphics device, now or before; undefined where nothing was.
    #[wasm_bindgen(getter)]
    pub fn tile_times(&self) -> Option<String> {
        self.executor.tile_times()
    }

    /// Bytes of buffers on the graphics device.
    #[wasm_bindgen(getter)]
    pub fn device_bytes(&self) -> f64 {
        self.executor.device_bytes() as f64
    }
}

impl Network {
    /// Runs a photo, which can be looked into afterwards.
    pub(super) async fn run(&self, photo: Photo, ratio: Option<f64>) -> Result<Answer, Failed> {
        self.photo.replace(None);
        let mut answer = self.executor.classify(&photo.image).await?;
        if let Some(ratio) = ratio {
            answer = self.executor.with_ratio(ratio).await?;
        }
        self.photo.replace(Some(photo));
        Ok(answer)
    }
}

/// Checks a bundle: `files` maps the names in the manifest to `Uint8Array`s and is emptied on the way; `hashed`: their hashes are known
/// to be right.
pub(super) fn read(manifest: &[u8], files: &Map, hashed: bool) -> Result<Bundle, Failed> {
    check_memory(&Manifest::read(manifest).map_err(Failed::plain)?)?;
    let hashes = if hashed { Hashes::Known } else { Hashes::Wanted };
    Bundle::read_with(manifest, hashes, |name| {
        let bytes = files.get(&name.into()).dyn_into::<Uint8Array>();
        // The module has its copy now: what JavaScript holds can go.
        files.delete(&name.into());
        bytes.map(|bytes| bytes.to_vec()).map_err(|_| std::io::Error::from(std::io::ErrorKind::NotFound))
    })
    .map_err(Failed::plain)
}

/// Refuses a network that would not fit, before anything is allocated for it.
fn check_memory(manifest: &Manifest) -> Result<(), Failed> {
    match manifest.memory() {
        Some(bytes) if bytes <= MAX_MEMORY => Ok(()),
        _ => Err(Failed::plain(
            "this network needs more than the 2 GiB of memory that a page can give it: run it natively",
        )),
    }
}

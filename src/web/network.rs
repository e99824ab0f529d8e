//! A bundle's network, loaded and ready.

use js_sys::{Function, Map, Uint8Array};
use wasm_bindgen::prelude::*;

use super::executor::Executor;
use super::outcome::{Crop, Outcome, Timings};
use super::pixels::Pixels;
use super::{failure, milliseconds};
use crate::bundle::{Bundle, Manifest};

/// A network that classifies photos.
#[wasm_bindgen]
pub struct Network {
    manifest: Manifest,
    executor: Executor,
}

#[wasm_bindgen]
impl Network {
    /// Checks a bundle and loads its weights.
    ///
    /// `files` maps the names in the manifest to `Uint8Array`s; `on_stage` is called with `verify`, `upload`
    /// and `compile`, how many steps of it are done, and how many there are (0 where nobody counts).
    ///
    /// # Errors
    /// A bundle that does not pass its checks, or no device that could run it.
    pub async fn load(manifest: Vec<u8>, files: Map, on_stage: Function) -> Result<Network, JsError> {
        let stage = |name: &str, done: f64, total: f64| {
            // A listener that throws must not stop the loading.
            let _ = on_stage.call3(&JsValue::NULL, &name.into(), &done.into(), &total.into());
        };
        stage("verify", 0.0, 0.0);
        let bundle = Bundle::read(&manifest, |name| {
            files
                .get(&name.into())
                .dyn_into::<Uint8Array>()
                .map(|bytes| bytes.to_vec())
                .map_err(|_| std::io::Error::from(std::io::ErrorKind::NotFound))
        })
        .map_err(failure)?;
        let executor = Executor::load(&bundle, &stage).await?;
        Ok(Self { manifest: bundle.manifest, executor })
    }

    /// Classifies a photo and frees its pixels.
    ///
    /// # Errors
    /// Pixels that are not all there, or a device that failed.
    pub async fn classify(&self, pixels: Pixels, top_k: usize) -> Result<JsValue, JsError> {
        let start = milliseconds();
        let photo = pixels.photo()?;
        let Manifest { preprocessing, architecture, labels, .. } = &self.manifest;
        let crop = Crop::of(preprocessing, &photo);
        let image = preprocessing.apply(&photo).map_err(failure)?;
        drop(photo);
        let prepared = milliseconds();
        let answer = self.executor.classify(&image).await?;
        let timings = Timings { preprocess: prepared - start, run: milliseconds() - prepared };
        Outcome::new(&answer, architecture, labels, top_k, crop, timings).into_js()
    }
}

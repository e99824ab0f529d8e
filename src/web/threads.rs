//! A network on several workers, each with an instance of the module, a memory and the weights of its own.
//!
//! What they have in common is outside of wasm: `src/web/js/share.js`, a `SharedArrayBuffer` that values are copied into and
//! out of, and the waiting for each other.

use js_sys::Map;
use wasm_bindgen::prelude::*;

use super::executor::Failed;
use super::network::{Network, read};
use crate::bundle::Manifest;
use crate::cpu::{Cpu, Exchange, common_values};

#[wasm_bindgen]
extern "C" {
    /// `Share` of `src/web/js/share.js`.
    pub type Share;

    #[wasm_bindgen(method, getter)]
    fn index(this: &Share) -> usize;

    #[wasm_bindgen(method, getter)]
    fn count(this: &Share) -> usize;

    /// Tells the helpers that a photo comes.
    #[wasm_bindgen(method)]
    pub(super) fn begin(this: &Share);

    #[wasm_bindgen(method)]
    fn give(this: &Share, at: usize, values: &[f32]);

    #[wasm_bindgen(method)]
    fn take(this: &Share, at: usize, values: &mut [f32]);

    #[wasm_bindgen(method, catch)]
    fn meet(this: &Share) -> Result<(), JsValue>;
}

impl Exchange for Share {
    fn place(&self) -> [usize; 2] {
        [self.index(), self.count()]
    }

    fn give(&self, at: usize, values: &[f32]) {
        self.give(at, values);
    }

    fn take(&self, at: usize, values: &mut [f32]) {
        self.take(at, values);
    }

    fn meet(&self) -> Result<(), String> {
        self.meet().map_err(|error| match error.dyn_into::<js_sys::Error>() {
            Ok(error) => error.message().into(),
            Err(_) => "it said nothing".into(),
        })
    }
}

#[wasm_bindgen]
impl Network {
    /// From now on this worker is the first of those that `share` joins: the others are [`Helper`]s.
    pub fn join(&self, share: Share) {
        self.executor.join(share);
    }

    /// Bytes of a bundle's weights as each worker holds them.
    ///
    /// # Errors
    /// A manifest that cannot be read.
    pub fn weight_bytes(manifest: &[u8]) -> Result<f64, JsValue> {
        let architecture = Manifest::read(manifest).map_err(Failed::plain)?.architecture;
        Ok(architecture.parameters().map_or(f64::INFINITY, |count| count as f64 * 4.0))
    }

    /// Values that `threads` workers need in common.
    ///
    /// # Errors
    /// A manifest that cannot be read.
    pub fn common_values(manifest: &[u8], threads: usize) -> Result<usize, JsValue> {
        Ok(common_values(&Manifest::read(manifest).map_err(Failed::plain)?.architecture, threads))
    }
}

/// A network that does a part of another worker's photos.
#[wasm_bindgen]
pub struct Helper(Cpu);

#[wasm_bindgen]
impl Helper {
    /// Checks a bundle and takes its weights, as [`Network::load`] does; `hashed` as there.
    ///
    /// # Errors
    /// A bundle that does not pass its checks.
    pub fn load(manifest: &[u8], files: &Map, hashed: bool) -> Result<Helper, JsValue> {
        let bundle = read(manifest, files, hashed)?;
        Ok(Self(Cpu::take(&bundle.manifest.architecture, bundle.weights).map_err(Failed::from)?))
    }

    /// Does this worker's part of the photo that the first one has begun.
    ///
    /// # Errors
    /// Another worker that stopped.
    pub fn help(&self, share: &Share) -> Result<(), JsValue> {
        Ok(self.0.help(share).map_err(Failed::from)?)
    }
}

//! A bundle from one `.zip` of the user's own.

use wasm_bindgen::prelude::*;

use super::failure;
use crate::bundle::Archive;

/// An opened zip.
#[wasm_bindgen]
pub struct Zip {
    archive: Archive,
}

#[wasm_bindgen]
impl Zip {
    /// Reads the list of files.
    ///
    /// # Errors
    /// What is no zip, or holds no bundle.
    #[wasm_bindgen(constructor)]
    pub fn new(bytes: Vec<u8>) -> Result<Zip, JsError> {
        Ok(Self { archive: Archive::open(bytes).map_err(failure)? })
    }

    /// The content of a file of the bundle, refused beyond `limit` bytes.
    ///
    /// # Errors
    /// A file that is not there, is damaged, or is longer.
    pub fn file(&mut self, name: &str, limit: f64) -> Result<Vec<u8>, JsError> {
        self.archive.file(name, limit.max(0.0) as u64).map_err(failure)
    }
}

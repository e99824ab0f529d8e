//! A photo on its way in: the browser hands its pixels over in bands of rows.

use wasm_bindgen::prelude::*;

use super::failure;
use crate::photo::{Incoming, Photo};

/// The pixels of one photo for one network, upright, top row first.
///
/// Neither the photo nor its RGBA form ever exists here as a whole: of each band what the network needs stays, and the
/// module's memory, which never shrinks, does not grow with the photo.
#[wasm_bindgen]
pub struct Pixels {
    pub(super) incoming: Incoming,
}

#[wasm_bindgen]
impl Pixels {
    /// Appends whole rows, RGBA with straight alpha; what is transparent becomes white.
    ///
    /// # Errors
    /// A band that is not whole rows, or goes beyond the last row.
    pub fn push(&mut self, rgba: &[u8]) -> Result<(), JsError> {
        let [width, _] = self.incoming.size();
        let rows = rgba.len() / (width as usize * 4);
        let band = Photo::from_rgba(width, rows as u32, rgba).map_err(failure)?;
        self.incoming.push(band.rgb()).map_err(failure)
    }
}

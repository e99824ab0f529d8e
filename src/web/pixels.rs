//! A photo on its way in: the browser hands its pixels over in bands of rows.

use wasm_bindgen::prelude::*;

use super::failure;
use crate::photo::Photo;

/// The pixels of one photo, upright, top row first.
///
/// Bands keep the peak of memory low: a photo of 48 megapixels is 144 MB here, and its RGBA form (twice 192 MB, on
/// the page and here) never exists as a whole.
#[wasm_bindgen]
pub struct Pixels {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
}

#[wasm_bindgen]
impl Pixels {
    /// Makes room for a photo of `width` x `height` pixels.
    ///
    /// # Errors
    /// A photo without pixels, one with more than [`MAX_PIXELS`](crate::photo::MAX_PIXELS), or no memory for it.
    #[wasm_bindgen(constructor)]
    pub fn new(width: u32, height: u32) -> Result<Pixels, JsError> {
        Photo::check_size(width, height).map_err(failure)?;
        let bytes = width as usize * height as usize * 3;
        let mut rgb = Vec::new();
        rgb.try_reserve_exact(bytes)
            .map_err(|_| failure("there is no memory left for this photo: make it smaller first"))?;
        Ok(Self { width, height, rgb })
    }

    /// Appends whole rows, RGBA with straight alpha; what is transparent becomes white.
    ///
    /// # Errors
    /// A band that is not whole rows, or goes beyond the last row.
    pub fn push(&mut self, rgba: &[u8]) -> Result<(), JsError> {
        let rows = rgba.len() / (self.width as usize * 4);
        let missing = self.height as usize - self.rgb.len() / (self.width as usize * 3);
        if rows > missing {
            return Err(failure(format!("{rows} rows were given, {missing} are missing")));
        }
        let band = Photo::from_rgba(self.width, rows as u32, rgba).map_err(failure)?;
        self.rgb.extend_from_slice(band.rgb());
        Ok(())
    }
}

impl Pixels {
    /// The photo, once all rows have come.
    pub(super) fn photo(self) -> Result<Photo, JsError> {
        Photo::from_rgb(self.width, self.height, self.rgb).map_err(failure)
    }
}

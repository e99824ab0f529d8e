//! One photo of a classification data set.

use std::path::PathBuf;

use finegrain::photo::Photo;

use crate::decode::{DecodeError, decode};

/// One photo and its class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Where the photo lies.
    pub path: PathBuf,
    /// Index into [`Dataset::labels`](super::Dataset::labels).
    pub class: usize,
    /// Rows of pixels that are cut off at the bottom before the photo is used (FGVC-Aircraft's banner).
    pub crop_bottom: u32,
}

impl Sample {
    /// A photo that is used whole.
    pub fn new(path: PathBuf, class: usize) -> Self {
        Self { path, class, crop_bottom: 0 }
    }

    /// Decodes the photo and cuts off what is no part of it. Training and measuring open photos with this.
    ///
    /// A photo that would have no row left stays whole: it has no banner.
    ///
    /// # Errors
    /// [`DecodeError`], one sentence that names the file.
    pub fn photo(&self) -> Result<Photo, DecodeError> {
        let photo = decode(&self.path)?;
        if self.crop_bottom == 0 || self.crop_bottom >= photo.height() {
            return Ok(photo);
        }
        let (width, height) = (photo.width(), photo.height() - self.crop_bottom);
        let kept = photo.rgb()[..width as usize * height as usize * 3].to_vec();
        Photo::from_rgb(width, height, kept)
            .map_err(|source| DecodeError::Photo { name: self.path.display().to_string(), source })
    }
}

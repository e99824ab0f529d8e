//! A photo on its way to the network: its rows come in bands, and of each only what the resized photo needs stays.

use super::resize::pass;
use super::{Photo, PhotoError, Preprocessing};

/// A photo of which some rows have come.
///
/// The resizer's first pass goes along the rows, each by itself, so a band can take it as soon as it is there: a photo of 40
/// megapixels is 120 MB, and what is left of it for 224 pixels is 5 MB.
#[derive(Debug, Clone)]
pub struct Incoming {
    preprocessing: Preprocessing,
    width: u32,
    height: u32,
    /// Width and height after resizing.
    resized: [u32; 2],
    /// `[rows so far, resized width, 3]`.
    narrow: Vec<u8>,
}

impl Incoming {
    /// Makes room for a photo of `width` x `height` pixels.
    ///
    /// # Errors
    /// [`PhotoError::Preprocessing`] for settings that cannot be met; [`PhotoError::Empty`], [`PhotoError::TooLarge`],
    /// [`PhotoError::TooNarrow`] or [`PhotoError::Memory`] for a photo that cannot be taken.
    pub fn new(preprocessing: &Preprocessing, width: u32, height: u32) -> Result<Self, PhotoError> {
        Photo::check_size(width, height)?;
        preprocessing.check()?;
        let resized = preprocessing.resized(width, height)?;
        Photo::check_size(resized[0], height)?;
        let mut narrow = Vec::new();
        narrow.try_reserve_exact(resized[0] as usize * height as usize * 3).map_err(|_| PhotoError::Memory)?;
        Ok(Self { preprocessing: preprocessing.clone(), width, height, resized, narrow })
    }

    /// The photo's width and height in pixels.
    pub fn size(&self) -> [u32; 2] {
        [self.width, self.height]
    }

    /// Appends whole rows, `[rows, W, 3]`, interleaved sRGB.
    ///
    /// # Errors
    /// [`PhotoError::Length`] for what is not whole rows, or goes beyond the last row.
    pub fn push(&mut self, rgb: &[u8]) -> Result<(), PhotoError> {
        let rows = rgb.len() / (self.width as usize * 3);
        let missing = self.height as usize - self.narrow.len() / (self.resized[0] as usize * 3);
        if rows == 0 || rows > missing || !rgb.len().is_multiple_of(self.width as usize * 3) {
            return Err(self.length(missing, rgb.len()));
        }
        let rows = rows as u32;
        self.narrow.extend_from_slice(&pass(rgb, [self.width, rows], [self.resized[0], rows])?);
        Ok(())
    }

    /// The part of the photo that the network sees, resized, not normalised: `crop` pixels.
    ///
    /// # Errors
    /// [`PhotoError::Length`] where rows are missing.
    pub fn crop(self) -> Result<Photo, PhotoError> {
        let [width, height] = self.resized;
        let row = width as usize * 3;
        if self.narrow.len() != row * self.height as usize {
            let missing = self.height as usize - self.narrow.len() / row;
            return Err(self.length(missing, 0));
        }
        let resized = pass(&self.narrow, [width, self.height], [width, height])?;
        let [crop_height, crop_width] = self.preprocessing.crop;
        let top = centre(height as usize, crop_height);
        let left = 3 * centre(width as usize, crop_width);
        let rows = resized.chunks_exact(row).skip(top).take(crop_height);
        let rgb = rows.flat_map(|row| &row[left..left + 3 * crop_width]).copied().collect();
        Photo::from_rgb(crop_width as u32, crop_height as u32, rgb)
    }

    /// The network's input, `[3, crop height, crop width]`.
    ///
    /// # Errors
    /// Those of [`Incoming::crop`].
    pub fn finish(self) -> Result<Vec<f32>, PhotoError> {
        let preprocessing = self.preprocessing.clone();
        Ok(preprocessing.normalise(&self.crop()?))
    }

    /// `missing` rows were expected.
    fn length(&self, missing: usize, found: usize) -> PhotoError {
        let (width, height) = (self.width, missing as u32);
        PhotoError::Length { width, height, expected: u64::from(width) * u64::from(height) * 3, found: found as u64 }
    }
}

/// Where a centre crop starts: torchvision's `round((size - crop) / 2)`, halves to even.
fn centre(size: usize, crop: usize) -> usize {
    let rest = size - crop;
    rest / 2 + usize::from(rest % 4 == 3)
}

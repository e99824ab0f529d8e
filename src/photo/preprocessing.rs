//! What happens to a photo between the decoder and the network.

use serde::{Deserialize, Serialize};

use super::{Incoming, MAX_PIXELS, Photo, PhotoError};

/// What becomes of a photo whose shape is not the network's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// Its short side is resized, its long side is cut: shapes stay true, both ends are lost.
    #[default]
    Crop,
    /// It is stretched to the network's shape: nothing is lost, shapes are not true. The paper's recipe.
    Stretch,
}

/// Resize, crop the centre, normalise: torchvision's `Resize`, `CenterCrop` and `Normalize`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    /// Length of the short side after resizing, in pixels; the long side follows, rounded down.
    pub resize: usize,
    /// Whether the long side follows the photo's shape or the crop's.
    #[serde(default, skip_serializing_if = "Fit::is_default")]
    pub fit: Fit,
    /// Height and width of the centre crop, in pixels; neither above `resize` (stretched photos: the shorter not above).
    pub crop: [usize; 2],
    /// Mean of each channel, for values from 0 to 1.
    pub mean: [f32; 3],
    /// Standard deviation of each channel, for values from 0 to 1.
    pub std: [f32; 3],
}

impl Preprocessing {
    /// Checks the settings alone.
    ///
    /// # Errors
    /// [`PhotoError::Preprocessing`] names the first setting that no photo can meet.
    pub fn check(&self) -> Result<(), PhotoError> {
        let fail = |text: String| Err(PhotoError::Preprocessing(text));
        let [height, width] = self.crop;
        if self.resize == 0 || self.resize > 8192 {
            return fail(format!("resize is {}, it must be from 1 to 8192 pixels", self.resize));
        }
        let room = match self.fit {
            Fit::Crop => self.resize >= height.max(width),
            Fit::Stretch => self.resize >= height.min(width),
        };
        if height == 0 || width == 0 || !room {
            return fail(format!("the crop of {height} x {width} pixels does not lie within resize {}", self.resize));
        }
        if !self.mean.iter().chain(&self.std).all(|v| v.is_finite()) || self.std.iter().any(|&v| v <= 0.0) {
            return fail("mean and std must be finite numbers and std above 0".into());
        }
        Ok(())
    }

    /// The network's input, `[3, crop height, crop width]`: `(v / 255 - mean) / std`.
    ///
    /// # Errors
    /// [`PhotoError::Preprocessing`] for settings that cannot be met, [`PhotoError::TooNarrow`] for a photo that would
    /// grow beyond [`MAX_PIXELS`] on the way.
    pub fn apply(&self, photo: &Photo) -> Result<Vec<f32>, PhotoError> {
        Ok(self.normalise(&self.crop(photo)?))
    }

    /// The part of the photo that the network sees, resized, not normalised: `crop` pixels.
    ///
    /// # Errors
    /// Those of [`Preprocessing::apply`].
    pub fn crop(&self, photo: &Photo) -> Result<Photo, PhotoError> {
        let mut incoming = Incoming::new(self, photo.width(), photo.height())?;
        incoming.push(photo.rgb())?;
        incoming.crop()
    }

    /// Any photo as planes, `[3, H, W]`: `(v / 255 - mean) / std`.
    pub fn normalise(&self, photo: &Photo) -> Vec<f32> {
        let pixels = photo.rgb().as_chunks::<3>().0;
        let mut planes = Vec::with_capacity(pixels.len() * 3);
        for channel in 0..3 {
            let (mean, std) = (self.mean[channel], self.std[channel]);
            planes.extend(pixels.iter().map(|pixel| (f32::from(pixel[channel]) / 255.0 - mean) / std));
        }
        planes
    }

    /// The part of a `width` x `height` photo that the network sees: left, top, width and height in the photo's pixels,
    /// to half a pixel of the resized photo.
    pub fn region(&self, width: u32, height: u32) -> [f64; 4] {
        let (width, height) = (f64::from(width), f64::from(height));
        let [crop_height, crop_width] = self.crop.map(|side| side as f64);
        let resize = self.resize as f64;
        let [seen_width, seen_height] = match self.fit {
            Fit::Crop => [crop_width, crop_height].map(|side| side * width.min(height) / resize),
            Fit::Stretch => [width, height].map(|side| side * crop_width.min(crop_height) / resize),
        };
        [(width - seen_width) / 2.0, (height - seen_height) / 2.0, seen_width, seen_height]
    }

    /// Width and height after resizing.
    pub(super) fn resized(&self, width: u32, height: u32) -> Result<[u32; 2], PhotoError> {
        if self.fit == Fit::Stretch {
            let [height, width] = self.crop;
            let long = self.resize * height.max(width) / height.min(width);
            let [short, long] = [self.resize as u32, u32::try_from(long).unwrap_or(u32::MAX)];
            return Ok(if width <= height { [short, long] } else { [long, short] });
        }
        let (short, long) = (u64::from(width.min(height)), u64::from(width.max(height)));
        let resize = self.resize as u64;
        let long = resize * long / short;
        if resize * long > MAX_PIXELS {
            return Err(PhotoError::TooNarrow { width, height, resize: self.resize });
        }
        Ok(if width <= height { [resize as u32, long as u32] } else { [long as u32, resize as u32] })
    }
}

impl Fit {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

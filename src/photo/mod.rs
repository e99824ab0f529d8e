//! From a decoded photo to the input of a network: one code for native and web.
//!
//! Decoding is not here: the browser does it on the page, the crate `image` natively (`finegrain_native::decode`).

mod incoming;
mod jpeg;
mod preprocessing;
mod resize;
mod zoom;

pub use incoming::Incoming;
pub use jpeg::is_truncated as jpeg_is_truncated;
pub use preprocessing::{Fit, Preprocessing};
pub use resize::resize;
pub use zoom::zoom;

/// The most pixels a photo may have, on either side of the decoder: 64 megapixels, 192 MB as RGB.
pub const MAX_PIXELS: u64 = 64_000_000;

/// An upright photo without alpha.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Photo {
    width: u32,
    height: u32,
    /// `[H, W, 3]`, interleaved sRGB.
    rgb: Vec<u8>,
}

/// Why a photo cannot be used. Each is one sentence, to be put after the photo's name.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PhotoError {
    /// A side of zero pixels.
    #[error("the photo is {width} x {height} pixels: it is empty")]
    Empty {
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
    },
    /// More than [`MAX_PIXELS`].
    #[error(
        "the photo is {width} x {height} pixels ({} megapixels), at most {} are accepted: make it smaller first",
        u64::from(*width) * u64::from(*height) / 1_000_000,
        MAX_PIXELS / 1_000_000
    )]
    TooLarge {
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
    },
    /// So narrow that resizing its short side makes it larger than [`MAX_PIXELS`].
    #[error("the photo is {width} x {height} pixels, too narrow to be resized to {resize} pixels: crop it first")]
    TooNarrow {
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
        /// The short side that was asked for.
        resize: usize,
    },
    /// The system has no memory left for it.
    #[error("there is no memory left for this photo: make it smaller first")]
    Memory,
    /// Width and height do not tell how many bytes there are.
    #[error("{width} x {height} pixels need {expected} bytes, {found} were given")]
    Length {
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
        /// `3 W H` or `4 W H`.
        expected: u64,
        /// How many there are.
        found: u64,
    },
    /// A part that does not lie in the photo.
    #[error("the part at {}, {} of {} x {} pixels lies outside of the photo, which is {width} x {height} pixels", part[0], part[1], part[2], part[3])]
    Part {
        /// Left, top, width and height in pixels.
        part: [f64; 4],
        /// The photo's width.
        width: u32,
        /// The photo's height.
        height: u32,
    },
    /// Settings that no photo can meet.
    #[error("the preprocessing cannot be done: {0}")]
    Preprocessing(String),
    /// The resizer refused.
    #[error("the photo could not be resized: {0}")]
    Resize(String),
}

impl Photo {
    /// A photo from interleaved sRGB, `[H, W, 3]`.
    ///
    /// # Errors
    /// [`PhotoError::Empty`], [`PhotoError::TooLarge`] or [`PhotoError::Length`].
    pub fn from_rgb(width: u32, height: u32, rgb: Vec<u8>) -> Result<Self, PhotoError> {
        check_length(width, height, 3, rgb.len())?;
        Ok(Self { width, height, rgb })
    }

    /// A photo from interleaved sRGB with straight (not premultiplied) alpha, `[H, W, 4]`, composed over white.
    ///
    /// # Errors
    /// [`PhotoError::Empty`], [`PhotoError::TooLarge`] or [`PhotoError::Length`].
    pub fn from_rgba(width: u32, height: u32, rgba: &[u8]) -> Result<Self, PhotoError> {
        check_length(width, height, 4, rgba.len())?;
        let pixels = rgba.as_chunks::<4>().0;
        let mut rgb = vec![0; 3 * pixels.len()];
        for (to, &[r, g, b, a]) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
            // Nearly every pixel of nearly every photo.
            *to = if a == 255 { [r, g, b] } else { [r, g, b].map(|v| over_white(v, a)) };
        }
        Ok(Self { width, height, rgb })
    }

    /// The part of the photo at left, top, width and height in pixels, rounded outwards to whole ones; of what reaches
    /// beyond the photo, the part that lies within.
    ///
    /// # Errors
    /// [`PhotoError::Part`] where nothing lies within.
    pub fn part(&self, [left, top, width, height]: [f64; 4]) -> Result<Self, PhotoError> {
        let within = |start: f64, length: f64, limit: u32| {
            let end = (start + length).ceil().min(f64::from(limit));
            let start = start.floor().clamp(0.0, f64::from(limit));
            (length > 0.0 && start < end).then_some((start as usize, end as usize))
        };
        let (Some((left, right)), Some((top, bottom))) =
            (within(left, width, self.width), within(top, height, self.height))
        else {
            return Err(PhotoError::Part { part: [left, top, width, height], width: self.width, height: self.height });
        };
        let rows = self.rgb.chunks_exact(3 * self.width as usize).take(bottom).skip(top);
        let rgb = rows.flat_map(|row| &row[3 * left..3 * right]).copied().collect();
        Self::from_rgb((right - left) as u32, (bottom - top) as u32, rgb)
    }

    /// Refuses a size before anything is allocated for it.
    ///
    /// # Errors
    /// [`PhotoError::Empty`] or [`PhotoError::TooLarge`].
    pub fn check_size(width: u32, height: u32) -> Result<(), PhotoError> {
        match u64::from(width) * u64::from(height) {
            0 => Err(PhotoError::Empty { width, height }),
            1..=MAX_PIXELS => Ok(()),
            _ => Err(PhotoError::TooLarge { width, height }),
        }
    }

    /// Width in pixels, not 0.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels, not 0.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// `[H, W, 3]`, interleaved sRGB.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }
}

fn check_length(width: u32, height: u32, channels: u64, found: usize) -> Result<(), PhotoError> {
    Photo::check_size(width, height)?;
    let expected = u64::from(width) * u64::from(height) * channels;
    let found = found as u64;
    if found == expected { Ok(()) } else { Err(PhotoError::Length { width, height, expected, found }) }
}

/// `v` with opacity `alpha` on white, rounded to the nearest, in sRGB values as browsers and Pillow compose.
fn over_white(v: u8, alpha: u8) -> u8 {
    let (v, alpha) = (u32::from(v), u32::from(alpha));
    ((v * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}

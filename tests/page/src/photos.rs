//! Photos to upload, made from the samples in `www/samples`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use image::{DynamicImage, Rgb, RgbImage};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use tempfile::TempDir;

use crate::site::www;

/// A folder of made photos; removed when dropped.
#[derive(Debug)]
pub struct Photos {
    folder: TempDir,
}

/// A sample's file.
#[must_use]
pub fn sample(name: &str) -> PathBuf {
    www().join("samples").join(name)
}

impl Photos {
    /// An empty folder.
    ///
    /// # Errors
    /// Where no temporary folder can be made.
    pub fn new() -> Result<Self> {
        Ok(Self { folder: TempDir::new()? })
    }

    /// A file with these bytes.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn file(&self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        fs::write(&path, bytes)?;
        Ok(path)
    }

    /// A sample as a JPEG.
    ///
    /// # Errors
    /// Where the sample cannot be read.
    pub fn jpeg(&self, name: &str) -> Result<PathBuf> {
        self.file("upright.jpg", &jpeg(&opaque(name)?, None)?)
    }

    /// A sample as a JPEG of another size.
    ///
    /// # Errors
    /// Where the sample cannot be read.
    pub fn large_jpeg(&self, name: &str, width: u32, height: u32) -> Result<PathBuf> {
        let large = image::imageops::resize(&opaque(name)?, width, height, image::imageops::FilterType::Nearest);
        self.file("large.jpg", &jpeg(&large, None)?)
    }

    /// A sample as a JPEG whose pixels lie on their side, with the EXIF orientation 6 that says so.
    ///
    /// # Errors
    /// Where the sample cannot be read.
    pub fn lying_jpeg(&self, name: &str) -> Result<PathBuf> {
        // Orientation 6: to be turned by 90 degrees clockwise when shown.
        let lying = image::imageops::rotate270(&opaque(name)?);
        self.file("lying.jpg", &jpeg(&lying, Some(6))?)
    }

    /// The first half of a sample's JPEG.
    ///
    /// # Errors
    /// Where the sample cannot be read.
    pub fn truncated_jpeg(&self, name: &str) -> Result<PathBuf> {
        let bytes = jpeg(&opaque(name)?, None)?;
        self.file("truncated.jpg", &bytes[..bytes.len() / 2])
    }

    /// A sample as a JPEG in the four inks of printers, as Adobe's programs write it (inverted).
    ///
    /// # Errors
    /// Where the sample cannot be read.
    pub fn cmyk_jpeg(&self, name: &str) -> Result<PathBuf> {
        let rgb = opaque(name)?;
        let inks: Vec<u8> = rgb.pixels().flat_map(|Rgb([r, g, b])| [255 - r, 255 - g, 255 - b, 0]).collect();
        let mut bytes = Vec::new();
        let (width, height) = size(&rgb)?;
        Encoder::new(&mut bytes, 95).encode(&inks, width, height, ColorType::Cmyk)?;
        self.file("inks.jpg", &bytes)
    }

    /// A sample as a PNG in another kind of pixels.
    ///
    /// # Errors
    /// Where the sample cannot be read.
    pub fn png(&self, name: &str, convert: impl FnOnce(DynamicImage) -> DynamicImage) -> Result<PathBuf> {
        let path = self.folder.path().join("converted.png");
        convert(DynamicImage::ImageRgb8(opaque(name)?)).save(&path)?;
        Ok(path)
    }
}

/// A sample over white.
fn opaque(name: &str) -> Result<RgbImage> {
    let path = sample(name);
    let rgba = image::open(&path).with_context(|| format!("{} cannot be read", path.display()))?.to_rgba8();
    Ok(RgbImage::from_fn(rgba.width(), rgba.height(), |x, y| {
        let [r, g, b, a] = rgba.get_pixel(x, y).0.map(u32::from);
        // Rounded; the sum is at most 255 * 255.
        Rgb([r, g, b].map(|v| u8::try_from((v * a + 255 * (255 - a) + 127) / 255).unwrap_or(u8::MAX)))
    }))
}

fn jpeg(photo: &RgbImage, orientation: Option<u8>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 95);
    encoder.set_sampling_factor(SamplingFactor::R_4_4_4);
    if let Some(orientation) = orientation {
        encoder.add_app_segment(1, exif(orientation))?;
    }
    let (width, height) = size(photo)?;
    encoder.encode(photo.as_raw(), width, height, ColorType::Rgb)?;
    Ok(bytes)
}

/// The smallest EXIF block: one entry, the orientation.
fn exif(orientation: u8) -> Vec<u8> {
    let mut block = b"Exif\0\0MM\0\x2a\0\0\0\x08".to_vec();
    block.extend([0, 1]); // one entry:
    block.extend([0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0]); // orientation, short, one value
    block.extend([0, 0, 0, 0]); // no further directory
    block
}

fn size(photo: &RgbImage) -> Result<(u16, u16)> {
    Ok((u16::try_from(photo.width())?, u16::try_from(photo.height())?))
}

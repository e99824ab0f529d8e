//! Photos from files: any format that the page's browsers open too, made upright and opaque.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use finegrain::photo::{Photo, PhotoError, jpeg_is_truncated};
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

/// The largest file that is read at all.
const MAX_BYTES: u64 = 512 << 20;

/// What decoding one photo may allocate: 64 megapixels as 16-bit RGBA, twice.
const MAX_ALLOC: u64 = 1 << 30;

/// Why a file gives no photo. Each is one sentence that names the file.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The system does not give the file.
    #[error("\"{name}\" cannot be read: {reason}")]
    Read {
        /// The file.
        name: String,
        /// What the system says, or what it is instead.
        reason: String,
    },
    /// None of the formats that are known.
    #[error("\"{name}\" is not a photo in a known format: use JPEG, PNG, WebP, GIF, BMP or TIFF")]
    Format {
        /// The file.
        name: String,
    },
    /// The end of the file is missing.
    #[error("\"{name}\" is cut off: the end of the photo is missing, copy or download it again")]
    Truncated {
        /// The file.
        name: String,
    },
    /// The decoder gave up.
    #[error("\"{name}\" is damaged and cannot be decoded ({reason})")]
    Damaged {
        /// The file.
        name: String,
        /// What the decoder says.
        reason: String,
    },
    /// It can be decoded but not used.
    #[error("\"{name}\" cannot be used: {source}")]
    Photo {
        /// The file.
        name: String,
        /// Too large, or empty.
        source: PhotoError,
    },
}

/// Decodes the photo in a file.
///
/// # Errors
/// [`DecodeError`]; a photo with too many pixels is refused after its header, before anything is allocated for it.
pub fn decode(path: &Path) -> Result<Photo, DecodeError> {
    let name = path.display().to_string();
    let refuse = |reason: &str| DecodeError::Read { name: name.clone(), reason: reason.to_owned() };
    let facts = fs::metadata(path).map_err(|error| refuse(&reason(&error)))?;
    if facts.is_dir() {
        return Err(refuse("it is a folder, name the photos in it"));
    }
    if !facts.is_file() {
        return Err(refuse("it is a device or a pipe, name a file"));
    }
    if facts.len() > MAX_BYTES {
        return Err(refuse("it has more than 512 MiB, no photo has"));
    }
    let bytes = fs::read(path).map_err(|error| refuse(&reason(&error)))?;
    decode_bytes(&bytes, &name)
}

/// Decodes the photo in `bytes`; `name` is for error messages.
///
/// EXIF orientation is applied, greyscale, CMYK and 16-bit values become 8-bit sRGB, alpha is composed over white; the
/// first frame of an animation counts.
///
/// # Errors
/// [`DecodeError`], all but [`DecodeError::Read`] for a file that is there.
pub fn decode_bytes(bytes: &[u8], name: &str) -> Result<Photo, DecodeError> {
    let name = || name.to_owned();
    if bytes.is_empty() {
        return Err(DecodeError::Read { name: name(), reason: "the file is empty".into() });
    }
    let Ok(format) = image::guess_format(bytes) else { return Err(DecodeError::Format { name: name() }) };
    let truncated = format == ImageFormat::Jpeg && jpeg_is_truncated(bytes);
    let failed = |error: ImageError| match error {
        _ if truncated => DecodeError::Truncated { name: name() },
        ImageError::Unsupported(_) => DecodeError::Format { name: name() },
        ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            DecodeError::Truncated { name: name() }
        }
        error => DecodeError::Damaged { name: name(), reason: one_line(&error) },
    };
    let unusable = |source| DecodeError::Photo { name: name(), source };

    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_ALLOC);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(failed)?;
    let (width, height) = decoder.dimensions();
    Photo::check_size(width, height).map_err(unusable)?;
    if truncated {
        return Err(DecodeError::Truncated { name: name() });
    }
    let orientation = decoder.orientation().map_err(failed)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(failed)?;
    image.apply_orientation(orientation);
    let (width, height) = (image.width(), image.height());
    if image.color().has_alpha() {
        Photo::from_rgba(width, height, &image.into_rgba8()).map_err(unusable)
    } else {
        Photo::from_rgb(width, height, image.into_rgb8().into_raw()).map_err(unusable)
    }
}

/// What the system says, without the error number.
fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".into(),
        std::io::ErrorKind::PermissionDenied => "you may not read it".into(),
        _ => error.to_string(),
    }
}

/// An error as part of a sentence.
fn one_line(error: &dyn std::fmt::Display) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

//! Pillow's `Image.resize(.., BICUBIC)`: antialiased, in sRGB values, as every published recipe has it.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};

use super::{Photo, PhotoError};

/// The whole photo at `width` x `height`, within 1/255 of Pillow's result.
///
/// # Errors
/// [`PhotoError::Empty`] or [`PhotoError::TooLarge`] for the size asked for.
pub fn resize(photo: &Photo, width: u32, height: u32) -> Result<Photo, PhotoError> {
    Photo::check_size(width, height)?;
    // Pillow rounds to 8 bits between its passes and goes along the rows first; the crate, left alone, would go down
    // the columns first and differ by 2 where both passes overshoot.
    let rows = pass(photo.rgb(), [photo.width(), photo.height()], [width, photo.height()])?;
    Photo::from_rgb(width, height, pass(&rows, [width, photo.height()], [width, height])?)
}

/// Resizes `[H, W, 3]` from one width and height to another.
pub(super) fn pass(
    rgb: &[u8],
    [width, height]: [u32; 2],
    [to_width, to_height]: [u32; 2],
) -> Result<Vec<u8>, PhotoError> {
    Photo::check_size(to_width, to_height)?;
    let failed = |error: &dyn std::fmt::Display| PhotoError::Resize(error.to_string());
    let source = TypedImageRef::<U8x3>::from_buffer(width, height, rgb).map_err(|error| failed(&error))?;
    let mut resized = vec![0; to_width as usize * to_height as usize * 3];
    let mut target =
        TypedImage::<U8x3>::from_buffer(to_width, to_height, &mut resized).map_err(|error| failed(&error))?;
    // Catmull-Rom is the cubic with a = -0.5, which Pillow calls BICUBIC; a convolution widens it when shrinking.
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom));
    Resizer::new().resize_typed(&source, &mut target, &options).map_err(|error| failed(&error))?;
    Ok(resized)
}

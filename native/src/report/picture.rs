//! Photos inside the page: as data, small, with or without the network's attention over them.

use anyhow::{Result, ensure};
use finegrain::photo::Photo;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{FilterType, resize};
use image::{ExtendedColorType, ImageBuffer, Rgb, RgbImage};

/// The longest side of a photo in the page, in pixels.
const SIDE: u32 = 224;

/// JPEG quality.
const QUALITY: u8 = 82;

/// A photo as the address of an image that needs no file.
pub(super) fn address(photo: &RgbImage) -> Result<String> {
    let longest = photo.width().max(photo.height()).max(1);
    let shrunk = |side: u32| (side * SIDE / longest).max(1);
    let small =
        (longest > SIDE).then(|| resize(photo, shrunk(photo.width()), shrunk(photo.height()), FilterType::CatmullRom));
    let photo = small.as_ref().unwrap_or(photo);
    let mut jpeg = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut jpeg, QUALITY);
    encoder.encode(photo.as_raw(), photo.width(), photo.height(), ExtendedColorType::Rgb8)?;
    Ok(format!("data:image/jpeg;base64,{}", base64(&jpeg)))
}

/// Colours of a rollout from where the network did not look to where it looked most.
const HEAT: [[f32; 3]; 4] = [[20.0, 11.0, 53.0], [130.0, 37.0, 103.0], [229.0, 92.0, 48.0], [252.0, 230.0, 120.0]];

/// A photo in grey under the rollout of its patches `[rows * columns]`, from dark violet to yellow. A few patches far above the others
/// would leave those dark: the scale goes from the 10th to the 98th hundredth.
///
/// # Errors
/// A rollout that is not that of this photo.
pub(super) fn heat(photo: &Photo, patches: &[f32], grid: [usize; 2]) -> Result<RgbImage> {
    let plain = image(photo)?;
    let (width, height) = (plain.width(), plain.height());
    let [rows, columns] = grid.map(|side| side as u32);
    ensure!(patches.len() == (columns * rows) as usize && !patches.is_empty(), "the rollout does not cover the photo");
    let mut sorted = patches.to_vec();
    sorted.sort_by(f32::total_cmp);
    let [low, high] = [0.1, 0.98].map(|part: f64| sorted[(part * (sorted.len() - 1) as f64).round() as usize]);
    let share = |value: f32| if high > low { ((value - low) / (high - low)).clamp(0.0, 1.0) } else { 0.0 };
    let grid: ImageBuffer<Rgb<f32>, Vec<f32>> =
        ImageBuffer::from_fn(columns, rows, |x, y| Rgb([share(patches[(y * columns + x) as usize]); 3]));
    let smooth = resize(&grid, width, height, FilterType::Triangle);
    Ok(RgbImage::from_fn(width, height, |x, y| {
        let [red, green, blue] = plain.get_pixel(x, y).0.map(f32::from);
        let grey = 0.299 * red + 0.587 * green + 0.114 * blue;
        let colour = colour(smooth.get_pixel(x, y).0[0].clamp(0.0, 1.0));
        Rgb(colour.map(|value| (0.5 * grey + 0.5 * value).round().clamp(0.0, 255.0) as u8))
    }))
}

/// The colour of a share from 0 to 1.
fn colour(share: f32) -> [f32; 3] {
    let place = share * (HEAT.len() - 1) as f32;
    let stop = (place as usize).min(HEAT.len() - 2);
    let part = place - stop as f32;
    [0, 1, 2].map(|c| HEAT[stop][c] + (HEAT[stop + 1][c] - HEAT[stop][c]) * part)
}

/// A photo as the crate `image` has it.
///
/// # Errors
/// None for a photo that is one.
pub(super) fn image(photo: &Photo) -> Result<RgbImage> {
    let image = RgbImage::from_raw(photo.width(), photo.height(), photo.rgb().to_vec());
    image.ok_or_else(|| anyhow::anyhow!("the photo has too few pixels"))
}

/// RFC 4648.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for part in bytes.chunks(3) {
        let bits = part.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - part.len()));
        for digit in 0..4 {
            let value = bits >> (18 - 6 * digit) & 63;
            text.push(if digit <= part.len() { char::from(DIGITS[value as usize]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }

    #[test]
    fn the_brightest_patch_is_where_the_rollout_is_highest() {
        let photo = Photo::from_rgb(32, 16, vec![100; 3 * 32 * 16]).unwrap();
        // Two rows of four patches; the third of the second row counts most.
        let rollout = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.9, 0.0];
        let heat = heat(&photo, &rollout, [2, 4]).unwrap();
        let at = |x, y| heat.get_pixel(x, y).0;
        // Half of the grey 100 and half of the first and of the last colour.
        let near = |a: [u8; 3], b: [u8; 3], by: u8| a.iter().zip(b).all(|(a, b)| a.abs_diff(b) <= by);
        assert!(near(at(1, 1), [60, 56, 77], 1), "{:?}", at(1, 1));
        // Not quite the patch's middle.
        assert!(near(at(20, 12), [176, 165, 110], 20), "{:?}", at(20, 12));
        assert!(at(20, 12)[0] > at(12, 12)[0] && at(20, 12)[0] > at(20, 4)[0]);
        assert!(super::heat(&photo, &rollout[..5], [2, 4]).is_err());
    }

    #[test]
    fn large_photos_are_made_small() {
        let text = address(&RgbImage::new(448, 300)).unwrap();
        let small = text.strip_prefix("data:image/jpeg;base64,").unwrap();
        assert!(small.len() < 8000, "{}", small.len());
    }
}

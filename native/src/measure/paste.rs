//! A photo pasted into a larger background: a subject that is small, made from photos that are cropped to theirs.

use finegrain::photo::{Photo, PhotoError, resize};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Sides of the noise's grids and their weights, which sum to 1: large blots, and finer ones upon them.
const OCTAVES: [(u32, f32); 3] = [(4, 0.5), (16, 0.3), (64, 0.2)];

/// `photo` at a random place in a background of coloured noise whose sides are `1 / share` times the photo's; `share` is
/// above 0 and at most 1. `seed` decides place and noise.
///
/// # Errors
/// A background that would be larger than a photo may be.
pub fn paste(photo: &Photo, share: f64, seed: u64) -> Result<Photo, PhotoError> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let side = |length: u32| (f64::from(length) / share).round().max(f64::from(length)) as u32;
    let (width, height) = (side(photo.width()), side(photo.height()));
    Photo::check_size(width, height)?;
    let mut rgb = noise(width, height, &mut random)?;
    let left = random.random_range(0..=width - photo.width()) as usize;
    let top = random.random_range(0..=height - photo.height()) as usize;
    let (row, line) = (3 * photo.width() as usize, 3 * width as usize);
    for (into, from) in rgb.chunks_exact_mut(line).skip(top).zip(photo.rgb().chunks_exact(row)) {
        into[3 * left..3 * left + row].copy_from_slice(from);
    }
    Photo::from_rgb(width, height, rgb)
}

/// `[H, W, 3]`: random grids, enlarged and added.
fn noise(width: u32, height: u32, random: &mut impl Rng) -> Result<Vec<u8>, PhotoError> {
    let mut sum = vec![0f32; 3 * width as usize * height as usize];
    for (side, weight) in OCTAVES {
        let grid = (0..3 * side * side).map(|_| random.random()).collect();
        let enlarged = resize(&Photo::from_rgb(side, side, grid)?, width, height)?;
        for (sum, &value) in sum.iter_mut().zip(enlarged.rgb()) {
            *sum += weight * f32::from(value);
        }
    }
    Ok(sum.into_iter().map(|value| value.round() as u8).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_photo_lies_whole_in_a_larger_background() {
        // A photo of one colour that noise does not have over an area: it can be found again.
        let photo = Photo::from_rgb(6, 4, [255, 0, 255].repeat(24)).unwrap();
        let places: Vec<_> = (0..8)
            .map(|seed| {
                let pasted = paste(&photo, 0.4, seed).unwrap();
                assert_eq!((pasted.width(), pasted.height()), (15, 10));
                let is = |x: usize, y: usize| pasted.rgb()[3 * (15 * y + x)..][..3] == [255, 0, 255];
                let (x, y) = (0..150).map(|i| (i % 15, i / 15)).find(|&(x, y)| is(x, y)).unwrap();
                assert!((0..24).all(|i| is(x + i % 6, y + i / 6)), "all of it");
                assert_eq!(pasted, paste(&photo, 0.4, seed).unwrap(), "the seed decides");
                (x, y)
            })
            .collect();
        assert!(places.iter().any(|place| *place != places[0]), "the place is random");
        assert_eq!(paste(&photo, 1.0, 1).unwrap(), photo);
    }
}

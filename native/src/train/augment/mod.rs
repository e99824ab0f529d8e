//! What is done to a training photo: random resized crop, flip, colour jitter, a policy of random operations, erasing.
//! Reproducible from seed, epoch and index.

mod image;
mod mix;
mod policy;

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use finegrain::photo::{Fit, Photo};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub(super) use mix::{Mixed, Second, mix};
pub(super) use policy::STRONGEST;

use self::image::{Picture, grey};
use super::config::{Augment, Pixels};

/// The random source of photo `index` in `epoch`: its own stream, so that order and threads do not matter.
pub(super) fn source(seed: u64, epoch: usize, index: usize) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(((epoch as u64) << 32) | index as u64);
    random
}

/// The order in which an epoch visits `count` photos.
pub(super) fn order(seed: u64, epoch: usize, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut source(seed, epoch, u32::MAX as usize));
    order
}

/// A random view of `photo` as `[3, height, width]`, normalised.
pub(super) fn view(
    photo: &Photo,
    size: [usize; 2],
    augment: &Augment,
    pixels: &Pixels,
    random: &mut impl Rng,
) -> Vec<f32> {
    let [height, width] = size;
    let shape = match pixels.fit {
        Fit::Crop => 1.0,
        Fit::Stretch => f64::from(photo.width()) / f64::from(photo.height()),
    };
    let area = crop(photo.width(), photo.height(), shape, augment, random);
    let mut rgb = resized(photo, area, height, width);
    if augment.pad > 0 {
        rgb =
            moved(&rgb, size, [0; 2].map(|_| random.random_range(0..=2 * augment.pad) as isize - augment.pad as isize));
    }
    let mirrored = random.random_bool(augment.flip);
    jitter(&mut rgb, augment, random);
    let mut picture = Picture { rgb, width, height };
    policy::apply(&mut picture, augment, pixels.mean.map(|mean| (255.0 * mean).round() as u8), random);
    let plane = height * width;
    let mut result = vec![0.0; 3 * plane];
    for (i, pixel) in picture.rgb.chunks_exact(3).enumerate() {
        let (y, x) = (i / width, i % width);
        let x = if mirrored { width - 1 - x } else { x };
        for c in 0..3 {
            result[c * plane + y * width + x] = (f32::from(pixel[c]) / 255.0 - pixels.mean[c]) / pixels.std[c];
        }
    }
    erase(&mut result, size, augment, random);
    result
}

/// Random erasing (Zhong et al., 2020): with probability `augment.erase` a box of 2 to 33 % of the view gets the mean
/// colour, which is 0 in a normalised view `[3, height, width]`.
fn erase(view: &mut [f32], [height, width]: [usize; 2], augment: &Augment, random: &mut impl Rng) {
    if augment.erase == 0.0 || !random.random_bool(augment.erase) {
        return;
    }
    for _ in 0..10 {
        let area = (height * width) as f64 * random.random_range(0.02..=0.33);
        let aspect = random.random_range(0.3f64.ln()..=3.3f64.ln()).exp();
        let (w, h) = ((area * aspect).sqrt().round() as usize, (area / aspect).sqrt().round() as usize);
        if (1..=width).contains(&w) && (1..=height).contains(&h) {
            let (top, left) = (random.random_range(0..=height - h), random.random_range(0..=width - w));
            for row in view.chunks_exact_mut(width).enumerate().filter(|(i, _)| (top..top + h).contains(&(i % height)))
            {
                row.1[left..left + w].fill(0.0);
            }
            return;
        }
    }
}

/// Left, top, width and height of a random part of a `width` x `height` photo (as torchvision's RandomResizedCrop); its
/// width over height is `shape` times one of `crop_aspect`.
fn crop(width: u32, height: u32, shape: f64, augment: &Augment, random: &mut impl Rng) -> [usize; 4] {
    let [low, high] = augment.crop_aspect.map(|aspect| aspect * shape);
    let area = f64::from(width) * f64::from(height);
    let (width, height) = (width as usize, height as usize);
    for _ in 0..10 {
        let area = area * random.random_range(augment.crop_scale[0]..=augment.crop_scale[1]);
        let aspect = random.random_range(low.ln()..=high.ln()).exp();
        let (w, h) = ((area * aspect).sqrt().round() as usize, (area / aspect).sqrt().round() as usize);
        if (1..=width).contains(&w) && (1..=height).contains(&h) {
            return [random.random_range(0..=width - w), random.random_range(0..=height - h), w, h];
        }
    }
    // No such part fits: the largest central one of an allowed shape.
    let aspect = (width as f64 / height as f64).clamp(low, high);
    let w = ((height as f64 * aspect).round() as usize).clamp(1, width);
    let h = ((width as f64 / aspect).round() as usize).clamp(1, height);
    [(width - w) / 2, (height - h) / 2, w, h]
}

/// The part `area` of the photo, resized with the antialiased bicubic filter, `[height, width, 3]`.
///
/// The part is copied out first: the resizer's own crop box reads out of bounds where the first output pixel falls
/// exactly on a source pixel (fast_image_resize 6.1.0 shifts columns by the first one's start, which skips zeros).
fn resized(photo: &Photo, area: [usize; 4], height: usize, width: usize) -> Vec<u8> {
    let [left, top, w, h] = area;
    let stride = 3 * photo.width() as usize;
    let part: Vec<u8> = (top..top + h).flat_map(|y| &photo.rgb()[y * stride + 3 * left..][..3 * w]).copied().collect();
    let mut target = Image::new(width as u32, height as u32, PixelType::U8x3);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom)).use_alpha(false);
    let done = ImageRef::new(w as u32, h as u32, &part, PixelType::U8x3)
        .map_err(|error| error.to_string())
        .and_then(|source| Resizer::new().resize(&source, &mut target, &options).map_err(|error| error.to_string()));
    debug_assert!(done.is_ok(), "a part of a photo can always be resized: {done:?}");
    target.into_vec()
}

/// The picture `[height, width, 3]` moved down and right by `by` pixels; black comes in.
fn moved(rgb: &[u8], [height, width]: [usize; 2], by: [isize; 2]) -> Vec<u8> {
    let mut result = vec![0; rgb.len()];
    for (i, pixel) in result.chunks_exact_mut(3).enumerate() {
        let from = |at: usize, by: isize, most: usize| at.checked_add_signed(-by).filter(|&at| at < most);
        if let (Some(y), Some(x)) = (from(i / width, by[0], height), from(i % width, by[1], width)) {
            pixel.copy_from_slice(&rgb[3 * (y * width + x)..][..3]);
        }
    }
    result
}

/// Brightness, then contrast, then saturation, each by a random factor.
fn jitter(rgb: &mut [u8], augment: &Augment, random: &mut impl Rng) {
    let mut factor = |spread: f32| if spread > 0.0 { random.random_range(1.0 - spread..=1.0 + spread) } else { 1.0 };
    let (brightness, contrast, saturation) =
        (factor(augment.brightness), factor(augment.contrast), factor(augment.saturation));
    if [brightness, contrast, saturation] == [1.0; 3] {
        return;
    }
    let mean = brightness * rgb.chunks_exact(3).map(grey).sum::<f32>() / (rgb.len() / 3).max(1) as f32;
    for pixel in rgb.chunks_exact_mut(3) {
        let own = mean + contrast * (brightness * grey(pixel) - mean);
        for value in pixel {
            let bright = mean + contrast * (brightness * f32::from(*value) - mean);
            *value = (own + saturation * (bright - own)).round().clamp(0.0, 255.0) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn photo(width: u32, height: u32) -> Photo {
        let rgb = (0..width * height * 3).map(|i| (i * 37 % 251) as u8).collect();
        Photo::from_rgb(width, height, rgb).unwrap()
    }

    #[test]
    fn a_view_depends_on_seed_epoch_and_index_only() {
        let augment = Augment { brightness: 0.2, contrast: 0.2, saturation: 0.2, ..Augment::default() };
        let photo = photo(50, 40);
        let view =
            |seed, epoch, index| view(&photo, [16, 24], &augment, &Pixels::default(), &mut source(seed, epoch, index));
        assert_eq!(view(1, 2, 3).len(), 3 * 16 * 24);
        assert_eq!(view(1, 2, 3), view(1, 2, 3));
        for other in [view(2, 2, 3), view(1, 3, 3), view(1, 2, 4)] {
            assert_ne!(view(1, 2, 3), other);
        }
        assert!(view(1, 2, 3).iter().all(|v| (-1.0..=1.0).contains(v)));
    }

    #[test]
    fn an_epoch_visits_every_photo_once() {
        let (first, second) = (order(5, 0, 100), order(5, 1, 100));
        assert_ne!(first, second);
        assert_eq!(first, order(5, 0, 100));
        let mut sorted = first;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn crops_lie_in_the_photo_and_have_the_wished_size() {
        let augment = Augment { crop_scale: [0.25, 0.5], ..Augment::default() };
        for index in 0..2000 {
            let (width, height) = (20 + index % 97, 20 + index % 71);
            let [left, top, w, h] = crop(width, height, 1.0, &augment, &mut source(0, 0, index as usize));
            assert!(left + w <= width as usize && top + h <= height as usize);
            let share = (w * h) as f64 / f64::from(width * height);
            assert!((0.2..0.56).contains(&share), "{share} of {width} x {height}");
        }
        // No crop of an allowed shape covers half of a photo as wide as this: the central one is taken.
        let wide = Augment { crop_scale: [0.9, 1.0], ..Augment::default() };
        assert_eq!(crop(400, 30, 1.0, &wide, &mut source(0, 0, 0)), [180, 0, 40, 30]);
    }

    #[test]
    fn without_augmentation_a_view_is_the_photo() {
        let none = Augment { crop_scale: [1.0, 1.0], crop_aspect: [1.0, 1.0], flip: 0.0, ..Augment::default() };
        let photo = photo(16, 16);
        let values = view(&photo, [16, 16], &none, &Pixels::default(), &mut source(0, 0, 0));
        let mirrored = view(&photo, [16, 16], &Augment { flip: 1.0, ..none }, &Pixels::default(), &mut source(0, 0, 0));
        for y in 0..16 {
            for x in 0..16 {
                for c in 0..3 {
                    let expected = f32::from(photo.rgb()[(y * 16 + x) * 3 + c]) / 255.0 * 2.0 - 1.0;
                    assert!((values[c * 256 + y * 16 + x] - expected).abs() < 1e-6);
                    assert!((mirrored[c * 256 + y * 16 + 15 - x] - expected).abs() < 1e-6);
                }
            }
        }
    }

    #[test]
    fn a_moved_picture_keeps_its_pixels_and_black_comes_in() {
        let rgb: Vec<u8> = (0..2 * 3).flat_map(|i| [10 + i; 3]).collect();
        let red = |by| moved(&rgb, [2, 3], by).iter().step_by(3).copied().collect::<Vec<u8>>();
        assert_eq!(red([0, 0]), [10, 11, 12, 13, 14, 15]);
        assert_eq!(red([1, -1]), [0, 0, 0, 11, 12, 0]);
        assert_eq!(red([0, 2]), [0, 0, 10, 0, 0, 13]);
        let augment =
            Augment { crop_scale: [1.0, 1.0], crop_aspect: [1.0, 1.0], flip: 0.0, pad: 4, ..Augment::default() };
        let photo = photo(16, 16);
        let views: Vec<_> =
            (0..20).map(|i| view(&photo, [16, 16], &augment, &Pixels::default(), &mut source(0, 0, i))).collect();
        assert!(views.iter().any(|view| *view != views[0]), "by another way each time");
    }

    #[test]
    fn stretched_photos_are_cropped_in_their_own_shape() {
        let whole = Augment { crop_scale: [1.0, 1.0], crop_aspect: [1.0, 1.0], ..Augment::default() };
        assert_eq!(crop(300, 200, 1.5, &whole, &mut source(0, 0, 0)), [0, 0, 300, 200]);
        let quarter = Augment { crop_scale: [0.25, 0.25], ..whole };
        let [.., w, h] = crop(300, 200, 1.5, &quarter, &mut source(0, 0, 0));
        assert_eq!([w, h], [150, 100]);
    }

    #[test]
    fn erasing_leaves_one_box_of_the_mean_colour() {
        let always = Augment { erase: 1.0, ..Augment::default() };
        for index in 0..50 {
            let mut view = vec![1.0; 3 * 20 * 30];
            erase(&mut view, [20, 30], &always, &mut source(0, 0, index));
            let planes: Vec<&[f32]> = view.chunks(600).collect();
            assert!(planes[0] == planes[1] && planes[1] == planes[2]);
            let gone: Vec<usize> = (0..600).filter(|&i| planes[0][i] == 0.0).collect();
            let (top, bottom) = (gone[0] / 30, gone[gone.len() - 1] / 30);
            let (left, right) = (gone[0] % 30, gone[gone.len() - 1] % 30);
            assert_eq!(gone.len(), (bottom - top + 1) * (right - left + 1), "a box");
            assert!((6..230).contains(&gone.len()), "{} of 600", gone.len());
        }
        let mut view = vec![1.0; 3 * 20 * 30];
        erase(&mut view, [20, 30], &Augment::default(), &mut source(0, 0, 0));
        assert!(view.iter().all(|v| *v == 1.0), "off by default");
    }

    #[test]
    fn jitter_keeps_grey_grey_and_moves_brightness() {
        let augment = Augment { brightness: 0.5, contrast: 0.5, saturation: 0.5, ..Augment::default() };
        let mut changed = false;
        for index in 0..20 {
            let mut rgb: Vec<u8> = (0..30).map(|i| 60 + 4 * (i / 3) as u8).collect();
            let before = rgb.clone();
            jitter(&mut rgb, &augment, &mut source(3, 0, index));
            assert!(rgb.chunks(3).all(|p| p[0].abs_diff(p[1]) <= 1 && p[1].abs_diff(p[2]) <= 1), "{rgb:?}");
            changed |= rgb != before;
        }
        assert!(changed);
    }
}

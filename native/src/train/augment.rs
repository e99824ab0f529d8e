//! What is done to a training photo: random resized crop, flip, colour jitter. Reproducible from seed, epoch and index.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use finegrain::photo::Photo;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::config::{Augment, Pixels};

/// The random source of photo `index` in `epoch`: its own stream, so that order and threads do not matter.
pub fn source(seed: u64, epoch: usize, index: usize) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(((epoch as u64) << 32) | index as u64);
    random
}

/// The order in which an epoch visits `count` photos.
pub fn order(seed: u64, epoch: usize, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut source(seed, epoch, u32::MAX as usize));
    order
}

/// A random view of `photo` as `[3, height, width]`, normalised.
pub fn view(photo: &Photo, size: [usize; 2], augment: &Augment, pixels: &Pixels, random: &mut impl Rng) -> Vec<f32> {
    let [height, width] = size;
    let area = crop(photo.width(), photo.height(), augment, random);
    let mut rgb = resized(photo, area, height, width);
    let mirrored = random.random_bool(augment.flip);
    jitter(&mut rgb, augment, random);
    let plane = height * width;
    let mut result = vec![0.0; 3 * plane];
    for (i, pixel) in rgb.chunks_exact(3).enumerate() {
        let (y, x) = (i / width, i % width);
        let x = if mirrored { width - 1 - x } else { x };
        for c in 0..3 {
            result[c * plane + y * width + x] = (f32::from(pixel[c]) / 255.0 - pixels.mean[c]) / pixels.std[c];
        }
    }
    result
}

/// Left, top, width and height of a random part of a `width` x `height` photo (as torchvision's RandomResizedCrop).
fn crop(width: u32, height: u32, augment: &Augment, random: &mut impl Rng) -> [f64; 4] {
    let (width, height) = (f64::from(width), f64::from(height));
    let [low, high] = augment.crop_aspect;
    for _ in 0..10 {
        let area = width * height * random.random_range(augment.crop_scale[0]..=augment.crop_scale[1]);
        let aspect = random.random_range(low.ln()..=high.ln()).exp();
        let (w, h) = ((area * aspect).sqrt(), (area / aspect).sqrt());
        if w <= width && h <= height {
            return [random.random_range(0.0..=width - w), random.random_range(0.0..=height - h), w, h];
        }
    }
    // No such part fits: the largest central one of an allowed shape.
    let aspect = (width / height).clamp(low, high);
    let (w, h) = if width / height > aspect { (height * aspect, height) } else { (width, width / aspect) };
    [(width - w) / 2.0, (height - h) / 2.0, w, h]
}

/// The part `area` of the photo, resized with the antialiased bicubic filter, `[height, width, 3]`.
fn resized(photo: &Photo, area: [f64; 4], height: usize, width: usize) -> Vec<u8> {
    let [left, top, w, h] = area;
    let mut target = Image::new(width as u32, height as u32, PixelType::U8x3);
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::CatmullRom))
        .use_alpha(false)
        .crop(left, top, w, h);
    let done = ImageRef::new(photo.width(), photo.height(), photo.rgb(), PixelType::U8x3)
        .map_err(|error| error.to_string())
        .and_then(|source| Resizer::new().resize(&source, &mut target, &options).map_err(|error| error.to_string()));
    debug_assert!(done.is_ok(), "a part of a photo can always be resized: {done:?}");
    target.into_vec()
}

/// Brightness, then contrast, then saturation, each by a random factor.
fn jitter(rgb: &mut [u8], augment: &Augment, random: &mut impl Rng) {
    let mut factor = |spread: f32| if spread > 0.0 { random.random_range(1.0 - spread..=1.0 + spread) } else { 1.0 };
    let (brightness, contrast, saturation) =
        (factor(augment.brightness), factor(augment.contrast), factor(augment.saturation));
    if [brightness, contrast, saturation] == [1.0; 3] {
        return;
    }
    let grey = |p: &[u8]| 0.299 * f32::from(p[0]) + 0.587 * f32::from(p[1]) + 0.114 * f32::from(p[2]);
    let mean = brightness * rgb.chunks_exact(3).map(grey).sum::<f32>() / (rgb.len() / 3).max(1) as f32;
    for pixel in rgb.chunks_exact_mut(3) {
        let own = mean + contrast * (brightness * grey(pixel) - mean);
        for value in pixel {
            let bright = mean + contrast * (brightness * f32::from(*value) - mean);
            *value = (own + saturation * (bright - own)).round().clamp(0.0, 255.0) as u8;
        }
    }
}

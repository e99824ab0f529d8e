//! The generated image of a golden trace.

/// Values for an image `[3, H, W]` from a seed, evenly spread over -1 to 1, coarse where a network looks for shapes.
///
/// The same on every machine: integers (splitmix64) and exact divisions only. Noise of single pixels alone would give
/// an almost even rollout, so that the order of the local queries would hang on rounding; squares of 16 pixels with
/// levels of their own make patches differ.
pub fn seeded_image(seed: u64, [height, width]: [usize; 2]) -> Vec<f32> {
    const SIDE: usize = 16;
    let mut image = Vec::with_capacity(3 * height * width);
    for channel in 0..3 {
        for y in 0..height {
            for x in 0..width {
                let square = unit(hash(seed, [1, channel, y / SIDE, x / SIDE]));
                let pixel = unit(hash(seed, [0, channel, y, x]));
                image.push(0.75 * square + 0.25 * pixel);
            }
        }
    }
    image
}

/// 24 random bits as a number from -1 (included) to 1 (excluded).
fn unit(bits: u64) -> f32 {
    (bits >> 40) as f32 / (1 << 23) as f32 - 1.0
}

/// splitmix64's mixing of a seed and a place.
fn hash(seed: u64, place: [usize; 4]) -> u64 {
    place.iter().fold(seed, |state, &part| {
        let mut z = state.wrapping_add(part as u64).wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    })
}

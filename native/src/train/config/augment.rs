//! The keys of `[augment]`: what is done to training photos.

use serde::{Deserialize, Serialize};

use super::table::table;

table! {
    /// `[augment]`
    #[serde(deny_unknown_fields, default)]
    Augment {
        /// Share of the photo's area that a random crop covers, smallest and largest.
        crop_scale: [f64; 2],
        /// Width over height of a random crop, smallest and largest; relative to the photo's own shape where
        /// pixels.fit is "stretch".
        crop_aspect: [f64; 2],
        /// The view is moved by up to so many pixels in each direction; black comes in (pad and random crop). 0: off.
        pad: usize,
        /// Probability of a horizontal flip.
        flip: f64,
        /// Brightness is multiplied by up to 1 +- brightness.
        brightness: f32,
        /// Contrast likewise, around the photo's mean grey.
        contrast: f32,
        /// Saturation likewise, around each pixel's grey.
        saturation: f32,
        /// Random operations on each photo: "none", "trivial" (TrivialAugment) or "rand" (RandAugment).
        policy: Policy,
        /// RandAugment's number of operations.
        rand_operations: usize,
        /// RandAugment's magnitude, 0 to 30.
        rand_magnitude: u32,
        /// Probability that a random box is erased.
        erase: f64,
        /// Mixup's alpha: shares are drawn from Beta(alpha, alpha); 0: off. PWCA's stream trains on the mixed label, too.
        mixup: f64,
        /// Cutmix's alpha; 0: off. Where mixup is on as well, each photo gets one or the other.
        cutmix: f64,
        /// Probability that a photo is mixed at all.
        mix_probability: f64,
    }
}

/// The choices of `augment.policy`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// No operation.
    #[default]
    None,
    /// TrivialAugment: one operation of random magnitude.
    Trivial,
    /// RandAugment: `rand_operations` of magnitude `rand_magnitude`.
    Rand,
}

impl Default for Augment {
    fn default() -> Self {
        Self {
            crop_scale: [0.4, 1.0],
            crop_aspect: [0.75, 4.0 / 3.0],
            pad: 0,
            flip: 0.5,
            brightness: 0.0,
            contrast: 0.0,
            saturation: 0.0,
            policy: Policy::None,
            rand_operations: 2,
            rand_magnitude: 9,
            erase: 0.0,
            mixup: 0.0,
            cutmix: 0.0,
            mix_probability: 1.0,
        }
    }
}

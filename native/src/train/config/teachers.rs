//! The keys of `[teachers]`: what knowledge distillation adds to training.

use std::path::PathBuf;

use super::table::table;

table! {
    /// `[teachers]`
    #[serde(deny_unknown_fields)]
    Teachers {
        /// Finished runs or bundles (folders or .zip) with the same classes, input size and pixels as this recipe. Their mean answer
        /// to a photo, augmented and mixed as the student sees it, is part of what the student is trained towards.
        runs: Vec<PathBuf>,
        /// How much of the target is theirs, above 0 and at most 1; the rest is the label.
        #[serde(default = "share")]
        share: f64,
        /// Their logits are divided by this: above 1 their answers are softer.
        #[serde(default = "temperature")]
        temperature: f64,
    }
}

fn share() -> f64 {
    0.5
}

fn temperature() -> f64 {
    1.0
}

//! The keys of `[reid]`: what re-identification adds to training.

use serde::{Deserialize, Serialize};

use super::table::table;

table! {
    /// `[reid]`
    #[serde(deny_unknown_fields, default)]
    Reid {
        /// Photos of each identity in a batch; a batch has train.batch / photos identities. An identity with fewer photos
        /// repeats some, each time augmented anew.
        photos: usize,
        /// Margin of the batch-hard triplet loss, max(0, d_p - d_n + margin); 0: soft margin, log(1 + exp(d_p - d_n)).
        margin: f64,
        /// Weight of the triplet loss beside the cross-entropy of each branch; 0: off.
        triplet_weight: f64,
        /// Feature that photos are compared by: "before" the batch norm in front of the classifier (BNNeck), or "behind"
        /// it.
        feature: FeatureChoice,
    }
}

/// The choices of `reid.feature`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeatureChoice {
    /// What the triplet loss sees.
    #[default]
    Before,
    /// What the classifier sees.
    Behind,
}

impl Default for Reid {
    fn default() -> Self {
        Self { photos: 4, margin: 0.0, triplet_weight: 1.0, feature: FeatureChoice::Before }
    }
}

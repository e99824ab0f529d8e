//! A data set of either task, as training and measuring need it.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use super::detect::Layout;
use super::reid::{ReidDataset, ReidSample};
use super::{Broken, DataError, Dataset, Sample};

/// A data set of either task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Photos are named.
    Classes(Dataset),
    /// Photos are compared.
    Identities(ReidDataset),
}

impl Task {
    /// Reads the lists of the data set in `dir`; photos are not opened.
    ///
    /// # Errors
    /// Those of [`Dataset::open`] and [`ReidDataset::open`].
    pub fn open(layout: Layout, dir: &Path) -> Result<Self, DataError> {
        Ok(match layout {
            Layout::Classes(kind) => Self::Classes(Dataset::open(kind, dir)?),
            Layout::Identities(kind) => Self::Identities(ReidDataset::open(kind, dir)?),
        })
    }

    /// As [`Dataset::without_broken`].
    pub fn without_broken(&mut self, stop: &AtomicBool, watch: &(dyn Fn() + Sync)) -> Vec<Broken> {
        match self {
            Self::Classes(dataset) => dataset.without_broken(stop, watch),
            Self::Identities(dataset) => dataset.without_broken(stop, watch),
        }
    }

    /// Checks what training relies on.
    ///
    /// # Errors
    /// Those of [`Dataset::check_trainable`] and [`ReidDataset::check_trainable`].
    pub fn check_trainable(&self) -> Result<(), DataError> {
        match self {
            Self::Classes(dataset) => dataset.check_trainable(),
            Self::Identities(dataset) => dataset.check_trainable(),
        }
    }

    /// As [`Dataset::hold_out`]; identities are not held out.
    pub fn hold_out(&mut self, share: f64, seed: u64) {
        if let Self::Classes(dataset) = self {
            dataset.hold_out(share, seed);
        }
    }

    /// Names of the classes or identities that are trained on.
    pub fn labels(&self) -> &[String] {
        match self {
            Self::Classes(dataset) => &dataset.labels,
            Self::Identities(dataset) => &dataset.identities,
        }
    }

    /// Training photos; the class of an identity is its label.
    pub fn train(&self) -> Vec<Sample> {
        match self {
            Self::Classes(dataset) => dataset.train.clone(),
            Self::Identities(dataset) => dataset.train.iter().map(Sample::from).collect(),
        }
    }

    /// Photos that were held out of training.
    pub fn held_out(&self) -> &[Sample] {
        match self {
            Self::Classes(dataset) => &dataset.held_out,
            Self::Identities(_) => &[],
        }
    }

    /// Test photos, those of queries and gallery together.
    pub fn test_photos(&self) -> usize {
        match self {
            Self::Classes(dataset) => dataset.test.len(),
            Self::Identities(dataset) => dataset.query.len() + dataset.gallery.len(),
        }
    }
}

impl From<&ReidSample> for Sample {
    /// The photo with its label; 0 for a distractor, which no training photo is.
    fn from(sample: &ReidSample) -> Self {
        Self::new(sample.path.clone(), sample.identity.known().unwrap_or(0))
    }
}

//! Data sets in their official layouts: lists of photos with classes or identities, split as their authors split them.

mod aircraft;
mod broken;
mod cars;
pub mod check;
mod cub;
pub mod detect;
mod dogs;
mod error;
mod files;
mod folder;
mod held_out;
mod hierarchy;
mod kind;
pub mod mat;
pub mod official;
pub mod reid;
mod sample;
mod task;

use std::path::Path;

pub use broken::{Broken, find_broken};
pub use error::DataError;
pub use hierarchy::Hierarchy;
pub use kind::DatasetKind;
pub use sample::Sample;
pub use task::Task;

/// Photos with classes, in the order of the data set's own lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dataset {
    /// Plain names of the classes ("Black footed Albatross").
    pub labels: Vec<String>,
    /// Training photos.
    pub train: Vec<Sample>,
    /// Training photos that training does not see ([`Dataset::hold_out`]); empty at first.
    pub held_out: Vec<Sample>,
    /// Test photos: never seen by training.
    pub test: Vec<Sample>,
    /// The tree above the classes, where the data set has one (NABirds).
    pub hierarchy: Option<Hierarchy>,
}

impl Dataset {
    /// Reads the lists of the data set in `dir`; photos are not opened.
    ///
    /// # Errors
    /// [`DataError`] names the file, and the line where there is one; where `dir` is the folder of another data set, it
    /// names that.
    pub fn open(kind: DatasetKind, dir: &Path) -> Result<Self, DataError> {
        let opened = match kind {
            DatasetKind::Aircraft => aircraft::open(dir),
            DatasetKind::Cars => cars::open(dir),
            DatasetKind::Cub => cub::open(dir),
            DatasetKind::Dogs => dogs::open(dir),
            DatasetKind::Folder => folder::open(dir),
            DatasetKind::NaBirds => cub::open_nabirds(dir),
        };
        opened.map_err(|error| detect::explain(error, dir, detect::Layout::Classes(kind)))
    }

    /// Checks what training relies on: at least two classes, each with a training photo.
    ///
    /// # Errors
    /// [`DataError::TooFewClasses`], [`DataError::NoLabel`], [`DataError::SameLabel`] or [`DataError::EmptyClass`].
    pub fn check_trainable(&self) -> Result<(), DataError> {
        if self.labels.len() < 2 {
            return Err(DataError::TooFewClasses(self.labels.len()));
        }
        let mut known = std::collections::BTreeSet::new();
        for label in &self.labels {
            if label.trim().is_empty() {
                return Err(DataError::NoLabel);
            }
            if !known.insert(label) {
                return Err(DataError::SameLabel(label.clone()));
            }
        }
        match self.empty_classes().next() {
            Some(class) => Err(DataError::EmptyClass(class.into())),
            None => Ok(()),
        }
    }

    /// Names of the classes that have no training photo.
    pub fn empty_classes(&self) -> impl Iterator<Item = &str> {
        let mut seen = vec![false; self.labels.len()];
        for sample in &self.train {
            seen[sample.class] = true;
        }
        self.labels.iter().zip(seen).filter(|(_, seen)| !seen).map(|(label, _)| label.as_str())
    }
}

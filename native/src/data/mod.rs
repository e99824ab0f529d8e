//! Data sets in their official layouts: lists of photos with classes, split as their authors split them.

mod cars;
mod cub;
mod folder;
mod held_out;
pub mod mat;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The layouts that [`Dataset::open`] reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DatasetKind {
    /// Caltech-UCSD Birds 200-2011: text lists beside `images/`.
    Cub,
    /// Stanford Cars: `cars_train/`, `cars_test/` and MATLAB files in `devkit/`.
    Cars,
    /// One folder per class: `train/<class>/*` and `test/<class>/*`.
    Folder,
}

/// One photo and its class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Where the photo lies.
    pub path: PathBuf,
    /// Index into [`Dataset::labels`].
    pub class: usize,
}

/// Photos with classes, in the order of the data set's own lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    /// Plain names of the classes ("Black footed Albatross").
    pub labels: Vec<String>,
    /// Training photos.
    pub train: Vec<Sample>,
    /// Test photos: never seen by training.
    pub test: Vec<Sample>,
}

/// Why a data set could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file or folder that cannot be opened.
    #[error("cannot read \"{}\" ({source}); is this the folder of a {kind} data set?", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What was expected here.
        kind: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line of a list that is not as documented.
    #[error("\"{}\", line {line}: {problem}", path.display())]
    Line {
        /// The list.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A MATLAB file that is not as documented.
    #[error("\"{}\": {problem}", path.display())]
    Mat {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Nothing to train on.
    #[error("class \"{0}\" has no training photo; add some or remove the class")]
    EmptyClass(String),
    /// Fewer than two classes.
    #[error("the data set has {0} classes, at least 2 are needed")]
    TooFewClasses(usize),
}

impl Dataset {
    /// Reads the lists of the data set in `dir`; photos are not opened.
    ///
    /// # Errors
    /// [`DataError`] names the file, and the line where there is one.
    pub fn open(kind: DatasetKind, dir: &Path) -> Result<Self, DataError> {
        match kind {
            DatasetKind::Cub => cub::open(dir),
            DatasetKind::Cars => cars::open(dir),
            DatasetKind::Folder => folder::open(dir),
        }
    }

    /// Checks what training relies on: at least two classes, each with a training photo.
    ///
    /// # Errors
    /// [`DataError::TooFewClasses`] or [`DataError::EmptyClass`].
    pub fn check_trainable(&self) -> Result<(), DataError> {
        if self.labels.len() < 2 {
            return Err(DataError::TooFewClasses(self.labels.len()));
        }
        let mut seen = vec![false; self.labels.len()];
        for sample in &self.train {
            seen[sample.class] = true;
        }
        match seen.iter().position(|seen| !seen) {
            Some(class) => Err(DataError::EmptyClass(self.labels[class].clone())),
            None => Ok(()),
        }
    }
}

/// Reads a small file whole.
fn read(path: &Path, kind: &'static str) -> Result<Vec<u8>, DataError> {
    std::fs::read(path).map_err(|source| DataError::Read { path: path.into(), kind, source })
}

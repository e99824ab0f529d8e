//! Re-identification data sets: photos of people or vehicles, each by one camera.
//!
//! Who is searched for (`query`) is never seen by training: identities of the test are numbers of their own.

mod cuhk03;
mod kind;
mod market;
mod msmt17;
mod named;
mod veri;

use std::path::{Path, PathBuf};

use serde::Serialize;

pub use kind::ReidKind;

use super::{DataError, detect};

/// Whom a photo shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Identity {
    /// In training an index into [`ReidDataset::identities`], in the test the data set's own number.
    Known(usize),
    /// Nobody who is searched for: in the gallery to make the search harder (Market-1501's 0000). No photo matches it.
    Distractor,
}

impl Identity {
    /// The number, if it is somebody.
    pub fn known(self) -> Option<usize> {
        match self {
            Self::Known(number) => Some(number),
            Self::Distractor => None,
        }
    }

    /// True when both are the same somebody; a distractor is nobody's match, not even another distractor's.
    pub fn matches(self, other: Self) -> bool {
        self == other && self != Self::Distractor
    }
}

/// One photo of a person or vehicle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReidSample {
    /// Where the photo lies.
    pub path: PathBuf,
    /// Whom it shows.
    pub identity: Identity,
    /// The camera's number in the data set, from 1.
    pub camera: usize,
}

/// Photos with identities, in the order of their names or of the data set's lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReidDataset {
    /// Official numbers of the training identities as their names write them ("0002"); the index is the label.
    pub identities: Vec<String>,
    /// Training photos; identities are labels, never [`Identity::Distractor`].
    pub train: Vec<ReidSample>,
    /// Photos to search with; identities are official numbers, never [`Identity::Distractor`].
    pub query: Vec<ReidSample>,
    /// Photos to search in; identities are official numbers.
    pub gallery: Vec<ReidSample>,
    /// Photos of the gallery's folder that count neither for nor against and are left out (Market-1501's -1).
    pub junk: usize,
}

impl ReidDataset {
    /// Reads the lists or names of the data set in `dir`; photos are not opened.
    ///
    /// # Errors
    /// [`DataError`] names the file, and the line where there is one; where `dir` is the folder of another data set, it
    /// names that.
    pub fn open(kind: ReidKind, dir: &Path) -> Result<Self, DataError> {
        let opened = match kind {
            ReidKind::Market1501 => market::open(dir),
            ReidKind::DukeMtmc => market::open_duke(dir),
            ReidKind::Msmt17V1 | ReidKind::Msmt17V2 => msmt17::open(dir, kind),
            ReidKind::Veri776 => veri::open(dir),
            ReidKind::Cuhk03Labeled | ReidKind::Cuhk03Detected => cuhk03::open(dir, kind),
        };
        opened.map_err(|error| detect::explain(error, dir, detect::Layout::Identities(kind)))
    }

    /// Checks what training relies on: at least two identities (each has a photo by how they are found).
    ///
    /// # Errors
    /// [`DataError::TooFewClasses`].
    pub fn check_trainable(&self) -> Result<(), DataError> {
        match self.identities.len() {
            0 | 1 => Err(DataError::TooFewClasses(self.identities.len())),
            _ => Ok(()),
        }
    }
}

pub(super) use market::named_like;

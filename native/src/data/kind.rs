//! The classification data sets that can be read.

use serde::{Deserialize, Serialize};

/// The layouts that [`Dataset::open`](super::Dataset::open) reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lower")]
pub enum DatasetKind {
    /// FGVC-Aircraft: 100 variants, text lists in `data/`
    Aircraft,
    /// Stanford Cars: `devkit/*.mat` beside `cars_train/` and `cars_test/`, or one folder per class
    Cars,
    /// CUB-200-2011 and subsets of it: text lists beside `images/`
    Cub,
    /// Stanford Dogs: `train_list.mat` and `test_list.mat` beside `Images/`
    Dogs,
    /// One folder per class: `train/<class>/*` and `test/<class>/*`
    Folder,
    /// NABirds: as CUB, with `hierarchy.txt`
    NaBirds,
}

impl DatasetKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [Self::Aircraft, Self::Cars, Self::Cub, Self::Dogs, Self::Folder, Self::NaBirds];

    /// The data set's name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aircraft => "FGVC-Aircraft",
            Self::Cars => "Stanford Cars",
            Self::Cub => "CUB-200-2011",
            Self::Dogs => "Stanford Dogs",
            Self::Folder => "folder-per-class",
            Self::NaBirds => "NABirds",
        }
    }

    /// Its name in recipes and on the command line.
    pub fn key(self) -> &'static str {
        match self {
            Self::Aircraft => "aircraft",
            Self::Cars => "cars",
            Self::Cub => "cub",
            Self::Dogs => "dogs",
            Self::Folder => "folder",
            Self::NaBirds => "nabirds",
        }
    }
}

//! The re-identification data sets that can be read.

use serde::{Deserialize, Serialize};

/// The layouts that [`ReidDataset::open`](super::ReidDataset::open) reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum ReidKind {
    /// Market-1501: persons, six cameras
    #[serde(rename = "market1501")]
    #[value(name = "market1501")]
    Market1501,
    /// DukeMTMC-reID: persons, eight cameras
    #[serde(rename = "dukemtmc")]
    #[value(name = "dukemtmc")]
    DukeMtmc,
    /// MSMT17, first version: persons, fifteen cameras
    #[serde(rename = "msmt17-v1")]
    #[value(name = "msmt17-v1")]
    Msmt17V1,
    /// MSMT17, second version: the same photos with faces blurred
    #[serde(rename = "msmt17-v2")]
    #[value(name = "msmt17-v2")]
    Msmt17V2,
    /// VeRi-776: vehicles, twenty cameras
    #[serde(rename = "veri776")]
    #[value(name = "veri776")]
    Veri776,
    /// CUHK03 in the new protocol, persons cut out by hand
    #[serde(rename = "cuhk03-labeled")]
    #[value(name = "cuhk03-labeled")]
    Cuhk03Labeled,
    /// CUHK03 in the new protocol, persons cut out by a detector
    #[serde(rename = "cuhk03-detected")]
    #[value(name = "cuhk03-detected")]
    Cuhk03Detected,
}

impl ReidKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Market1501,
        Self::DukeMtmc,
        Self::Msmt17V1,
        Self::Msmt17V2,
        Self::Veri776,
        Self::Cuhk03Labeled,
        Self::Cuhk03Detected,
    ];

    /// The data set's name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Market1501 => "Market-1501",
            Self::DukeMtmc => "DukeMTMC-reID",
            Self::Msmt17V1 => "MSMT17 V1",
            Self::Msmt17V2 => "MSMT17 V2",
            Self::Veri776 => "VeRi-776",
            Self::Cuhk03Labeled => "CUHK03-NP labeled",
            Self::Cuhk03Detected => "CUHK03-NP detected",
        }
    }

    /// Its name in recipes and on the command line.
    pub fn key(self) -> &'static str {
        match self {
            Self::Market1501 => "market1501",
            Self::DukeMtmc => "dukemtmc",
            Self::Msmt17V1 => "msmt17-v1",
            Self::Msmt17V2 => "msmt17-v2",
            Self::Veri776 => "veri776",
            Self::Cuhk03Labeled => "cuhk03-labeled",
            Self::Cuhk03Detected => "cuhk03-detected",
        }
    }

    /// Cameras have numbers from 1 to this.
    pub fn cameras(self) -> usize {
        match self {
            Self::Market1501 => 6,
            Self::DukeMtmc => 8,
            Self::Msmt17V1 | Self::Msmt17V2 => 15,
            Self::Veri776 => 20,
            Self::Cuhk03Labeled | Self::Cuhk03Detected => 2,
        }
    }
}

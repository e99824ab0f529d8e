//! CUHK03 in the new protocol: `labeled/` and `detected/`, each with the folders of Market-1501.

use std::path::Path;

use super::market::folders;
use super::{ReidDataset, ReidKind};
use crate::data::DataError;

/// The photos that were cut out by hand or by a detector, as `kind` says.
pub(super) fn open(dir: &Path, kind: ReidKind) -> Result<ReidDataset, DataError> {
    let half = if kind == ReidKind::Cuhk03Detected { "detected" } else { "labeled" };
    // Conversions number the photos differently; identity and camera are what counts.
    let like = |rest: &str| rest.starts_with('_') && !rest.starts_with("_f");
    folders(&dir.join(half), kind, like, "0003_c1_21.png").open()
}

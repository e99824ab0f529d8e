//! VeRi-776: vehicles, "0001_c001_00016450_0.jpg".

use std::path::Path;

use super::named::Folders;
use super::{ReidDataset, ReidKind};
use crate::data::DataError;

/// `image_train`, `image_query` and `image_test`.
pub(super) fn open(dir: &Path) -> Result<ReidDataset, DataError> {
    let folders = Folders {
        kind: ReidKind::Veri776,
        train: dir.join("image_train"),
        query: dir.join("image_query"),
        gallery: dir.join("image_test"),
        like: |rest| rest.strip_prefix('_').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit())),
        example: "0001_c001_00016450_0.jpg",
        distractors: false,
    };
    folders.open()
}

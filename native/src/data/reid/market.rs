//! Market-1501 and DukeMTMC-reID: the same three folders, told apart by how photos are named.

use std::path::Path;

use super::named::{Folders, parse};
use super::{ReidDataset, ReidKind};
use crate::data::{DataError, files};

/// `bounding_box_train`, `query` and `bounding_box_test`; identity -1 of the gallery is left out, 0000 is a distractor.
pub(super) fn open(dir: &Path) -> Result<ReidDataset, DataError> {
    folders(dir, ReidKind::Market1501, like_market, "0002_c1s1_000451_03.jpg").open()
}

/// The same folders; every identity of the gallery is somebody.
pub(super) fn open_duke(dir: &Path) -> Result<ReidDataset, DataError> {
    folders(dir, ReidKind::DukeMtmc, like_duke, "0001_c2_f0046182.jpg").open()
}

/// The three folders in `dir` under their usual names.
pub(super) fn folders<'a>(dir: &Path, kind: ReidKind, like: fn(&str) -> bool, example: &'a str) -> Folders<'a> {
    Folders {
        kind,
        train: dir.join("bounding_box_train"),
        query: dir.join("query"),
        gallery: dir.join("bounding_box_test"),
        like,
        example,
        distractors: kind == ReidKind::Market1501,
    }
}

/// Which of the two the photos of `dir` are named like; `None` where neither.
pub(in crate::data) fn named_like(dir: &Path) -> Option<ReidKind> {
    ["bounding_box_train", "query", "bounding_box_test"].iter().find_map(|name| {
        let photos = files::folder(&dir.join(name), ReidKind::Market1501.name()).ok()?;
        let photo = photos.into_iter().find(|path| files::is_photo(path))?;
        let rest = parse(photo.file_stem()?.to_str()?)?.rest;
        match (like_market(rest), like_duke(rest)) {
            (true, _) => Some(ReidKind::Market1501),
            (_, true) => Some(ReidKind::DukeMtmc),
            _ => None,
        }
    })
}

/// "s1_000451_03": sequence, frame, detection.
fn like_market(rest: &str) -> bool {
    rest.starts_with('s')
}

/// "_f0046182": frame.
fn like_duke(rest: &str) -> bool {
    rest.starts_with("_f")
}

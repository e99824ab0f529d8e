//! Which data set lies in a folder, told by the files that only this data set has.

use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::reid::ReidKind;
use super::{DataError, DatasetKind, aircraft, cars, dogs, files, folder, reid};

/// A data set of either task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Photos with classes.
    Classes(DatasetKind),
    /// Photos with identities and cameras.
    Identities(ReidKind),
}

impl Serialize for Layout {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.key())
    }
}

impl<'de> Deserialize<'de> for Layout {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let key = String::deserialize(deserializer)?;
        Self::all().find(|layout| layout.key() == key).ok_or_else(|| {
            let keys: Vec<&str> = Self::all().map(Self::key).collect();
            serde::de::Error::custom(format!("there is no kind of data set \"{key}\", only {}", keys.join(", ")))
        })
    }
}

impl Layout {
    /// Every layout, those with classes first.
    pub fn all() -> impl Iterator<Item = Self> {
        let classes = DatasetKind::ALL.into_iter().map(Self::Classes);
        classes.chain(ReidKind::ALL.into_iter().map(Self::Identities))
    }

    /// The data set's name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classes(kind) => kind.name(),
            Self::Identities(kind) => kind.name(),
        }
    }

    /// Its name in recipes and on the command line.
    pub fn key(self) -> &'static str {
        match self {
            Self::Classes(kind) => kind.key(),
            Self::Identities(kind) => kind.key(),
        }
    }
}

/// Names what lies in `dir`, also where some of its files are missing; never empty.
///
/// More than one where the data set comes in versions that share a folder: both halves of CUHK03-NP, both versions of
/// MSMT17.
///
/// # Errors
/// [`DataError::Read`] when there is no such folder, [`DataError::Mixed`] for several data sets in one folder,
/// [`DataError::Inside`] when a folder in `dir` is one, [`DataError::Unknown`] when nothing is known.
pub fn detect(dir: &Path) -> Result<Vec<Layout>, DataError> {
    let children = files::folder(dir, "supported")?;
    let found = look(dir)?;
    if !found.is_empty() {
        return Ok(found);
    }
    for inner in children.into_iter().filter(|path| path.is_dir()) {
        if let Ok(Some(layout)) = look(&inner).map(|found| found.first().copied()) {
            return Err(DataError::Inside { dir: dir.into(), inner, found: layout.name() });
        }
    }
    let names = DatasetKind::ALL.map(DatasetKind::name).into_iter().chain(ReidKind::ALL.map(ReidKind::name));
    Err(DataError::Unknown { dir: dir.into(), known: names.collect::<Vec<_>>().join(", ") })
}

/// What lies in `dir` itself; empty where nothing is known.
fn look(dir: &Path) -> Result<Vec<Layout>, DataError> {
    let any = |names: &[&str]| names.iter().any(|name| dir.join(name).exists());
    let mut found: Vec<Vec<Layout>> = Vec::new();
    if any(&["image_class_labels.txt", "train_test_split.txt", "images.txt"]) {
        let birds = if any(&["hierarchy.txt"]) { DatasetKind::NaBirds } else { DatasetKind::Cub };
        found.push(vec![Layout::Classes(birds)]);
    }
    if cars::has_devkit(dir) {
        found.push(vec![Layout::Classes(DatasetKind::Cars)]);
    }
    if aircraft::is_here(dir) {
        found.push(vec![Layout::Classes(DatasetKind::Aircraft)]);
    }
    if dogs::LISTS.iter().any(|names| any(names)) {
        found.push(vec![Layout::Classes(DatasetKind::Dogs)]);
    }
    found.extend(reid(dir, &any));
    if found.is_empty() {
        if cars::class_folders(dir).is_some() {
            found.push(vec![Layout::Classes(DatasetKind::Cars)]);
        } else if folder::class_folders(&dir.join("train")).is_ok_and(|names| !names.is_empty()) {
            found.push(vec![Layout::Classes(DatasetKind::Folder)]);
        }
    }
    if found.len() > 1 {
        let names: Vec<&str> = found.iter().flatten().map(|layout| layout.name()).collect();
        return Err(DataError::Mixed { dir: dir.into(), found: names.join(", ") });
    }
    Ok(found.pop().unwrap_or_default())
}

/// The re-identification data sets of which there are files.
fn reid(dir: &Path, any: &dyn Fn(&[&str]) -> bool) -> Vec<Vec<Layout>> {
    let mut found: Vec<Vec<ReidKind>> = Vec::new();
    let v2 = any(&["mask_train_v2", "mask_test_v2"]);
    if v2 || any(&["list_train.txt", "list_val.txt", "list_query.txt", "list_gallery.txt"]) {
        let v1 = !v2 || any(&["train", "test"]);
        let versions = [(v1, ReidKind::Msmt17V1), (v2, ReidKind::Msmt17V2)];
        found.push(versions.into_iter().filter(|(here, _)| *here).map(|(_, kind)| kind).collect());
    }
    if any(&["image_train", "image_query", "image_test"]) {
        found.push(vec![ReidKind::Veri776]);
    }
    let halves = [("labeled", ReidKind::Cuhk03Labeled), ("detected", ReidKind::Cuhk03Detected)];
    let half = |name: &str| ["bounding_box_train", "bounding_box_test"].iter().any(|f| dir.join(name).join(f).exists());
    let halves: Vec<_> = halves.into_iter().filter(|(name, _)| half(name)).map(|(_, kind)| kind).collect();
    if !halves.is_empty() {
        found.push(halves);
    }
    if any(&["bounding_box_train", "bounding_box_test"]) {
        // Reading names the photo that is like neither.
        found.push(vec![reid::named_like(dir).unwrap_or(ReidKind::Market1501)]);
    }
    found.into_iter().map(|kinds| kinds.into_iter().map(Layout::Identities).collect()).collect()
}

/// `error`, or a better one where a file is missing because `dir` is the folder of another data set than `asked`.
pub(super) fn explain(error: DataError, dir: &Path, asked: Layout) -> DataError {
    let missing = matches!(&error, DataError::Read { source, .. }
        if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory));
    if !missing {
        return error;
    }
    match detect(dir) {
        Ok(found) if !found.contains(&asked) && !found.is_empty() => {
            DataError::Other { dir: dir.into(), expected: asked.name(), found: found[0].name(), key: found[0].key() }
        }
        Err(inside @ DataError::Inside { .. }) => inside,
        _ => error,
    }
}

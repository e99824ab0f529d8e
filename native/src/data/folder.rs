//! One folder per class: `train/<class>/*`, and `test/<class>/*` where there is one.

use std::collections::BTreeSet;
use std::path::Path;

use super::{DataError, Dataset, DatasetKind, Sample, files};

/// Classes are the folders under `train/` and `test/`, in the order of their names; `_` in a name is shown as a space.
pub(super) fn open(dir: &Path) -> Result<Dataset, DataError> {
    let mut names: BTreeSet<String> = class_folders(&dir.join("train"))?.into_iter().collect();
    let has_test = dir.join("test").exists();
    if has_test {
        // A class that only the test folder has is kept, to be named by whoever needs training photos of it.
        names.extend(class_folders(&dir.join("test"))?);
    }
    Ok(Dataset {
        labels: names.iter().map(|name| name.replace('_', " ")).collect(),
        train: photos(&dir.join("train"), &names)?,
        test: if has_test { photos(&dir.join("test"), &names)? } else { Vec::new() },
        ..Dataset::default()
    })
}

/// Names of the folders in `dir`, sorted, hidden ones left out.
pub(super) fn class_folders(dir: &Path) -> Result<Vec<String>, DataError> {
    let folders = files::folder(dir, DatasetKind::Folder.name())?.into_iter().filter(|path| path.is_dir());
    let mut names = Vec::new();
    for path in folders {
        let Some(name) = path.file_name() else { continue };
        let Some(name) = name.to_str() else {
            let problem = "its characters are not UTF-8: rename the folder".to_owned();
            return Err(DataError::Name { path, kind: "one class", problem });
        };
        if !name.starts_with('.') {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

fn photos(dir: &Path, classes: &BTreeSet<String>) -> Result<Vec<Sample>, DataError> {
    let mut samples = Vec::new();
    for (class, name) in classes.iter().enumerate() {
        let folder = dir.join(name);
        if folder.is_dir() {
            let paths = files::folder(&folder, DatasetKind::Folder.name())?;
            let photos = paths.into_iter().filter(|path| files::is_photo(path) && path.is_file());
            samples.extend(photos.map(|path| Sample::new(path, class)));
        }
    }
    Ok(samples)
}

//! One folder per class: `train/<class>/*`, and `test/<class>/*` where there is one.

use std::path::{Path, PathBuf};

use super::{DataError, Dataset, Sample};

const KIND: &str = "folder-per-class";
const EXTENSIONS: [&str; 8] = ["jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff"];

/// Classes are the folders under `train/`, in the order of their names; `_` in a name is shown as a space.
pub(super) fn open(dir: &Path) -> Result<Dataset, DataError> {
    let names: Vec<String> =
        list(&dir.join("train"))?.into_iter().filter(|path| path.is_dir()).filter_map(name).collect();
    let train = photos(&dir.join("train"), &names)?;
    let test_dir = dir.join("test");
    let mut test = Vec::new();
    if test_dir.exists() {
        for class in list(&test_dir)?.into_iter().filter(|path| path.is_dir()).filter_map(name) {
            if !names.contains(&class) {
                return Err(DataError::EmptyClass(class));
            }
        }
        test = photos(&test_dir, &names)?;
    }
    Ok(Dataset { labels: names.iter().map(|name| name.replace('_', " ")).collect(), train, held_out: Vec::new(), test })
}

fn photos(dir: &Path, classes: &[String]) -> Result<Vec<Sample>, DataError> {
    let mut samples = Vec::new();
    for (class, name) in classes.iter().enumerate() {
        let folder = dir.join(name);
        if folder.is_dir() {
            let photos = list(&folder)?.into_iter().filter(|path| is_photo(path));
            samples.extend(photos.map(|path| Sample { path, class }));
        }
    }
    Ok(samples)
}

fn is_photo(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    path.is_file() && extension.is_some_and(|e| EXTENSIONS.contains(&e.as_str()))
}

fn name(path: PathBuf) -> Option<String> {
    Some(path.file_name()?.to_str()?.to_owned())
}

/// What lies in a folder, sorted: the order of a directory is the file system's whim, runs must repeat.
fn list(dir: &Path) -> Result<Vec<PathBuf>, DataError> {
    let error = |source| DataError::Read { path: dir.into(), kind: KIND, source };
    let mut paths = std::fs::read_dir(dir)
        .map_err(error)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(error)?;
    paths.sort();
    Ok(paths)
}

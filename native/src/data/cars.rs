//! Stanford Cars: photos in two folders and classes in MATLAB files, or one folder per class.

use std::path::{Path, PathBuf};

use super::mat::{self, Value};
use super::{DataError, Dataset, DatasetKind, Sample, files, folder};

const TEST_LIST: [&str; 2] = ["devkit/cars_test_annos_withlabels.mat", "cars_test_annos_withlabels.mat"];

/// Reads the official layout where there is a devkit, otherwise one folder per class.
pub(super) fn open(dir: &Path) -> Result<Dataset, DataError> {
    match (has_devkit(dir), class_folders(dir)) {
        (false, Some(root)) => open_folders(&root),
        _ => open_devkit(dir),
    }
}

/// True where one of the official layout's own files is.
pub(super) fn has_devkit(dir: &Path) -> bool {
    ["devkit/cars_meta.mat", "devkit/cars_train_annos.mat", TEST_LIST[0], TEST_LIST[1], "cars_train"]
        .iter()
        .any(|name| dir.join(name).exists())
}

/// The folder with `train/<class>`: `dir`, or `car_data` in it once or twice, as the well-known archive unpacks.
///
/// `None` where the classes are not all named as the data set's are: maker, model and a year from 1991 to 2012.
pub(super) fn class_folders(dir: &Path) -> Option<PathBuf> {
    let model = |name: &String| {
        let year = name.rsplit_once(' ').and_then(|(_, year)| year.parse::<u32>().ok());
        year.is_some_and(|year| (1991..=2012).contains(&year))
    };
    ["", "car_data", "car_data/car_data"].iter().map(|part| dir.join(part)).find(|root| {
        folder::class_folders(&root.join("train")).is_ok_and(|names| !names.is_empty() && names.iter().all(model))
    })
}

/// A class's name holds a slash, which no folder's name can.
fn open_folders(root: &Path) -> Result<Dataset, DataError> {
    let mut dataset = folder::open(root)?;
    for label in &mut dataset.labels {
        *label = label.replace("Ram C-V Cargo", "Ram C/V Cargo");
    }
    Ok(dataset)
}

/// Reads `devkit/cars_meta.mat`, `devkit/cars_train_annos.mat` and `cars_test_annos_withlabels.mat` (in `devkit/` or
/// one level above).
fn open_devkit(dir: &Path) -> Result<Dataset, DataError> {
    let devkit = dir.join("devkit");
    let labels = class_names(&devkit.join("cars_meta.mat"))?;
    let test_list = files::first_existing(dir, &TEST_LIST);
    Ok(Dataset {
        train: annotations(&devkit.join("cars_train_annos.mat"), &photos(dir, "cars_train"), labels.len())?,
        test: annotations(&test_list, &photos(dir, "cars_test"), labels.len())?,
        labels,
        ..Dataset::default()
    })
}

/// Some archives unpack to `cars_train/cars_train`.
fn photos(dir: &Path, name: &str) -> PathBuf {
    let nested = dir.join(name).join(name);
    if nested.is_dir() { nested } else { dir.join(name) }
}

fn variable(path: &Path, name: &str) -> Result<Value, DataError> {
    let missing = || DataError::Mat { path: path.into(), problem: format!("there is no variable \"{name}\"") };
    mat::open(path, DatasetKind::Cars.name())?.remove(name).ok_or_else(missing)
}

fn class_names(path: &Path) -> Result<Vec<String>, DataError> {
    let problem = |problem: &str| DataError::Mat { path: path.into(), problem: problem.into() };
    let Value::Cells(cells) = variable(path, "class_names")? else {
        return Err(problem("class_names is not a cell array"));
    };
    cells
        .into_iter()
        .map(|cell| match cell {
            Value::Text(name) => Ok(name),
            _ => Err(problem("class_names holds something that is no text")),
        })
        .collect()
}

fn annotations(path: &Path, photos: &Path, classes: usize) -> Result<Vec<Sample>, DataError> {
    let Value::Records(records) = variable(path, "annotations")? else {
        return Err(DataError::Mat { path: path.into(), problem: "annotations is not a struct array".into() });
    };
    records
        .iter()
        .enumerate()
        .map(|(i, record)| {
            let problem = |problem: String| DataError::Mat {
                path: path.into(),
                problem: format!("annotation {}: {problem}", i + 1),
            };
            let class = match record.get("class") {
                Some(Value::Numbers(numbers)) if numbers.len() == 1 => numbers[0],
                _ => return Err(problem("it has no class".into())),
            };
            if class.fract() != 0.0 || class < 1.0 || class > classes as f64 {
                return Err(problem(format!("class {class} is not one of 1 to {classes}")));
            }
            match record.get("fname") {
                Some(Value::Text(name)) if plain_file_name(name) => {
                    Ok(Sample::new(photos.join(name), class as usize - 1))
                }
                _ => Err(problem("it has no file name".into())),
            }
        })
        .collect()
}

fn plain_file_name(name: &str) -> bool {
    Path::new(name).file_name().is_some_and(|file| file.to_str() == Some(name))
}

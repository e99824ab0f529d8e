//! Stanford Cars: photos in two folders, classes in MATLAB files.

use std::path::{Path, PathBuf};

use super::mat::{self, Value};
use super::{DataError, Dataset, Sample, read};

const KIND: &str = "Stanford Cars";

/// Reads `devkit/cars_meta.mat`, `devkit/cars_train_annos.mat` and `cars_test_annos_withlabels.mat` (in `devkit/` or
/// one level above).
pub(super) fn open(dir: &Path) -> Result<Dataset, DataError> {
    let devkit = dir.join("devkit");
    let labels = class_names(&devkit.join("cars_meta.mat"))?;
    let test_list = ["devkit/cars_test_annos_withlabels.mat", "cars_test_annos_withlabels.mat"]
        .map(|name| dir.join(name))
        .into_iter()
        .find(|path| path.exists())
        .unwrap_or_else(|| devkit.join("cars_test_annos_withlabels.mat"));
    let train = annotations(&devkit.join("cars_train_annos.mat"), &dir.join("cars_train"), labels.len())?;
    let test = annotations(&test_list, &dir.join("cars_test"), labels.len())?;
    Ok(Dataset { labels, train, held_out: Vec::new(), test })
}

fn variable(path: &Path, name: &str) -> Result<Value, DataError> {
    let problem = |problem: String| DataError::Mat { path: path.into(), problem };
    let mut variables = mat::read(&read(path, KIND)?).map_err(|error| problem(error.to_string()))?;
    variables.remove(name).ok_or_else(|| problem(format!("there is no variable \"{name}\"")))
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
                    Ok(Sample { path: photos.join(name), class: class as usize - 1 })
                }
                _ => Err(problem("it has no file name".into())),
            }
        })
        .collect()
}

fn plain_file_name(name: &str) -> bool {
    PathBuf::from(name).file_name().is_some_and(|file| file.to_str() == Some(name))
}

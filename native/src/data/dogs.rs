//! Stanford Dogs: a folder per breed, lists of photos in MATLAB files.

use std::collections::BTreeMap;
use std::path::Path;

use super::files;
use super::mat::{self, Value};
use super::{DataError, Dataset, DatasetKind, Sample};

/// The lists, where `dir` may hold them.
pub(super) const LISTS: [[&str; 2]; 2] =
    [["train_list.mat", "lists/train_list.mat"], ["test_list.mat", "lists/test_list.mat"]];

/// Reads `train_list.mat` and `test_list.mat`, in `dir` or in `lists/`; photos lie in `Images/`.
///
/// Breeds are in the order of their labels. A label that no list uses is no class, so a subset of the data set has
/// fewer classes, not empty ones.
pub(super) fn open(dir: &Path) -> Result<Dataset, DataError> {
    let [train, test] = LISTS.map(|names| read(&files::first_existing(dir, &names)));
    let (train, test) = (train?, test?);
    let mut breeds: BTreeMap<u32, &str> = BTreeMap::new();
    for (list, entries) in [(&LISTS[0], &train), (&LISTS[1], &test)] {
        for (i, entry) in entries.iter().enumerate() {
            let known = breeds.entry(entry.label).or_insert(&entry.folder);
            if *known != entry.folder {
                let problem = format!(
                    "entry {}: label {} is \"{}\" here and \"{known}\" before",
                    i + 1,
                    entry.label,
                    entry.folder
                );
                return Err(DataError::Mat { path: files::first_existing(dir, list), problem });
            }
        }
    }
    let class_of: BTreeMap<u32, usize> = breeds.keys().enumerate().map(|(class, label)| (*label, class)).collect();
    let photos = files::first_existing(dir, &["Images", "images"]);
    let samples = |entries: &[Entry]| {
        entries.iter().map(|entry| Sample::new(photos.join(&entry.file), class_of[&entry.label])).collect()
    };
    Ok(Dataset {
        train: samples(&train),
        test: samples(&test),
        labels: breeds.values().map(|folder| plain_name(folder)).collect(),
        ..Dataset::default()
    })
}

struct Entry {
    /// "n02085620-Chihuahua/n02085620_10074.jpg"
    file: String,
    folder: String,
    /// From 1.
    label: u32,
}

fn read(path: &Path) -> Result<Vec<Entry>, DataError> {
    let problem = |problem: String| DataError::Mat { path: path.into(), problem };
    let mut variables = mat::open(path, DatasetKind::Dogs.name())?;
    let Some(Value::Cells(names)) = variables.remove("file_list") else {
        return Err(problem("there is no cell array \"file_list\"".into()));
    };
    let Some(Value::Numbers(labels)) = variables.remove("labels") else {
        return Err(problem("there is no array \"labels\"".into()));
    };
    if names.len() != labels.len() {
        return Err(problem(format!("it names {} photos and gives {} labels", names.len(), labels.len())));
    }
    let entries = names.into_iter().zip(labels).enumerate().map(|(i, (name, label))| {
        let problem = |what: String| problem(format!("entry {}: {what}", i + 1));
        if label.fract() != 0.0 || !(1.0..=65_535.0).contains(&label) {
            return Err(problem(format!("label {label} is not a whole number from 1")));
        }
        match name {
            Value::Text(file) if files::stays_inside(&file) => match file.split_once('/') {
                Some((folder, _)) => Ok(Entry { folder: folder.into(), label: label as u32, file }),
                None => Err(problem(format!("\"{file}\" lies in no breed's folder"))),
            },
            _ => Err(problem("it is not the name of a photo of this data set".into())),
        }
    });
    entries.collect()
}

/// "n02085782-Japanese_spaniel" to "Japanese spaniel".
fn plain_name(folder: &str) -> String {
    folder.split_once('-').map_or(folder, |(_, name)| name).replace('_', " ")
}

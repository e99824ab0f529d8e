//! CUB-200-2011 and subsets of it: text lists whose lines are "id value".

use std::collections::HashMap;
use std::path::Path;

use super::{DataError, Dataset, Sample, read};

/// Reads `classes.txt`, `images.txt`, `image_class_labels.txt` and `train_test_split.txt`.
pub(super) fn open(dir: &Path) -> Result<Dataset, DataError> {
    let classes = List::read(dir, "classes.txt")?;
    let mut labels = Vec::new();
    let mut class_of_id = HashMap::new();
    for line in &classes.lines {
        if class_of_id.insert(line.id, labels.len()).is_some() {
            return Err(classes.error(line, format!("class {} is listed twice", line.id)));
        }
        labels.push(plain_name(&line.value));
    }
    let class_list = List::read(dir, "image_class_labels.txt")?;
    let mut classes = HashMap::new();
    for line in &class_list.lines {
        let class = line.value.parse::<u64>().ok().and_then(|id| class_of_id.get(&id));
        let class = class.ok_or_else(|| class_list.error(line, format!("no class \"{}\" exists", line.value)))?;
        classes.insert(line.id, *class);
    }
    let split_list = List::read(dir, "train_test_split.txt")?;
    let mut training = HashMap::new();
    for line in &split_list.lines {
        let train = match line.value.as_str() {
            "1" => true,
            "0" => false,
            other => return Err(split_list.error(line, format!("expected 0 or 1, found \"{other}\""))),
        };
        training.insert(line.id, train);
    }
    let images = List::read(dir, "images.txt")?;
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for line in &images.lines {
        let missing = |list: &str| images.error(line, format!("image {} is missing from {list}", line.id));
        let class = *classes.get(&line.id).ok_or_else(|| missing("image_class_labels.txt"))?;
        let sample = Sample { path: dir.join("images").join(&line.value), class };
        let is_train = *training.get(&line.id).ok_or_else(|| missing("train_test_split.txt"))?;
        if is_train { train.push(sample) } else { test.push(sample) }
    }
    Ok(Dataset { labels, train, held_out: Vec::new(), test })
}

/// "001.Black_footed_Albatross" to "Black footed Albatross".
fn plain_name(name: &str) -> String {
    name.split_once('.').map_or(name, |(_, rest)| rest).replace('_', " ")
}

struct List {
    path: std::path::PathBuf,
    lines: Vec<Line>,
}

struct Line {
    number: usize,
    id: u64,
    value: String,
}

impl List {
    fn read(dir: &Path, name: &str) -> Result<Self, DataError> {
        let path = dir.join(name);
        let bytes = read(&path, "CUB-200-2011")?;
        let mut list = Self { path, lines: Vec::new() };
        for (i, text) in String::from_utf8_lossy(&bytes).lines().enumerate() {
            if text.trim().is_empty() {
                continue;
            }
            let parts = text.trim().split_once(' ').and_then(|(id, value)| Some((id.parse().ok()?, value.trim())));
            let (id, value) = parts.ok_or_else(|| DataError::Line {
                path: list.path.clone(),
                line: i + 1,
                problem: "expected \"number value\"".into(),
            })?;
            list.lines.push(Line { number: i + 1, id, value: value.into() });
        }
        Ok(list)
    }

    fn error(&self, line: &Line, problem: String) -> DataError {
        DataError::Line { path: self.path.clone(), line: line.number, problem }
    }
}

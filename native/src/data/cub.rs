//! CUB-200-2011 and NABirds, whole or in part: text lists whose lines are "id value".

use std::collections::HashMap;
use std::path::Path;

use super::files::List;
use super::hierarchy::Hierarchy;
use super::{DataError, Dataset, DatasetKind, Sample};

/// Reads `classes.txt`, `images.txt`, `image_class_labels.txt` and `train_test_split.txt`.
///
/// Every line of `classes.txt` is a class, in the order of that list.
pub(super) fn open(dir: &Path) -> Result<Dataset, DataError> {
    if dir.join("hierarchy.txt").exists() {
        // Its classes are fewer than its list has, so reading on would go wrong quietly.
        let (expected, other) = (DatasetKind::Cub.name(), DatasetKind::NaBirds);
        return Err(DataError::Other { dir: dir.into(), expected, found: other.name(), key: other.key() });
    }
    let lists = Lists::read(dir, DatasetKind::Cub)?;
    let labels = lists.classes.lines.iter().map(|line| plain_name(&line.value)).collect();
    let class_of_id = lists.classes.lines.iter().enumerate().map(|(class, line)| (line.key.as_str(), class)).collect();
    lists.dataset(dir, labels, &class_of_id)
}

/// Reads the same lists and `hierarchy.txt`.
///
/// `classes.txt` names every node of the tree; the classes are those that photos are given to, in the order of that
/// list (555 of 1,011 in the whole data set), so their ids leave gaps.
pub(super) fn open_nabirds(dir: &Path) -> Result<Dataset, DataError> {
    let kind = DatasetKind::NaBirds;
    let lists = Lists::read(dir, kind)?;
    let with_photos: std::collections::HashSet<&str> =
        lists.of_image.lines.iter().map(|line| line.value.as_str()).collect();
    let classes = lists.classes.lines.iter().filter(|line| with_photos.contains(line.key.as_str()));
    let class_of_id = classes.clone().enumerate().map(|(class, line)| (line.key.as_str(), class)).collect();
    let labels = classes.clone().map(|line| line.value.clone()).collect();
    let mut dataset = lists.dataset(dir, labels, &class_of_id)?;
    let parents = List::read(dir.join("hierarchy.txt"), kind.name())?;
    let leaves = classes.map(|line| line.key.as_str());
    dataset.hierarchy = Some(Hierarchy::new(&lists.classes, &parents, leaves)?);
    Ok(dataset)
}

/// "001.Black_footed_Albatross" to "Black footed Albatross".
fn plain_name(name: &str) -> String {
    name.split_once('.').map_or(name, |(_, rest)| rest).replace('_', " ")
}

struct Lists {
    classes: List,
    images: List,
    of_image: List,
    split: List,
}

impl Lists {
    fn read(dir: &Path, kind: DatasetKind) -> Result<Self, DataError> {
        let list = |name: &str| List::read(dir.join(name), kind.name());
        Ok(Self {
            classes: list("classes.txt")?,
            images: list("images.txt")?,
            of_image: list("image_class_labels.txt")?,
            split: list("train_test_split.txt")?,
        })
    }

    fn dataset(
        &self,
        dir: &Path,
        labels: Vec<String>,
        class_of_id: &HashMap<&str, usize>,
    ) -> Result<Dataset, DataError> {
        let mut classes = HashMap::new();
        for line in &self.of_image.lines {
            let class = class_of_id.get(line.value.as_str());
            let class =
                class.ok_or_else(|| self.of_image.error(line, format!("no class \"{}\" exists", line.value)))?;
            classes.insert(line.key.as_str(), *class);
        }
        let mut training = HashMap::new();
        for line in &self.split.lines {
            let train = match line.value.as_str() {
                "1" => true,
                "0" => false,
                other => return Err(self.split.error(line, format!("expected 0 or 1, found \"{other}\""))),
            };
            training.insert(line.key.as_str(), train);
        }
        let mut dataset = Dataset { labels, ..Dataset::default() };
        for line in &self.images.lines {
            let missing = |list: &str| self.images.error(line, format!("image {} is missing from {list}", line.key));
            let class = *classes.get(line.key.as_str()).ok_or_else(|| missing("image_class_labels.txt"))?;
            let is_train = *training.get(line.key.as_str()).ok_or_else(|| missing("train_test_split.txt"))?;
            let sample = Sample::new(self.images.photo(line, &dir.join("images"), &line.value)?, class);
            if is_train { dataset.train.push(sample) } else { dataset.test.push(sample) }
        }
        Ok(dataset)
    }
}

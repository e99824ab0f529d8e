//! FGVC-Aircraft: 100 variants, lists whose lines are "photo variant", the variant's name with spaces.

use std::collections::HashMap;
use std::path::Path;

use super::files::{self, List};
use super::{DataError, Dataset, DatasetKind, Sample};

/// Height in pixels of the strip at the bottom of every photo that names its photographer.
pub(super) const BANNER: u32 = 20;

/// Reads `variants.txt`, `images_variant_trainval.txt` and `images_variant_test.txt`, in `data/` or in `dir` itself.
///
/// Training photos are those of `trainval`, as in every published figure.
pub(super) fn open(dir: &Path) -> Result<Dataset, DataError> {
    let kind = DatasetKind::Aircraft.name();
    let lists = if dir.join("variants.txt").exists() { dir.to_path_buf() } else { dir.join("data") };
    let variants = List::names(lists.join("variants.txt"), kind)?;
    let classes: HashMap<&str, usize> =
        variants.lines.iter().enumerate().map(|(class, line)| (line.key.as_str(), class)).collect();
    let photos = lists.join("images");
    let samples = |name: &str| -> Result<Vec<Sample>, DataError> {
        let list = List::read(lists.join(name), kind)?;
        list.lines
            .iter()
            .map(|line| {
                let unknown = || list.error(line, format!("no variant \"{}\" is in variants.txt", line.value));
                let class = *classes.get(line.value.as_str()).ok_or_else(unknown)?;
                let path = list.photo(line, &photos, &format!("{}.jpg", line.key))?;
                Ok(Sample { path, class, crop_bottom: BANNER })
            })
            .collect()
    };
    Ok(Dataset {
        train: samples("images_variant_trainval.txt")?,
        test: samples("images_variant_test.txt")?,
        labels: variants.lines.iter().map(|line| line.key.clone()).collect(),
        ..Dataset::default()
    })
}

/// True where `dir` has one of the lists, in itself or in `data/`.
pub(super) fn is_here(dir: &Path) -> bool {
    ["images_variant_trainval.txt", "images_variant_test.txt", "variants.txt"]
        .iter()
        .any(|name| files::first_existing(dir, &[name, &format!("data/{name}")]).exists())
}

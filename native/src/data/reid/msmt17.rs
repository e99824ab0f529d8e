//! MSMT17: lists of photos; version 1 lies in `train` and `test`, version 2 in `mask_train_v2` and `mask_test_v2`.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Identity, ReidDataset, ReidKind, ReidSample};
use crate::data::files::List;
use crate::data::{DataError, files};

/// The folders of training and test photos.
pub(in crate::data) fn folders(kind: ReidKind) -> [&'static str; 2] {
    if kind == ReidKind::Msmt17V2 { ["mask_train_v2", "mask_test_v2"] } else { ["train", "test"] }
}

/// `list_train.txt` and `list_val.txt` are trained on together, as in published figures; `list_query.txt` and
/// `list_gallery.txt` are the test. Identities of the test are numbered from 0 again: they are other people.
pub(super) fn open(dir: &Path, kind: ReidKind) -> Result<ReidDataset, DataError> {
    let [train_folder, test_folder] = folders(kind).map(|folder| dir.join(folder));
    for folder in [&train_folder, &test_folder] {
        // The lists are those of both versions: without this, the other version would be 126,441 missing photos.
        files::folder(folder, kind.name())?;
    }
    let mut entries = read(&dir.join("list_train.txt"), &train_folder, kind)?;
    entries.extend(read(&dir.join("list_val.txt"), &train_folder, kind)?);
    let mut labels: BTreeMap<usize, usize> = entries.iter().map(|entry| (entry.number, 0)).collect();
    labels.values_mut().enumerate().for_each(|(label, entry)| *entry = label);
    let test = |name: &str| -> Result<Vec<ReidSample>, DataError> {
        let entries = read(&dir.join(name), &test_folder, kind)?;
        Ok(entries
            .into_iter()
            .map(|entry| ReidSample { identity: Identity::Known(entry.number), ..entry.sample })
            .collect())
    };
    Ok(ReidDataset {
        identities: labels.keys().map(|number| format!("{number:04}")).collect(),
        train: entries
            .into_iter()
            .map(|entry| ReidSample { identity: Identity::Known(labels[&entry.number]), ..entry.sample })
            .collect(),
        query: test("list_query.txt")?,
        gallery: test("list_gallery.txt")?,
        junk: 0,
    })
}

struct Entry {
    number: usize,
    sample: ReidSample,
}

/// Lines are "0000/0000_000_01_0303morning_0008_0.jpg 0": the photo, with the camera as third field, and the identity.
fn read(path: &Path, photos: &Path, kind: ReidKind) -> Result<Vec<Entry>, DataError> {
    let list = List::read(path.into(), kind.name())?;
    list.lines
        .iter()
        .map(|line| {
            let problem = |problem: String| list.error(line, problem);
            let number: usize =
                line.value.parse().map_err(|_| problem(format!("identity \"{}\" is no number", line.value)))?;
            let name = line.key.rsplit('/').next().unwrap_or_default();
            let camera = name.split('_').nth(2).and_then(|field| field.parse::<usize>().ok());
            let camera = camera.ok_or_else(|| problem(format!("\"{name}\" has no camera as its third field")))?;
            if camera == 0 || camera > kind.cameras() {
                return Err(problem(format!("camera {camera} is not one of 1 to {}", kind.cameras())));
            }
            let path = list.photo(line, photos, &line.key)?;
            Ok(Entry { number, sample: ReidSample { path, identity: Identity::Known(number), camera } })
        })
        .collect()
}

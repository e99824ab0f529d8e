//! Naming a data set by looking at it.

use std::fs;

use finegrain_native::data::detect::{Layout, detect};
use finegrain_native::data::reid::ReidKind;
use finegrain_native::data::{Dataset, DatasetKind};

use crate::trees::{self, ALL, files, grow, is_photo, photos, put};

#[test]
fn recipes_and_the_command_line_use_the_same_names() {
    fn same<K: clap::ValueEnum + serde::Serialize + Copy>(kinds: &[K], key: fn(K) -> &'static str) {
        assert_eq!(kinds.len(), K::value_variants().len());
        for kind in kinds {
            assert_eq!(kind.to_possible_value().unwrap().get_name(), key(*kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), key(*kind));
        }
    }
    same(&DatasetKind::ALL, DatasetKind::key);
    same(&ReidKind::ALL, ReidKind::key);
}

#[test]
fn every_layout_is_recognised() {
    for (name, layouts, tree) in ALL {
        assert_eq!(detect(grow(tree).path()).unwrap(), layouts, "{name}");
    }
    let found = |tree: trees::Tree| detect(grow(tree).path()).unwrap();
    assert_eq!(found(trees::msmt17_v1), [Layout::Identities(ReidKind::Msmt17V1)]);
    assert_eq!(found(trees::msmt17_v2), [Layout::Identities(ReidKind::Msmt17V2)]);
}

#[test]
fn a_data_set_with_one_file_missing_is_still_recognised() {
    for (name, layouts, tree) in ALL {
        let folder = grow(tree);
        for file in files(folder.path()).into_iter().filter(|file| !is_photo(file) && !file.ends_with("hierarchy.txt"))
        {
            let path = folder.path().join(file);
            let content = fs::read(&path).unwrap();
            fs::remove_file(&path).unwrap();
            assert_eq!(detect(folder.path()).unwrap(), layouts, "{name} without {}", path.display());
            fs::write(path, content).unwrap();
        }
    }
}

#[test]
fn several_data_sets_in_one_folder_are_refused() {
    let folder = grow(trees::cub);
    trees::cars(folder.path());
    let error = detect(folder.path()).unwrap_err().to_string();
    assert!(error.contains("parts of several data sets: CUB-200-2011, Stanford Cars"), "{error}");
    // Reading one of them by name is still possible.
    Dataset::open(DatasetKind::Cub, folder.path()).unwrap();
}

#[test]
fn a_folder_above_the_data_set_says_which_to_name() {
    let folder = tempfile::tempdir().unwrap();
    trees::cub(&folder.path().join("CUB_200_2011"));
    let inner = folder.path().join("CUB_200_2011").display().to_string();
    for error in [
        detect(folder.path()).unwrap_err().to_string(),
        Dataset::open(DatasetKind::Cub, folder.path()).unwrap_err().to_string(),
    ] {
        assert!(error.contains(&inner) && error.contains("CUB-200-2011"), "{error}");
    }
}

#[test]
fn what_is_no_data_set_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    photos(folder.path(), &["a.jpg", "holidays/b.jpg"]);
    let error = detect(folder.path()).unwrap_err().to_string();
    assert!(error.contains("no data set that is known") && error.contains("VeRi-776"), "{error}");
    let error = detect(&folder.path().join("nowhere")).unwrap_err().to_string();
    assert!(error.contains("cannot read") && error.contains("nowhere"), "{error}");
    put(&folder.path().join("file"), b"");
    assert!(detect(&folder.path().join("file")).unwrap_err().to_string().contains("cannot read"));
}

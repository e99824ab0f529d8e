//! What holds for every layout.

use std::fs;
use std::path::Path;

use finegrain_native::data::check::inspect;
use finegrain_native::data::detect::Layout::{self, Classes, Identities};
use finegrain_native::data::reid::{ReidDataset, ReidKind};
use finegrain_native::data::{DataError, Dataset, DatasetKind};

use crate::trees::{ALL, files, grow, is_photo};

fn open(layout: Layout, dir: &Path) -> Result<(), DataError> {
    match layout {
        Classes(kind) => Dataset::open(kind, dir).map(drop),
        Identities(kind) => ReidDataset::open(kind, dir).map(drop),
    }
}

#[test]
fn a_missing_list_is_named() {
    for (name, layouts, tree) in ALL {
        let folder = grow(tree);
        for list in files(folder.path()).into_iter().filter(|file| !is_photo(file)) {
            let (path, file_name) = (folder.path().join(&list), list.file_name().unwrap().to_str().unwrap());
            // Not needed: what the split of the papers does not use.
            if ["Thumbs.db", "images_variant_train.txt", "images_variant_val.txt"].contains(&file_name) {
                continue;
            }
            let content = fs::read(&path).unwrap();
            fs::remove_file(&path).unwrap();
            for layout in layouts {
                let error = open(*layout, folder.path()).unwrap_err().to_string();
                // Without its tree NABirds looks like CUB.
                let named = error.contains(file_name) || file_name == "hierarchy.txt" && error.contains("CUB-200-2011");
                assert!(named, "{name} without {file_name}: {error}");
            }
            fs::write(path, content).unwrap();
        }
    }
}

#[test]
fn a_list_that_was_cut_off_is_refused_or_read_but_never_a_crash() {
    for (_, layouts, tree) in ALL {
        let folder = grow(tree);
        for list in files(folder.path()).into_iter().filter(|file| !is_photo(file)) {
            let path = folder.path().join(&list);
            let content = fs::read(&path).unwrap();
            // The reader of MATLAB files has a test of its own that cuts everywhere.
            let step = if list.extension().is_some_and(|extension| extension == "mat") { 29 } else { 3 };
            for end in (0..content.len()).step_by(step) {
                fs::write(&path, &content[..end]).unwrap();
                for layout in layouts {
                    if let Err(error) = open(*layout, folder.path()) {
                        assert!(!error.to_string().contains('\n'), "one sentence");
                    }
                }
            }
            fs::write(path, content).unwrap();
        }
    }
}

#[test]
fn a_data_set_is_refused_under_another_name() {
    let kinds = DatasetKind::ALL.map(Classes).into_iter().chain(ReidKind::ALL.map(Identities));
    let kinds: Vec<Layout> = kinds.collect();
    for (name, layouts, tree) in ALL {
        let folder = grow(tree);
        for kind in &kinds {
            // One folder per class is what these are, whatever else they are.
            let also_folders = ["msmt17"].contains(&name) && *kind == Classes(DatasetKind::Folder);
            let opened = open(*kind, folder.path());
            assert_eq!(opened.is_ok(), layouts.contains(kind) || also_folders, "{name} as {}: {opened:?}", kind.name());
            if let Err(error) = opened {
                let error = error.to_string();
                assert!(
                    error.contains("holds") || error.contains("another data set"),
                    "{name} as {}: {error}",
                    kind.name()
                );
            }
        }
    }
}

#[test]
fn a_photo_that_is_gone_is_missing_where_lists_name_it() {
    for (name, _, tree) in ALL {
        let folder = grow(tree);
        let listed = !["cars in folders", "folder", "market", "duke", "veri", "cuhk03"].contains(&name);
        let before = inspect(folder.path()).unwrap();
        assert!(before.is_sound(), "{name}: {before:?}");
        for photo in files(folder.path()).into_iter().filter(|file| is_photo(file)) {
            let path = folder.path().join(photo);
            let content = fs::read(&path).unwrap();
            fs::remove_file(&path).unwrap();
            let report = inspect(folder.path()).unwrap();
            let missing = if listed { vec![path.clone()] } else { Vec::new() };
            assert_eq!(report.missing, missing, "{name}");
            assert!(!listed || !report.is_sound());
            fs::write(path, content).unwrap();
        }
    }
}

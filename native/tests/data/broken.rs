//! Photos that cannot be decoded.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use finegrain_native::data::reid::{Identity, ReidDataset, ReidKind, ReidSample};
use finegrain_native::data::{Dataset, DatasetKind, find_broken};

use crate::trees::{self, grow, jpeg, put};

#[test]
fn broken_photos_are_named_and_left_out() {
    let folder = grow(trees::aircraft);
    let images = folder.path().join("data/images");
    fs::write(images.join("0056978.jpg"), &jpeg()[..jpeg().len() / 2]).unwrap();
    fs::write(images.join("0062765.jpg"), "no photo").unwrap();
    fs::remove_file(images.join("1514523.jpg")).unwrap();
    let mut data = Dataset::open(DatasetKind::Aircraft, folder.path()).unwrap();
    let whole = data.clone();
    data.held_out.push(data.train.remove(1));
    let count = AtomicUsize::new(0);
    let watch = || {
        count.fetch_add(1, Ordering::Relaxed);
    };
    let broken = data.without_broken(&AtomicBool::new(false), &watch);
    assert_eq!(count.into_inner(), 5, "each photo was looked at");
    let said =
        [("0062765.jpg", "not a photo in a known format"), ("0056978.jpg", "cut off"), ("1514523.jpg", "no such file")];
    assert_eq!(broken.len(), said.len(), "{broken:?}");
    for (photo, (name, words)) in broken.iter().zip(said) {
        assert!(photo.path.ends_with(name) && photo.reason.contains(name) && photo.reason.contains(words), "{photo:?}");
    }
    assert_eq!((data.held_out.len(), data.test.len()), (0, 0));
    assert_eq!(data.train, [whole.train[0].clone(), whole.train[3].clone()]);
    assert_eq!(data.labels, whole.labels);
}

#[test]
fn an_identity_without_photos_is_none() {
    let folder = grow(trees::market);
    for name in ["0002_c1s1_000451_03.jpg", "0002_c6s1_1_00.jpg"] {
        put(&folder.path().join("bounding_box_train").join(name), b"nonsense");
    }
    let mut data = ReidDataset::open(ReidKind::Market1501, folder.path()).unwrap();
    let whole = data.clone();
    assert_eq!(data.without_broken(&AtomicBool::new(false), &|| ()).len(), 2);
    assert_eq!(data.identities, ["0007"]);
    assert_eq!(data.train, [ReidSample { identity: Identity::Known(0), ..whole.train[2].clone() }]);
    assert_eq!((data.query, data.gallery), (whole.query, whole.gallery));
}

#[test]
fn nothing_is_left_out_of_a_good_data_set_or_when_stopped() {
    let folder = grow(trees::cub);
    let mut data = Dataset::open(DatasetKind::Cub, folder.path()).unwrap();
    let whole = data.clone();
    assert_eq!(data.without_broken(&AtomicBool::new(false), &|| ()), []);
    assert_eq!(data, whole);
    put(&data.train[0].path, b"");
    assert_eq!(data.without_broken(&AtomicBool::new(true), &|| ()), []);
    assert_eq!(data, whole);
}

#[test]
fn a_jpeg_cut_anywhere_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let cuts: Vec<_> =
        (0..jpeg().len() - 2).step_by(7).map(|end| (folder.path().join(format!("{end}.jpg")), end)).collect();
    for (path, end) in &cuts {
        fs::write(path, &jpeg()[..*end]).unwrap();
    }
    let good = folder.path().join("good.jpg");
    fs::write(&good, jpeg()).unwrap();
    let mut paths: Vec<&Path> = cuts.iter().map(|(path, _)| path.as_path()).collect();
    paths.push(&good);
    let broken = find_broken(&paths, &AtomicBool::new(false), &|| ());
    assert_eq!(broken.iter().map(|photo| photo.path.as_path()).collect::<Vec<_>>(), paths[..cuts.len()]);
    assert!(broken.iter().all(|photo| !photo.reason.contains('\n')));
}

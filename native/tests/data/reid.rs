//! Re-identification data sets: identities, cameras, distractors, junk, and photos that are in the wrong folder.

use std::fs;
use std::path::Path;

use finegrain_native::data::reid::{Identity, ReidDataset, ReidKind, ReidSample};

use crate::trees::{self, Tree, grow, photos, put};

fn refused(kind: ReidKind, tree: Tree, change: impl FnOnce(&Path)) -> String {
    let folder = grow(tree);
    change(folder.path());
    ReidDataset::open(kind, folder.path()).unwrap_err().to_string()
}

/// Identity (none for a distractor) and camera.
fn of(samples: &[ReidSample]) -> Vec<(Option<usize>, usize)> {
    samples.iter().map(|sample| (sample.identity.known(), sample.camera)).collect()
}

#[test]
fn market() {
    let folder = grow(trees::market);
    let data = ReidDataset::open(ReidKind::Market1501, folder.path()).unwrap();
    assert_eq!(data.identities, ["0002", "0007"]);
    assert_eq!(of(&data.train), [(Some(0), 1), (Some(0), 6), (Some(1), 3)]);
    assert_eq!(of(&data.query), [(Some(1), 1)], "the official number, not a label");
    assert_eq!(of(&data.gallery), [(None, 2), (Some(1), 2)], "-1 is left out, 0000 a distractor");
    assert_eq!(data.junk, 1);
    assert_eq!(data.gallery[1].path, folder.path().join("bounding_box_test/0001_c2s1_001976_01.jpg"));
    data.check_trainable().unwrap();
}

#[test]
fn a_distractor_matches_nobody() {
    let (one, two, nobody) = (Identity::Known(0), Identity::Known(2), Identity::Distractor);
    assert!(one.matches(one) && !one.matches(two));
    assert!(!one.matches(nobody) && !nobody.matches(one) && !nobody.matches(nobody));
}

#[test]
fn photos_in_the_wrong_folder_are_named() {
    for (photo, words) in [
        ("bounding_box_train/0001_c2_f0046182.jpg", "expected a name like 0002_c1s1_000451_03.jpg"),
        ("bounding_box_test/holiday.jpg", "is not named like a photo of Market-1501"),
        ("bounding_box_train/-1_c1s1_000401_03.jpg", "identity -1 belongs to the gallery alone"),
        ("bounding_box_train/0000_c1s1_000401_03.jpg", "identity 0000 belongs to the gallery alone"),
        ("query/0000_c1s1_000401_03.jpg", "identity 0000 belongs to the gallery alone"),
        ("query/0001_c7s1_000401_03.jpg", "camera 7 is not one of 1 to 6"),
        ("query/0001_c0s1_000401_03.jpg", "camera 0 is not one of 1 to 6"),
    ] {
        let error = refused(ReidKind::Market1501, trees::market, |dir| photos(dir, &[photo]));
        assert!(error.contains(words) && error.contains(photo), "{error}");
    }
    let error = refused(ReidKind::DukeMtmc, trees::market, |_| ());
    assert!(error.contains("DukeMTMC-reID") && error.contains("0001_c2_f0046182.jpg"), "{error}");
    let error = refused(ReidKind::Market1501, trees::market, |dir| fs::remove_dir_all(dir.join("query")).unwrap());
    assert!(error.contains("query") && error.contains("Market-1501"), "{error}");
}

#[test]
fn duke() {
    let folder = grow(trees::duke);
    let data = ReidDataset::open(ReidKind::DukeMtmc, folder.path()).unwrap();
    assert_eq!(data.identities, ["0001", "0008"]);
    assert_eq!(of(&data.train), [(Some(0), 2), (Some(1), 8)]);
    assert_eq!((of(&data.query), of(&data.gallery)), (vec![(Some(5), 2)], vec![(Some(5), 5), (Some(3761), 6)]));
}

#[test]
fn veri() {
    let folder = grow(trees::veri);
    let data = ReidDataset::open(ReidKind::Veri776, folder.path()).unwrap();
    assert_eq!(of(&data.train), [(Some(0), 1), (Some(1), 20)], "cameras have three digits");
    assert_eq!((of(&data.query), of(&data.gallery)), (vec![(Some(2), 2)], vec![(Some(2), 3), (Some(2), 16)]));
    let error = refused(ReidKind::Veri776, trees::veri, |dir| photos(dir, &["image_test/0002_c1s1_000451_03.jpg"]));
    assert!(error.contains("0001_c001_00016450_0.jpg"), "{error}");
}

#[test]
fn cuhk03_has_two_halves() {
    let folder = grow(trees::cuhk03);
    for (kind, half) in [(ReidKind::Cuhk03Labeled, "labeled"), (ReidKind::Cuhk03Detected, "detected")] {
        let data = ReidDataset::open(kind, folder.path()).unwrap();
        assert_eq!(data.identities, ["0001", "0004"]);
        assert_eq!(of(&data.train), [(Some(0), 1), (Some(0), 2), (Some(1), 1)]);
        assert_eq!((of(&data.query), of(&data.gallery)), (vec![(Some(2), 1)], vec![(Some(2), 2)]));
        assert!(data.query[0].path.starts_with(folder.path().join(half)));
    }
    let error =
        refused(ReidKind::Cuhk03Detected, trees::cuhk03, |dir| fs::remove_dir_all(dir.join("detected")).unwrap());
    assert!(error.contains("holds CUHK03-NP labeled (kind \"cuhk03-labeled\"), not CUHK03-NP detected"), "{error}");
}

#[test]
fn msmt17_in_both_versions() {
    for (kind, tree, folder_of_test) in
        [(ReidKind::Msmt17V1, trees::msmt17_v1 as Tree, "test"), (ReidKind::Msmt17V2, trees::msmt17_v2, "mask_test_v2")]
    {
        let folder = grow(tree);
        let data = ReidDataset::open(kind, folder.path()).unwrap();
        assert_eq!(data.identities, ["0000", "0003"], "training and validation lists together");
        assert_eq!(of(&data.train), [(Some(0), 1), (Some(1), 15)]);
        assert_eq!(
            (of(&data.query), of(&data.gallery)),
            (vec![(Some(0), 5)], vec![(Some(0), 7)]),
            "0000 is a person here"
        );
        assert!(data.query[0].path.starts_with(folder.path().join(folder_of_test)));
    }
    let error = refused(ReidKind::Msmt17V2, trees::msmt17_v1, |_| ());
    assert!(error.contains("holds MSMT17 V1 (kind \"msmt17-v1\"), not MSMT17 V2"), "{error}");
}

#[test]
fn broken_lists_of_msmt17_are_named_with_their_line() {
    let good = "0000/0000_000_05_0303morning_0020_0.jpg 0\n";
    for (line, words) in [
        ("0001/0001_000_16_a_0_0.jpg 1", "line 2: camera 16 is not one of 1 to 15"),
        ("0001/0001_000.jpg 1", "line 2: \"0001_000.jpg\" has no camera as its third field"),
        ("0001/0001_000_01_a_0_0.jpg one", "line 2: identity \"one\" is no number"),
        ("0001/0001_000_01_a_0_0.jpg", "line 2: expected \"key value\""),
        ("../0001_000_01_a_0_0.jpg 1", "line 2: \"../0001_000_01_a_0_0.jpg\" is not the name of a photo"),
        (good.trim(), "listed twice"),
    ] {
        let error = refused(ReidKind::Msmt17V1, trees::msmt17_v1, |dir| {
            put(&dir.join("list_query.txt"), format!("{good}{line}\n"));
        });
        assert!(error.contains(words) && error.contains("list_query.txt"), "{error}");
    }
}

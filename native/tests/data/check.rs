//! What a check finds.

use std::sync::atomic::AtomicBool;

use finegrain_native::data::check::{Report, inspect};

use crate::trees::{self, Tree, grow, photos, put};

fn report(tree: Tree, change: impl FnOnce(&std::path::Path)) -> Report {
    let folder = grow(tree);
    change(folder.path());
    inspect(folder.path()).unwrap()
}

/// Photos and classes of each split, as they are and as they should be.
type Counts = Vec<(&'static str, usize, Option<usize>, usize, Option<usize>)>;

fn counts(report: &Report, part: usize) -> Counts {
    let splits = report.parts[part].splits.iter();
    splits.map(|s| (s.split, s.photos, s.official_photos, s.classes, s.official_classes)).collect()
}

#[test]
fn counts_stand_beside_the_official_ones() {
    let found = report(trees::cub, |_| ());
    assert_eq!(counts(&found, 0), [("train", 2, Some(5994), 2, Some(200)), ("test", 1, Some(5794), 1, Some(200))]);
    assert_eq!((found.parts[0].dataset, found.parts[0].kind, found.parts[0].unit), ("CUB-200-2011", "cub", "classes"));
    assert!(found.is_sound() && found.parts[0].is_partial());

    let found = report(trees::market, |_| ());
    assert_eq!(
        counts(&found, 0),
        [
            ("train", 3, Some(12_936), 2, Some(751)),
            ("query", 1, Some(3_368), 1, Some(750)),
            ("gallery", 2, Some(15_913), 1, Some(750)),
        ],
        "a distractor is a photo but nobody, junk is neither"
    );
    assert_eq!((found.parts[0].junk, found.photos(), found.is_sound()), (1, 6, true));

    let found = report(trees::folder, |_| ());
    assert_eq!(counts(&found, 0), [("train", 2, None, 2, None), ("test", 1, None, 1, None)]);
    assert!(!found.parts[0].is_partial(), "nobody counts one's own folders");

    let found = report(trees::cuhk03, |_| ());
    assert_eq!(found.parts.iter().map(|part| part.kind).collect::<Vec<_>>(), ["cuhk03-labeled", "cuhk03-detected"]);
    assert_eq!(counts(&found, 1)[0], ("train", 3, Some(7_365), 2, Some(767)));
    assert_eq!(found.photos(), 10);
}

#[test]
fn classes_without_training_photos_are_named() {
    let found = report(trees::cub, |dir| put(&dir.join("train_test_split.txt"), "1 1\n2 0\n3 0\n"));
    assert_eq!(found.parts[0].empty_classes, ["Groove billed Ani"]);
    assert!(!found.is_sound());
    let found = report(trees::folder, |dir| photos(dir, &["test/tulip/x.jpg"]));
    assert_eq!(found.parts[0].empty_classes, ["tulip"]);
    let found = report(trees::folder, |dir| std::fs::remove_dir_all(dir.join("train/red_rose")).unwrap());
    assert!(found.parts[0].untrainable.as_ref().unwrap().contains("at least 2 are needed") && !found.is_sound());
}

#[test]
fn training_and_test_must_not_share() {
    let found = report(trees::cub, |dir| {
        let list =
            "1 001.Black_footed_Albatross/a.jpg\n2 002.Groove_billed_Ani/b c.jpg\n3 001.Black_footed_Albatross/a.jpg\n";
        put(&dir.join("images.txt"), list);
    });
    assert_eq!(found.repeated.len(), 1);
    assert!(found.repeated[0].ends_with("a.jpg") && !found.is_sound());

    let found = report(trees::market, |dir| photos(dir, &["bounding_box_train/0001_c1s1_000001_00.jpg"]));
    assert_eq!(found.parts[0].shared_identities, ["0001"]);
    assert!(!found.is_sound());
    // MSMT17 numbers its test people from 0 again.
    assert!(report(trees::msmt17_v1, |_| ()).is_sound());
}

#[test]
fn decoding_names_broken_photos_once() {
    let mut found = report(trees::dogs, |_| ());
    found.decode(&AtomicBool::new(false), &|| ());
    // The tree is gone by now: every photo that was there is broken.
    assert_eq!((found.decoded, found.broken.len(), found.is_sound()), (Some(3), 3, false));

    let folder = grow(trees::dogs);
    put(&folder.path().join("Images/n02085620-Chihuahua/n02085620_2650.jpg"), b"\xff\xd8 nonsense");
    let mut found = inspect(folder.path()).unwrap();
    assert!(found.is_sound(), "not opened yet");
    found.decode(&AtomicBool::new(false), &|| ());
    assert_eq!((found.decoded, found.broken.len(), found.is_sound()), (Some(3), 1, false));
    assert!(found.broken[0].path.ends_with("n02085620_2650.jpg"));
}

//! Data sets with classes: what is read from each layout, and what is said of lists that are not as documented.

use std::fs;
use std::path::Path;

use finegrain_native::data::{Dataset, DatasetKind, Sample};

use crate::trees::{self, Tree, grow, put};
use crate::write;

/// The sentence that refuses a tree after a change.
fn refused(kind: DatasetKind, tree: Tree, change: impl FnOnce(&Path)) -> String {
    let folder = grow(tree);
    change(folder.path());
    Dataset::open(kind, folder.path()).unwrap_err().to_string()
}

fn of(samples: &[Sample]) -> Vec<(&str, usize)> {
    samples.iter().map(|sample| (sample.path.file_name().unwrap().to_str().unwrap(), sample.class)).collect()
}

#[test]
fn cub() {
    let folder = grow(trees::cub);
    let data = Dataset::open(DatasetKind::Cub, folder.path()).unwrap();
    assert_eq!(data.labels, ["Black footed Albatross", "Groove billed Ani"]);
    assert_eq!(of(&data.train), [("a.jpg", 0), ("b c.jpg", 1)]);
    assert_eq!(data.train[1].path, folder.path().join("images/002.Groove_billed_Ani/b c.jpg"));
    assert_eq!(of(&data.test), [("d.jpg", 0)]);
    assert_eq!(data.hierarchy, None);
    data.check_trainable().unwrap();
}

#[test]
fn broken_lists_of_cub_are_named_with_their_line() {
    for (file, text, words) in [
        ("classes.txt", "1 001.One\n\nnonsense\n", r#"line 3: expected "key value""#),
        ("classes.txt", "1 001.One\n1 002.Two\n", "line 2: \"1\" is listed twice"),
        ("image_class_labels.txt", "1 1\n2 9\n3 1\n", "line 2: no class \"9\""),
        ("train_test_split.txt", "1 1\n2 yes\n3 0\n", "line 2: expected 0 or 1"),
        ("train_test_split.txt", "1 1\n3 0\n", "image 2 is missing from train_test_split.txt"),
        ("images.txt", "x y\n", "line 1: image x is missing from image_class_labels.txt"),
        ("images.txt", "1 ../../secret.jpg\n", "line 1: \"../../secret.jpg\" is not the name of a photo"),
        ("images.txt", "1 /etc/passwd\n", "is not the name of a photo"),
        ("images.txt", "1 a.jpg\n2 b.jpg\n1 c.jpg\n", "line 3: \"1\" is listed twice"),
    ] {
        let error = refused(DatasetKind::Cub, trees::cub, |dir| put(&dir.join(file), text));
        assert!(error.contains(words), "{file}: {error}");
    }
    let gone = refused(DatasetKind::Cub, trees::cub, |dir| fs::remove_file(dir.join("images.txt")).unwrap());
    assert!(gone.contains("images.txt") && gone.contains("CUB-200-2011"), "{gone}");
}

#[test]
fn lists_with_windows_line_ends_and_a_byte_order_mark_are_read() {
    let folder = grow(trees::cub);
    let list = fs::read_to_string(folder.path().join("images.txt")).unwrap();
    let before = Dataset::open(DatasetKind::Cub, folder.path()).unwrap();
    put(&folder.path().join("images.txt"), format!("\u{feff}{}", list.replace('\n', "\r\n")));
    assert_eq!(Dataset::open(DatasetKind::Cub, folder.path()).unwrap(), before);
}

#[test]
fn nabirds_has_classes_with_gaps_and_a_tree_above_them() {
    let folder = grow(trees::nabirds);
    let data = Dataset::open(DatasetKind::NaBirds, folder.path()).unwrap();
    assert_eq!(data.labels, ["Tundra Swan", "Common Eider (Adult male)"]);
    assert_eq!((of(&data.train), of(&data.test)), (vec![("a.jpg", 0), ("b.jpg", 1)], vec![("c.jpg", 1)]));
    let tree = data.hierarchy.unwrap();
    assert_eq!(tree.ancestors(1).collect::<Vec<_>>(), ["Ducks, Geese, and Swans", "Birds"]);
    assert_eq!(tree.names[tree.of_class[0]], "Tundra Swan");
    assert_eq!(tree.ancestors(2).count(), 0);

    for (text, words) in [
        ("1 0\n3 1\n4 7\n", "line 3: \"7\" is missing from classes.txt"),
        ("1 0\n3 1\n4 4\n", "line 3: \"4\" is its own ancestor"),
        ("1 3\n3 1\n", "is its own ancestor"),
    ] {
        let error = refused(DatasetKind::NaBirds, trees::nabirds, |dir| put(&dir.join("hierarchy.txt"), text));
        assert!(error.contains(words) && error.contains("hierarchy.txt"), "{error}");
    }
    let error = refused(DatasetKind::NaBirds, trees::nabirds, |dir| {
        put(&dir.join("image_class_labels.txt"), "0000139e-21dc 12\n");
    });
    assert!(error.contains("no class \"12\""), "{error}");
}

#[test]
fn aircraft_has_names_with_spaces_and_a_banner() {
    let folder = grow(trees::aircraft);
    let data = Dataset::open(DatasetKind::Aircraft, folder.path()).unwrap();
    assert_eq!(data.labels, ["707-320", "DC-9-30", "F/A-18", "Model B200"]);
    assert_eq!(
        of(&data.train),
        [("1025794.jpg", 0), ("0056978.jpg", 3), ("0062765.jpg", 1), ("1514522.jpg", 2)],
        "training and validation photos together"
    );
    assert_eq!(of(&data.test), [("1514523.jpg", 3)]);
    assert!(data.train.iter().chain(&data.test).all(|sample| sample.crop_bottom == 20));
    // The photos are 12 x 30.
    let photo = data.test[0].photo().unwrap();
    let whole = Sample { crop_bottom: 0, ..data.test[0].clone() }.photo().unwrap();
    assert_eq!((photo.width(), photo.height()), (12, 10));
    assert_eq!(photo.rgb(), &whole.rgb()[..12 * 10 * 3], "the upper rows");
    let low = Sample { crop_bottom: 30, ..data.test[0].clone() }.photo().unwrap();
    assert_eq!(low.height(), 30, "a photo that is all banner has none");

    assert_eq!(
        Dataset::open(DatasetKind::Aircraft, &folder.path().join("data")).unwrap(),
        data,
        "the folder may be named with or without data/"
    );
    let error = refused(DatasetKind::Aircraft, trees::aircraft, |dir| {
        put(&dir.join("data/images_variant_test.txt"), "1514523 Model B200\n1 Model C\n");
    });
    assert!(error.contains("line 2: no variant \"Model C\""), "{error}");
}

#[test]
fn dogs_are_read_from_matlab_lists() {
    let folder = grow(trees::dogs);
    let data = Dataset::open(DatasetKind::Dogs, folder.path()).unwrap();
    assert_eq!(data.labels, ["Chihuahua", "Japanese spaniel"]);
    assert_eq!(of(&data.train), [("n02085620_5927.jpg", 0), ("n02085782_1.jpg", 1)]);
    assert_eq!(data.test[0].path, folder.path().join("Images/n02085620-Chihuahua/n02085620_2650.jpg"));

    fs::create_dir(folder.path().join("lists")).unwrap();
    for name in ["train_list.mat", "test_list.mat"] {
        fs::rename(folder.path().join(name), folder.path().join("lists").join(name)).unwrap();
    }
    assert_eq!(Dataset::open(DatasetKind::Dogs, folder.path()).unwrap(), data, "the lists may lie in lists/");
}

#[test]
fn dogs_of_a_subset_have_no_empty_classes() {
    let folder = grow(trees::dogs);
    put(&folder.path().join("train_list.mat"), write::dogs(&[("n1-One/a.jpg", 7), ("n2-Two/b.jpg", 120)]));
    put(&folder.path().join("test_list.mat"), write::dogs(&[("n2-Two/c.jpg", 120)]));
    let data = Dataset::open(DatasetKind::Dogs, folder.path()).unwrap();
    assert_eq!((data.labels.as_slice(), data.test[0].class), (["One".into(), "Two".into()].as_slice(), 1));
    data.check_trainable().unwrap();
}

#[test]
fn broken_lists_of_dogs_are_named() {
    let cut =
        write::file(&[write::cells("file_list", &[write::text("n1-One/a.jpg")]), write::numbers("labels", &[])], true);
    for (list, words) in [
        (write::dogs(&[("n1-One/a.jpg", 1), ("n2-Two/b.jpg", 0)]), "entry 2: label 0 is not a whole number from 1"),
        (
            write::dogs(&[("n1-One/a.jpg", 1), ("n2-Two/b.jpg", 1)]),
            "entry 2: label 1 is \"n2-Two\" here and \"n1-One\"",
        ),
        (write::dogs(&[("a.jpg", 1)]), "entry 1: \"a.jpg\" lies in no breed's folder"),
        (write::dogs(&[("n1-One/../../a.jpg", 1)]), "entry 1: it is not the name of a photo"),
        (cut, "it names 1 photos and gives 0 labels"),
        (write::file(&[write::cells("file_list", &[])], false), "no array \"labels\""),
        (write::annotations(&[(1, "a.jpg")]), "no cell array \"file_list\""),
    ] {
        let error = refused(DatasetKind::Dogs, trees::dogs, |dir| put(&dir.join("train_list.mat"), list));
        assert!(error.contains(words) && error.contains("train_list.mat"), "{error}");
    }
}

#[test]
fn cars_with_the_test_list_in_either_place() {
    for tree in [trees::cars, trees::cars_above] {
        let folder = grow(tree);
        let data = Dataset::open(DatasetKind::Cars, folder.path()).unwrap();
        assert_eq!(data.labels, ["AM General Hummer SUV 2000", "Acura RL Sedan 2012"]);
        assert_eq!(of(&data.train), [("00001.jpg", 1), ("00002.jpg", 0)]);
        assert_eq!(data.test[0].path, folder.path().join("cars_test/00001.jpg"));
        // As some archives unpack.
        fs::create_dir(folder.path().join("cars_test/cars_test")).unwrap();
        let data = Dataset::open(DatasetKind::Cars, folder.path()).unwrap();
        assert_eq!(data.test[0].path, folder.path().join("cars_test/cars_test/00001.jpg"));
    }
}

#[test]
fn cars_in_one_folder_per_class_have_the_official_names() {
    let folder = grow(trees::cars_folders);
    let data = Dataset::open(DatasetKind::Cars, folder.path()).unwrap();
    assert_eq!(data.labels, ["AM General Hummer SUV 2000", "Ram C/V Cargo Van Minivan 2012"]);
    assert_eq!((of(&data.train), of(&data.test)), (vec![("00001.jpg", 0), ("00002.jpg", 1)], vec![("00003.jpg", 1)]));
    assert_eq!(Dataset::open(DatasetKind::Cars, &folder.path().join("car_data")).unwrap(), data);
}

#[test]
fn broken_annotations_of_cars_are_named() {
    for (list, words) in [
        (write::annotations(&[(1, "00001.jpg"), (7, "00002.jpg")]), "annotation 2: class 7 is not one of 1 to 2"),
        (write::annotations(&[(0, "00001.jpg")]), "annotation 1: class 0 is not one of 1 to 2"),
        (write::annotations(&[(1, "../00001.jpg")]), "annotation 1: it has no file name"),
        (write::file(&[write::cells("other", &[])], false), "no variable \"annotations\""),
        (b"MATLAB 7.3".to_vec(), "not a readable MATLAB 5 file"),
    ] {
        let error =
            refused(DatasetKind::Cars, trees::cars_above, |dir| put(&dir.join("devkit/cars_train_annos.mat"), list));
        assert!(error.contains(words) && error.contains("cars_train_annos.mat"), "{error}");
    }
}

#[test]
fn folders_that_could_not_be_named_are_told() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a_b", "a b", "c"] {
        fs::create_dir_all(folder.path().join("train").join(name)).unwrap();
        fs::write(folder.path().join("train").join(name).join("1.png"), "").unwrap();
    }
    let trainable = || Dataset::open(DatasetKind::Folder, folder.path()).and_then(|data| data.check_trainable());
    let said = trainable().unwrap_err().to_string();
    assert!(said.contains("two classes have the name \"a b\""), "{said}");
    fs::rename(folder.path().join("train/a b"), folder.path().join("train/ ")).unwrap();
    let said = trainable().unwrap_err().to_string();
    assert!(said.contains("a class has no name"), "{said}");
    fs::remove_dir_all(folder.path().join("train/ ")).unwrap();
    trainable().unwrap();
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::ffi::OsStrExt as _;
        fs::create_dir(folder.path().join("train").join(std::ffi::OsStr::from_bytes(b"\xff\xfe"))).unwrap();
        let said = trainable().unwrap_err().to_string();
        assert!(said.contains("not UTF-8"), "{said}");
    }
}

#[test]
fn one_folder_per_class() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["train/red_rose/b.JPG", "train/red_rose/a.png", "train/iris/c.webp", "test/iris/d.jpeg"];
    for path in names.into_iter().chain(["train/red_rose/notes.txt", "train/iris/._c.jpg", "train/.cache/e.jpg"]) {
        put(&folder.path().join(path), b"");
    }
    let data = Dataset::open(DatasetKind::Folder, folder.path()).unwrap();
    assert_eq!(data.labels, ["iris", "red rose"], "in the order of the names");
    assert_eq!(of(&data.train), [("c.webp", 0), ("a.png", 1), ("b.JPG", 1)]);
    assert_eq!(of(&data.test), [("d.jpeg", 0)]);
    data.check_trainable().unwrap();

    fs::create_dir_all(folder.path().join("test/tulip")).unwrap();
    let data = Dataset::open(DatasetKind::Folder, folder.path()).unwrap();
    assert_eq!(data.empty_classes().collect::<Vec<_>>(), ["tulip"]);
    let error = data.check_trainable().unwrap_err().to_string();
    assert!(error.contains("\"tulip\" has no training photo"), "{error}");
}

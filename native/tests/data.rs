//! Small trees in each official layout, MATLAB files included; the real data sets where they are at hand.
#![cfg(feature = "full")]
#![allow(missing_docs, reason = "tests")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use finegrain_native::data::mat::{self, Value};
use finegrain_native::data::{Dataset, DatasetKind};

/// A MATLAB 5 file, written as the format's document says, for the reader to read.
mod write {
    use super::*;

    pub(super) fn element(kind: u32, data: &[u8]) -> Vec<u8> {
        let mut bytes = [kind.to_le_bytes(), (data.len() as u32).to_le_bytes()].concat();
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    /// Up to four bytes share the tag.
    pub(super) fn small(kind: u16, data: &[u8]) -> Vec<u8> {
        let mut bytes = [kind.to_le_bytes(), (data.len() as u16).to_le_bytes()].concat();
        bytes.extend(data);
        bytes.resize(8, 0);
        bytes
    }

    pub(super) fn array(class: u8, name: &str, dims: [i32; 2], content: &[Vec<u8>]) -> Vec<u8> {
        let mut data = element(6, &[class, 0, 0, 0, 0, 0, 0, 0]);
        data.extend(element(5, &dims.map(i32::to_le_bytes).concat()));
        data.extend(element(1, name.as_bytes()));
        data.extend(content.concat());
        element(14, &data)
    }

    pub(super) fn text(value: &str) -> Vec<u8> {
        array(4, "", [1, value.len() as i32], &[element(16, value.as_bytes())])
    }

    pub(super) fn number(value: u8) -> Vec<u8> {
        array(6, "", [1, 1], &[small(2, &[value])])
    }

    pub(super) fn cells(name: &str, cells: &[Vec<u8>]) -> Vec<u8> {
        array(1, name, [1, cells.len() as i32], cells)
    }

    pub(super) fn records(name: &str, fields: &[&str], records: &[Vec<Vec<u8>>]) -> Vec<u8> {
        let names: Vec<u8> = fields
            .iter()
            .flat_map(|field| {
                let mut bytes = field.as_bytes().to_vec();
                bytes.resize(8, 0);
                bytes
            })
            .collect();
        let mut content = vec![small(5, &8i32.to_le_bytes()), element(1, &names)];
        content.extend(records.iter().map(|record| record.concat()));
        array(2, name, [1, records.len() as i32], &content)
    }

    pub(super) fn file(variables: &[Vec<u8>], compressed: bool) -> Vec<u8> {
        let mut bytes = vec![b' '; 124];
        bytes.extend([0, 1, b'I', b'M']);
        for variable in variables {
            if compressed {
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(variable).unwrap();
                let packed = encoder.finish().unwrap();
                bytes.extend([15u32.to_le_bytes(), (packed.len() as u32).to_le_bytes()].concat());
                bytes.extend(packed);
            } else {
                bytes.extend(variable);
            }
        }
        bytes
    }
}

fn annotations(list: &[(u8, &str)]) -> Vec<u8> {
    let records: Vec<_> = list.iter().map(|(class, name)| vec![write::number(*class), write::text(name)]).collect();
    write::file(&[write::records("annotations", &["class", "fname"], &records)], true)
}

#[test]
fn matlab_files_are_read_compressed_and_not() {
    let doubles: Vec<u8> = [1.5f64, -2.0].map(f64::to_le_bytes).concat();
    let shorts: Vec<u8> = [-300i16, 7, 9].map(i16::to_le_bytes).concat();
    let variables = [
        write::array(6, "doubles", [1, 2], &[write::element(9, &doubles)]),
        write::array(6, "packed", [3, 1], &[write::element(3, &shorts)]),
        write::cells("names", &[write::text("AM General"), write::text("é")]),
        write::records(
            "table",
            &["a", "b"],
            &[vec![write::number(3), write::text("x")], vec![write::number(4), write::text("")]],
        ),
    ];
    let record = |a: f64, b: &str| {
        BTreeMap::from([("a".to_owned(), Value::Numbers(vec![a])), ("b".to_owned(), Value::Text(b.into()))])
    };
    for compressed in [false, true] {
        let read = mat::read(&write::file(&variables, compressed)).unwrap();
        assert_eq!(read["doubles"], Value::Numbers(vec![1.5, -2.0]));
        assert_eq!(read["packed"], Value::Numbers(vec![-300.0, 7.0, 9.0]));
        assert_eq!(read["names"], Value::Cells(vec![Value::Text("AM General".into()), Value::Text("é".into())]));
        assert_eq!(read["table"], Value::Records(vec![record(3.0, "x"), record(4.0, "")]));
    }
}

#[test]
fn damaged_matlab_files_are_refused_wherever_they_are_cut() {
    let file = write::file(&[write::cells("names", &[write::text("one"), write::text("two")])], false);
    for end in 0..file.len() {
        // Cut right after the header it is a file without variables.
        assert!(mat::read(&file[..end]).is_err() || end == 128, "cut at {end}");
    }
    let mut huge = write::array(1, "names", [i32::MAX, i32::MAX], &[]);
    huge = write::file(&[huge], false);
    assert!(mat::read(&huge).unwrap_err().to_string().contains("more elements than it has bytes"));
    let mut nested = write::cells("", &[]);
    for _ in 0..64 {
        nested = write::cells("", &[nested]);
    }
    assert!(mat::read(&write::file(&[nested], true)).unwrap_err().to_string().contains("nested too deeply"));
    let mut big_endian = file.clone();
    big_endian[126..128].copy_from_slice(b"MI");
    assert!(mat::read(&big_endian).unwrap_err().to_string().contains("big-endian"));
}

fn cub(dir: &Path) {
    for (name, text) in [
        ("classes.txt", "1 001.Black_footed_Albatross\n2 002.Groove_billed_Ani\n"),
        (
            "images.txt",
            "1 001.Black_footed_Albatross/a.jpg\n2 002.Groove_billed_Ani/b c.jpg\n3 001.Black_footed_Albatross/d.jpg\n",
        ),
        ("image_class_labels.txt", "1 1\n2 2\n3 1\n"),
        ("train_test_split.txt", "1 1\n2 1\n3 0\n"),
    ] {
        fs::write(dir.join(name), text).unwrap();
    }
}

#[test]
fn the_layout_of_cub() {
    let folder = tempfile::tempdir().unwrap();
    cub(folder.path());
    let data = Dataset::open(DatasetKind::Cub, folder.path()).unwrap();
    assert_eq!(data.labels, ["Black footed Albatross", "Groove billed Ani"]);
    assert_eq!(data.train.iter().map(|s| s.class).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(data.train[1].path, folder.path().join("images/002.Groove_billed_Ani/b c.jpg"));
    assert_eq!(data.test.len(), 1);
    data.check_trainable().unwrap();
}

#[test]
fn broken_lists_of_cub_are_named_with_their_line() {
    for (file, text, words) in [
        ("classes.txt", "1 001.One\n\nnonsense\n", r#"expected "number value""#),
        ("image_class_labels.txt", "1 1\n2 9\n3 1\n", "no class \"9\""),
        ("train_test_split.txt", "1 1\n2 yes\n3 0\n", "expected 0 or 1"),
        ("train_test_split.txt", "1 1\n3 0\n", "image 2 is missing from train_test_split.txt"),
        ("images.txt", "x y\n", "line 1"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        cub(folder.path());
        fs::write(folder.path().join(file), text).unwrap();
        let error = Dataset::open(DatasetKind::Cub, folder.path()).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("line "), "{file}: {error}");
    }
    let folder = tempfile::tempdir().unwrap();
    cub(folder.path());
    fs::remove_file(folder.path().join("images.txt")).unwrap();
    let error = Dataset::open(DatasetKind::Cub, folder.path()).unwrap_err().to_string();
    assert!(error.contains("images.txt") && error.contains("CUB-200-2011"), "{error}");
}

fn cars(dir: &Path, test_list: &str) {
    fs::create_dir_all(dir.join("devkit")).unwrap();
    let names = [write::text("AM General Hummer SUV 2000"), write::text("Acura RL Sedan 2012")];
    fs::write(dir.join("devkit/cars_meta.mat"), write::file(&[write::cells("class_names", &names)], true)).unwrap();
    fs::write(dir.join("devkit/cars_train_annos.mat"), annotations(&[(2, "00001.jpg"), (1, "00002.jpg")])).unwrap();
    fs::write(dir.join(test_list), annotations(&[(1, "00001.jpg")])).unwrap();
}

#[test]
fn the_layout_of_stanford_cars_with_the_test_list_in_either_place() {
    for test_list in ["devkit/cars_test_annos_withlabels.mat", "cars_test_annos_withlabels.mat"] {
        let folder = tempfile::tempdir().unwrap();
        cars(folder.path(), test_list);
        let data = Dataset::open(DatasetKind::Cars, folder.path()).unwrap();
        assert_eq!(data.labels, ["AM General Hummer SUV 2000", "Acura RL Sedan 2012"]);
        assert_eq!(data.train.iter().map(|s| s.class).collect::<Vec<_>>(), [1, 0]);
        assert_eq!(data.test[0].path, folder.path().join("cars_test/00001.jpg"));
    }
}

#[test]
fn broken_annotations_of_cars_are_named() {
    for (list, words) in [
        (annotations(&[(1, "00001.jpg"), (7, "00002.jpg")]), "annotation 2: class 7 is not one of 1 to 2"),
        (annotations(&[(1, "../00001.jpg")]), "annotation 1: it has no file name"),
        (write::file(&[write::cells("other", &[])], false), "no variable \"annotations\""),
        (b"MATLAB 7.3".to_vec(), "not a readable MATLAB 5 file"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        cars(folder.path(), "cars_test_annos_withlabels.mat");
        fs::write(folder.path().join("devkit/cars_train_annos.mat"), list).unwrap();
        let error = Dataset::open(DatasetKind::Cars, folder.path()).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("cars_train_annos.mat"), "{error}");
    }
}

#[test]
fn one_folder_per_class() {
    let folder = tempfile::tempdir().unwrap();
    for path in [
        "train/red_rose/b.JPG",
        "train/red_rose/a.png",
        "train/red_rose/notes.txt",
        "train/iris/c.webp",
        "test/iris/d.jpeg",
    ] {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"").unwrap();
    }
    let data = Dataset::open(DatasetKind::Folder, folder.path()).unwrap();
    assert_eq!(data.labels, ["iris", "red rose"], "in the order of the names");
    let names: Vec<_> = data.train.iter().map(|s| (s.path.file_name().unwrap().to_str().unwrap(), s.class)).collect();
    assert_eq!(names, [("c.webp", 0), ("a.png", 1), ("b.JPG", 1)]);
    assert_eq!((data.test.len(), data.test[0].class), (1, 0));

    fs::create_dir_all(folder.path().join("test/tulip")).unwrap();
    let error = Dataset::open(DatasetKind::Folder, folder.path()).unwrap_err().to_string();
    assert!(error.contains("\"tulip\" has no training photo"), "{error}");
}

/// The folder of the real data sets, where there is one.
fn shared() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    std::env::var_os("FINEGRAIN_DATA").map(PathBuf::from).or_else(|| beside.is_dir().then_some(beside))
}

#[test]
fn the_real_data_sets_have_the_documented_counts() {
    let Some(shared) = shared() else {
        eprintln!("skipped: no data sets (set FINEGRAIN_DATA to their folder)");
        return;
    };
    for (kind, folder, counts, first) in [
        (DatasetKind::Cub, "CUB_200_2011", (100, 2999, 1948), "Black footed Albatross"),
        (DatasetKind::Cars, "stanford_cars", (196, 6280, 932), "AM General Hummer SUV 2000"),
    ] {
        let dir = shared.join(folder);
        if !dir.is_dir() {
            eprintln!("skipped: \"{}\" is not there", dir.display());
            continue;
        }
        let data = Dataset::open(kind, &dir).unwrap();
        assert_eq!((data.labels.len(), data.train.len(), data.test.len()), counts);
        assert_eq!(data.labels[0], first);
        data.check_trainable().unwrap();
        assert!(data.train.iter().chain(&data.test).all(|sample| sample.path.is_file()), "every photo is there");
        let training: std::collections::HashSet<_> = data.train.iter().map(|sample| &sample.path).collect();
        assert!(!data.test.iter().any(|sample| training.contains(&sample.path)), "the splits do not overlap");
    }
}

#[test]
fn held_out_photos_are_a_share_of_each_class() {
    let samples = |class: usize, count: usize| {
        (0..count).map(move |i| finegrain_native::data::Sample { path: format!("{class}/{i}").into(), class })
    };
    let whole = Dataset {
        labels: vec!["a".into(), "b".into(), "c".into()],
        train: samples(0, 40).chain(samples(1, 5)).chain(samples(2, 1)).collect(),
        test: Vec::new(),
    };
    let split = |share: f64, seed: u64| {
        let mut rest = whole.clone();
        let held_out = rest.hold_out(share, seed);
        (rest.train, held_out)
    };
    let (train, held_out) = split(0.1, 3);
    assert_eq!(held_out.iter().filter(|s| s.class == 0).count(), 4);
    assert_eq!(held_out.iter().filter(|s| s.class == 1).count(), 1, "rounded");
    assert!(train.iter().any(|s| s.class == 2), "a class keeps a photo");
    assert_eq!(train.len() + held_out.len(), 46);
    assert!(held_out.iter().all(|s| !train.contains(s)));
    assert_eq!(split(0.1, 3).1, held_out);
    assert_ne!(split(0.1, 4).1, held_out);
    assert_eq!(split(0.0, 3), (whole.train.clone(), Vec::new()));
    assert_eq!(split(0.9, 3).0.iter().filter(|s| s.class == 2).count(), 1);
}

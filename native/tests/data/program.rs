//! `finegrain data check` as a person or a script uses it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::trees::{self, grow, put};

fn check(dir: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_finegrain")).args(["data", "check"]).arg(dir).args(more).output().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

#[test]
fn a_sound_part_of_a_data_set_is_said_to_be_one() {
    let folder = grow(trees::cub);
    let output = check(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(0));
    let text = stdout(&output);
    for words in [
        "CUB-200-2011 (kind \"cub\")",
        "train   2 of 5,994 photos, 2 of 200 classes",
        "test    1 of 5,794 photos, 1 of 200 classes",
        "a part of the official data set: 2 of 200 classes",
        "3 photos decoded: the data set is sound",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn what_is_wrong_is_printed_and_the_status_says_no() {
    let folder = grow(trees::cub);
    fs::remove_file(folder.path().join("images/002.Groove_billed_Ani/b c.jpg")).unwrap();
    put(&folder.path().join("images/001.Black_footed_Albatross/d.jpg"), b"nonsense");
    let output = check(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    assert!(text.contains("missing photos that the lists name (1):\n  ") && text.contains("b c.jpg"), "{text}");
    assert!(
        text.contains("broken photos (1):\n  ") && text.contains("d.jpg\" is not a photo in a known format"),
        "{text}"
    );
    assert!(text.contains("NOT sound"), "{text}");

    let output = check(folder.path(), &["--json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["sound"], &report["partial"], &report["decoded"]), (&false.into(), &true.into(), &2.into()));
    assert!(report["missing"][0].as_str().unwrap().ends_with("b c.jpg"));
    assert!(report["broken"][0]["reason"].as_str().unwrap().contains("d.jpg"));
    assert_eq!(report["parts"][0]["splits"][0]["official_photos"], 5994);
}

#[test]
fn quick_decodes_nothing() {
    let folder = grow(trees::market);
    put(&folder.path().join("query/0001_c1s1_001051_00.jpg"), b"nonsense");
    let output = check(folder.path(), &["--quick", "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&report["sound"], &report["decoded"], &report["parts"][0]["junk"]),
        (&true.into(), &Value::Null, &1.into())
    );
    let output = check(folder.path(), &["--quick"]);
    assert!(stdout(&output).contains("6 photos are there, none was decoded: the data set is sound"));
    assert_eq!(check(folder.path(), &[]).status.code(), Some(1));
}

#[test]
fn what_cannot_be_checked_is_one_sentence() {
    let folder = grow(trees::cars);
    fs::remove_file(folder.path().join("devkit/cars_meta.mat")).unwrap();
    let empty = tempfile::tempdir().unwrap();
    for (dir, words) in [
        (folder.path().to_path_buf(), "cars_meta.mat"),
        (empty.path().to_path_buf(), "no data set that is known"),
        (empty.path().join("nowhere"), "cannot read"),
    ] {
        let output = check(&dir, &["--json"]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len(), error.lines().count()), (Some(1), 0, 1), "{error}");
        assert!(error.starts_with("error: ") && error.contains(words), "{error}");
    }
}

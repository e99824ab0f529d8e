//! `finegrain classify`.

use std::fs;
use std::path::Path;

use finegrain::bundle::Calibration;
use serde_json::Value;

use crate::program::{
    finegrain, has_adapter, json, labels, photo, refusal, stderr, without_adapter, write_bundle, write_bundle_with,
};

fn probabilities(document: &Value, list: &str) -> Vec<(String, f64)> {
    let entries = document[list].as_array().unwrap();
    entries.iter().map(|p| (p["label"].as_str().unwrap().to_owned(), p["probability"].as_f64().unwrap())).collect()
}

#[test]
fn photos_are_named_in_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("b");
    write_bundle(&bundle);
    let photos = [photo("plain.png"), photo("exif_6.jpg"), photo("alpha.png")];
    let mut command = finegrain(["classify", "--backend", "cpu", "--top", "3", "--bundle"]);
    let found = json(command.arg(&bundle).args(&photos));
    let found = found.as_array().unwrap();
    assert_eq!(found.len(), 3);
    for (named, path) in found.iter().zip(&photos) {
        assert_eq!(named["image"].as_str().unwrap(), path.to_str().unwrap());
        for list in ["predictions", "sa", "glca"] {
            let list = probabilities(named, list);
            assert_eq!(list.len(), 3);
            assert!(list.is_sorted_by(|a, b| a.1 >= b.1) && list.iter().all(|(label, _)| labels().contains(label)));
        }
    }
    // The same picture, but for the compression.
    for (a, b) in probabilities(&found[0], "sa").iter().zip(probabilities(&found[1], "sa")) {
        assert!(a.0 == b.0 && (a.1 - b.1).abs() < 2e-2, "{a:?} {b:?}");
    }
}

#[test]
fn both_back_ends_agree() {
    if !has_adapter() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    write_bundle(dir.path());
    let run = |backend: &str| {
        let mut command = finegrain(["classify", "--backend", backend, "--bundle"]);
        json(command.arg(dir.path()).arg(photo("plain.png")))
    };
    let (cpu, webgpu) = (run("cpu"), run("webgpu"));
    for list in ["predictions", "sa", "glca"] {
        let (cpu, webgpu) = (probabilities(&cpu[0], list), probabilities(&webgpu[0], list));
        assert_eq!(cpu.len(), 5);
        for (a, b) in cpu.iter().zip(&webgpu) {
            assert!(a.0 == b.0 && (a.1 - b.1).abs() < 1e-5, "{list}: {a:?} {b:?}");
        }
    }
}

#[test]
fn people_get_lines() {
    let dir = tempfile::tempdir().unwrap();
    write_bundle(dir.path());
    let mut command = finegrain(["classify", "--backend", "cpu", "--bundle"]);
    let output = command.arg(dir.path()).arg(photo("plain.png")).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 6, "{text}");
    assert!(text.contains('%') && labels().iter().all(|label| text.contains(label)), "{text}");
}

#[test]
fn a_calibration_is_applied() {
    let dir = tempfile::tempdir().unwrap();
    let (plain, calibrated) = (dir.path().join("plain"), dir.path().join("calibrated"));
    write_bundle(&plain);
    let run = |bundle: &Path| {
        let mut command = finegrain(["classify", "--backend", "cpu", "--bundle"]);
        json(command.arg(bundle).arg(photo("plain.png")))[0].clone()
    };
    let without = run(&plain);
    assert!(without["calibrated"].is_null() && without["recognised"].is_null());

    // At so high a temperature five classes are all but even: 0.2 each.
    for (threshold, recognised) in [(0.19, true), (0.9, false)] {
        write_bundle_with(&calibrated, Some(Calibration { temperature: 1e4, threshold, photos: 9 }));
        let with = run(&calibrated);
        assert_eq!(with["predictions"], without["predictions"], "what was there stays as it was");
        assert_eq!(with["recognised"], recognised);
        for (_, probability) in probabilities(&with, "calibrated") {
            assert!((probability - 0.2).abs() < 1e-3, "{probability}");
        }
    }
    write_bundle_with(&calibrated, Some(Calibration { temperature: 1.0, threshold: 0.0, photos: 9 }));
    let with = run(&calibrated);
    for (a, b) in probabilities(&with, "calibrated").iter().zip(probabilities(&with, "predictions")) {
        assert!(a.0 == b.0 && (a.1 - b.1).abs() < 1e-6, "{a:?} {b:?}");
    }
}

#[test]
fn people_are_told_what_is_not_recognised() {
    let dir = tempfile::tempdir().unwrap();
    write_bundle_with(dir.path(), Some(Calibration { temperature: 1e4, threshold: 0.9, photos: 9 }));
    let mut command = finegrain(["classify", "--backend", "cpu", "--bundle"]);
    let output = command.arg(dir.path()).arg(photo("plain.png")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("not recognised") && text.matches("20.0 %").count() == 5, "{text}");
}

#[test]
fn bad_photos_get_a_sentence_and_no_result() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("b");
    write_bundle(&bundle);
    let jpeg = fs::read(photo("exif_6.jpg")).unwrap();
    fs::write(dir.path().join("cut.jpg"), &jpeg[..400]).unwrap();
    fs::write(dir.path().join("notes.png"), "words").unwrap();
    fs::write(dir.path().join("empty.png"), "").unwrap();
    for (bad, words) in [
        (dir.path().join("notes.png"), "is not a photo in a known format"),
        (dir.path().join("cut.jpg"), "is cut off"),
        (dir.path().join("empty.png"), "the file is empty"),
        (dir.path().join("none.png"), "there is no such file"),
        (dir.path().to_owned(), "it is a folder"),
        (photo("huge.png"), "12000 x 9000 pixels (108 megapixels), at most 64"),
    ] {
        // A good photo before it: its result must not be printed either.
        let mut command = finegrain(["classify", "--json", "--backend", "cpu", "--bundle"]);
        let text = refusal(command.arg(&bundle).arg(photo("plain.png")).arg(&bad));
        assert!(text.contains(words) && text.contains(bad.to_str().unwrap()), "{text}");
    }
}

#[test]
fn no_adapter_gets_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    write_bundle(dir.path());
    let mut command = finegrain(["classify", "--json", "--bundle"]);
    if cfg!(not(target_os = "linux")) {
        println!("skipped: only Vulkan's drivers can be hidden");
        return;
    }
    let text = refusal(without_adapter(command.arg(dir.path()).arg(photo("plain.png"))));
    assert!(text.contains("no graphics adapter was found") && text.contains("--backend cpu"), "{text}");
}

#[test]
fn a_build_without_cuda_says_so() {
    if cfg!(feature = "cuda") {
        println!("skipped: this build has CUDA");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    write_bundle(dir.path());
    let mut command = finegrain(["classify", "--json", "--backend", "cuda", "--bundle"]);
    let text = refusal(command.arg(dir.path()).arg(photo("plain.png")));
    assert!(text.contains("--features cuda"), "{text}");
}

#[test]
fn every_command_has_help() {
    for command in ["train", "export", "classify", "eval", "report", "verify", "serve"] {
        let output = finegrain([command, "--help"]).output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("--json") && text.contains(&format!("Usage: finegrain {command}")), "{text}");
    }
}

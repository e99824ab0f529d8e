//! Bundles that are damaged, incomplete or foreign.

use std::fs;
use std::path::Path;

use finegrain::bundle::{FileEntry, MANIFEST, Manifest, TRACE, WEIGHTS};
use finegrain::tensors::{Precision, Tensor, TensorMap};
use serde_json::{Value, json};

use crate::program::{finegrain, photo, refusal, write_bundle};

/// What `classify` says of a small bundle after an edit.
fn refusal_of(edit: impl FnOnce(&Path)) -> String {
    let dir = tempfile::tempdir().unwrap();
    write_bundle(dir.path());
    edit(dir.path());
    let mut command = finegrain(["classify", "--json", "--backend", "cpu", "--bundle"]);
    refusal(command.arg(dir.path()).arg(photo("plain.png")))
}

fn edit_weights(dir: &Path, edit: impl FnOnce(&mut TensorMap)) {
    let mut weights = TensorMap::read(&fs::read(dir.join(WEIGHTS)).unwrap()).unwrap();
    edit(&mut weights);
    let bytes = weights.write(Precision::F16).unwrap();
    let mut manifest = Manifest::read(&fs::read(dir.join(MANIFEST)).unwrap()).unwrap();
    let entry = manifest.files.iter_mut().find(|entry| entry.name == WEIGHTS).unwrap();
    *entry = FileEntry::of(WEIGHTS, &bytes);
    fs::write(dir.join(MANIFEST), manifest.write().unwrap()).unwrap();
    fs::write(dir.join(WEIGHTS), bytes).unwrap();
}

#[test]
fn a_missing_file_is_named() {
    let text = refusal_of(|dir| fs::remove_file(dir.join(WEIGHTS)).unwrap());
    assert!(text.contains("model.safetensors cannot be read") && text.contains("incomplete"), "{text}");
    let text = refusal_of(|dir| fs::remove_file(dir.join(MANIFEST)).unwrap());
    assert!(text.contains("is not a bundle: its manifest.json cannot be read"), "{text}");
}

#[test]
fn a_wrong_hash_is_named() {
    let text = refusal_of(|dir| {
        let mut bytes = fs::read(dir.join(TRACE)).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(dir.join(TRACE), bytes).unwrap();
    });
    assert!(text.contains("trace.safetensors does not have the sha256"), "{text}");
}

#[test]
fn a_cut_file_is_named() {
    let text = refusal_of(|dir| {
        let bytes = fs::read(dir.join(WEIGHTS)).unwrap();
        fs::write(dir.join(WEIGHTS), &bytes[..1000]).unwrap();
    });
    assert!(text.contains("model.safetensors has 1000 bytes, the manifest says"), "{text}");
}

#[test]
fn a_wrong_shape_is_named() {
    let text = refusal_of(|dir| {
        edit_weights(dir, |weights| weights.insert("head.weight", Tensor::f32([4, 32], vec![0.0; 128])));
    });
    assert!(text.contains("\"head.weight\" has shape [4, 32], expected [5, 32]"), "{text}");
}

#[test]
fn weights_that_are_no_numbers_are_named() {
    let text = refusal_of(|dir| {
        edit_weights(dir, |weights| weights.insert("norm.bias", Tensor::f32([32], vec![f32::NAN; 32])));
    });
    assert!(text.contains("\"norm.bias\" holds a value that is not a finite number"), "{text}");
}

#[test]
fn an_unknown_format_version_is_named() {
    let text = refusal_of(|dir| {
        let mut manifest: Value = serde_json::from_slice(&fs::read(dir.join(MANIFEST)).unwrap()).unwrap();
        manifest["format"] = 99.into();
        fs::write(dir.join(MANIFEST), manifest.to_string()).unwrap();
    });
    assert!(text.contains("format version 99, this program reads 1"), "{text}");
}

#[test]
fn an_impossible_calibration_is_named() {
    for (key, value, words) in [
        ("temperature", json!(0.0), "the temperature is 0, it must be finite and above 0"),
        ("threshold", json!(1.5), "the threshold is 1.5, it must be from 0 to 1"),
        ("surprise", json!(1), "unknown field `surprise`"),
    ] {
        let text = refusal_of(|dir| {
            let mut manifest: Value = serde_json::from_slice(&fs::read(dir.join(MANIFEST)).unwrap()).unwrap();
            manifest["calibration"] = json!({ "temperature": 1.0, "threshold": 0.5, "photos": 3 });
            manifest["calibration"][key] = value;
            fs::write(dir.join(MANIFEST), manifest.to_string()).unwrap();
        });
        assert!(text.contains(words), "{text}");
    }
}

#[test]
fn a_folder_that_is_no_bundle_is_named() {
    let text = refusal_of(|dir| fs::write(dir.join(MANIFEST), "not json").unwrap());
    assert!(text.contains("manifest.json cannot be read") && text.contains("export the bundle again"), "{text}");
    let mut command = finegrain(["classify", "--json", "--bundle", "/nonexistent", "x.jpg"]);
    assert!(refusal(&mut command).contains("is not a bundle"));
}

//! What a bundle promises: what is written is read, and whatever is missing, changed or foreign is named.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use finegrain::architecture::{Architecture, Dcal, Mechanism};
use finegrain::bundle::{Bundle, BundleError, FileEntry, MANIFEST, Manifest, TRACE, WEIGHTS, round, seeded_image};
use finegrain::photo::{Fit, Preprocessing};
use finegrain::tensors::{Precision, Tensor, TensorMap, Values};
use serde_json::{Value, json};

type Files = BTreeMap<String, Vec<u8>>;

/// A bundle of the network in a trace with random weights; its golden trace is the trace's first image.
fn bundle() -> Bundle {
    let traced = TensorMap::read(include_bytes!("fixtures/dcal_small.safetensors")).unwrap();
    let mut weights = traced.under("param.");
    weights.remove("loss_log_var");
    let mut trace = TensorMap::default();
    let names = ["input.images", "out.logits.sa", "out.logits.glca", "out.probability", "out.rollout", "out.selected"];
    for name in names {
        trace.insert(name, first(traced.get(name).unwrap()));
    }
    Bundle {
        manifest: Manifest {
            format: 1,
            id: "small".into(),
            title: "Small".into(),
            architecture: architecture(),
            preprocessing: Preprocessing { resize: 36, fit: Fit::Crop, crop: [32, 32], mean: [0.5; 3], std: [0.5; 3] },
            labels: (0..5).map(|class| format!("class {class}")).collect(),
            precision: Precision::F32,
            files: Vec::new(),
            calibration: None,
            hierarchy: Vec::new(),
            confused: Vec::new(),
            training: json!({ "seed": 1 }),
        },
        weights,
        trace,
    }
}

fn architecture() -> Architecture {
    Architecture {
        resnet: None,
        hybrid: None,
        image_size: [32, 32],
        patch_size: 8,
        dim: 32,
        depth: 3,
        heads: 2,
        mlp_ratio: 4,
        layer_norm_eps: 1e-6,
        classes: 5,
        mechanism: Mechanism::Dcal(Dcal { ratio: 0.25, glca: true, pwca: true, gates: None }),
    }
}

/// The first of a batch, as a batch of one.
fn first(tensor: &Tensor) -> Tensor {
    let mut shape = tensor.shape.clone();
    let count = shape[1..].iter().product();
    shape[0] = 1;
    let values = match &tensor.values {
        Values::F32(values) => Values::F32(values[..count].to_vec()),
        Values::I32(values) => Values::I32(values[..count].to_vec()),
    };
    Tensor { shape, values }
}

fn files() -> Files {
    bundle().write().unwrap().into_iter().collect()
}

fn read(files: &Files) -> Result<Bundle, BundleError> {
    Bundle::read(&files[MANIFEST], |name| files.get(name).cloned().ok_or("there is no such file"))
}

/// What is said of a bundle whose manifest was edited.
fn refusal(edit: impl FnOnce(&mut Value)) -> String {
    let mut files = files();
    let mut manifest: Value = serde_json::from_slice(&files[MANIFEST]).unwrap();
    edit(&mut manifest);
    files.insert(MANIFEST.into(), serde_json::to_vec(&manifest).unwrap());
    read(&files).unwrap_err().to_string()
}

/// What is said of a bundle with other tensors in one of its files, size and hash being right.
fn refusal_of_tensors(file: &str, edit: impl FnOnce(&mut TensorMap)) -> String {
    let mut files = files();
    let mut tensors = TensorMap::read(&files[file]).unwrap();
    edit(&mut tensors);
    let bytes = tensors.write(Precision::F32).unwrap();
    let mut manifest = Manifest::read(&files[MANIFEST]).unwrap();
    let entry = manifest.files.iter_mut().find(|entry| entry.name == file).unwrap();
    *entry = FileEntry::of(file, &bytes);
    files.insert(MANIFEST.into(), manifest.write().unwrap());
    files.insert(file.into(), bytes);
    read(&files).unwrap_err().to_string()
}

#[test]
fn what_is_written_is_read() {
    let files = files();
    let found = read(&files).unwrap();
    let mut expected = bundle();
    expected.manifest.files = found.manifest.files.clone();
    assert_eq!(found, expected);
    assert_eq!(found.manifest.files.len(), 2);
    assert_eq!(found.manifest.bytes(), (files[WEIGHTS].len() + files[TRACE].len()) as u64);
}

#[test]
fn half_precision_halves_the_weights_and_leaves_the_trace() {
    let mut half = bundle();
    half.manifest.precision = Precision::F16;
    let files: Files = half.write().unwrap().into_iter().collect();
    assert!(files[WEIGHTS].len() * 10 < self::files()[WEIGHTS].len() * 6);
    let found = read(&files).unwrap();
    assert_eq!(found.trace, half.trace);
    assert_eq!(found.weights, round(&half.weights, Precision::F16).unwrap());
    assert_ne!(found.weights, half.weights);
}

#[test]
fn eight_bits_halve_the_weights_again() {
    let of = |precision| {
        let bundle = Bundle { manifest: Manifest { precision, ..bundle().manifest }, ..bundle() };
        bundle.write().unwrap().into_iter().collect::<Files>()
    };
    let (half, eighth) = (of(Precision::F16), of(Precision::Int8));
    let found = read(&eighth).unwrap();
    // Of this small network much is no matrix, and the header of the file is a tenth of it.
    assert!(eighth[WEIGHTS].len() * 10 < half[WEIGHTS].len() * 8, "{} {}", eighth[WEIGHTS].len(), half[WEIGHTS].len());
    assert!(found.manifest.bytes() < read(&half).unwrap().manifest.bytes(), "the manifest tells the download");
    assert_eq!(found.trace, bundle().trace);
    assert_eq!(found.weights, round(&bundle().weights, Precision::Int8).unwrap());
    // Norms, biases, embeddings and the patch convolution are in f16.
    let f16 = round(&bundle().weights, Precision::F16).unwrap();
    for name in ["pos_embed", "patch_embed.proj.weight", "blocks.0.norm1.weight", "head.bias"] {
        assert_eq!(found.weights.get(name), f16.get(name), "{name}");
    }
    // Writing it again loses nothing.
    let again: Files = found.write().unwrap().into_iter().collect();
    assert_eq!(again, eighth);
}

#[test]
fn scales_without_their_matrix_are_no_weights() {
    let foreign = Tensor::f32([32], vec![1.0; 32]);
    let text = refusal_of_tensors(WEIGHTS, |tensors| tensors.insert("norm.weight_scale", foreign.clone()));
    assert!(text.contains("\"norm.weight_scale\" does not belong to this network"), "{text}");
}

#[test]
fn rounding_beyond_f16_is_refused() {
    let mut weights = bundle().weights;
    weights.insert("norm.bias", Tensor::f32([32], vec![1e6; 32]));
    let error = round(&weights, Precision::F16).unwrap_err().to_string();
    assert!(error.contains("norm.bias") && error.contains("--precision f32"), "{error}");
}

#[test]
fn the_list_of_weights_is_the_traces() {
    let listed: Vec<_> = architecture().weights();
    let traced = bundle().weights;
    assert_eq!(listed.len(), traced.len());
    for spec in &listed {
        assert_eq!(traced.get(&spec.name).map(|t| &t.shape), Some(&spec.shape), "{}", spec.name);
    }
    let count: usize = listed.iter().map(|spec| spec.shape.iter().product::<usize>()).sum();
    assert_eq!(architecture().parameters(), Some(count as u64));
    let plain = Architecture { mechanism: Mechanism::None, ..architecture() };
    let count: usize = plain.weights().iter().map(|spec| spec.shape.iter().product::<usize>()).sum();
    assert_eq!(plain.parameters(), Some(count as u64));
}

#[test]
fn impossible_sizes_are_refused_before_anything_is_allocated() {
    let huge = Architecture { dim: 65_536, heads: 1, depth: 65_536, mlp_ratio: 65_536, ..architecture() };
    huge.check().unwrap();
    assert!(huge.parameters().is_none_or(|count| count > 1 << 40));
    let text = refusal(|m| m["architecture"] = serde_json::to_value(&huge).unwrap());
    assert!(text.contains("larger than any bundle"), "{text}");
    let text = refusal(|m| m["files"][0]["bytes"] = json!(u64::MAX));
    assert!(text.contains("at most"), "{text}");
}

#[test]
fn every_broken_manifest_is_named() {
    let same = |m: &mut Value| m["labels"][1] = m["labels"][0].clone();
    let twice = |m: &mut Value| m["files"][1] = m["files"][0].clone();
    let outside = |m: &mut Value| m["files"][0]["name"] = json!("../model.safetensors");
    for (text, words) in [
        (refusal(|m| m["format"] = json!(2)), &["format version 2", "reads 1"][..]),
        (refusal(|m| *m = json!({ "format": 7, "anything": [] })), &["format version 7"]),
        (refusal(|m| *m = json!([])), &["manifest.json cannot be read"]),
        (refusal(|m| m["colour"] = json!("red")), &["unknown field `colour`"]),
        (refusal(|m| m["id"] = json!("../x")), &["id"]),
        (refusal(same), &["two classes", "class 0"]),
        (refusal(|m| m["labels"][4] = json!(" ")), &["label of class 4 is empty"]),
        (refusal(|m| m["labels"].as_array_mut().unwrap().truncate(3)), &["3 labels for 5 classes"]),
        (refusal(|m| m["architecture"]["heads"] = json!(5)), &["heads 5"]),
        (refusal(|m| m["preprocessing"]["crop"] = json!([16, 32])), &["crop is 16 x 32", "32 x 32"]),
        (refusal(|m| m["preprocessing"]["std"] = json!([0.0, 1.0, 1.0])), &["std"]),
        (refusal(outside), &["../model.safetensors", "not a name"]),
        (refusal(twice), &["listed twice"]),
        (refusal(|m| m["files"].as_array_mut().unwrap().truncate(1)), &["trace.safetensors", "not listed"]),
        (refusal(|m| m["files"][0]["sha256"] = json!("12")), &["sha256", "64 hexadecimal"]),
    ] {
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
        assert!(!text.contains('\n'), "one sentence: {text}");
    }
    let error = Manifest::read(&vec![b' '; 5 << 20]).unwrap_err().to_string();
    assert!(error.contains("4 MiB"), "{error}");
}

#[test]
fn missing_short_and_changed_files_are_named() {
    let mut missing = files();
    missing.remove(WEIGHTS);
    let text = read(&missing).unwrap_err().to_string();
    assert!(text.contains("model.safetensors cannot be read (there is no such file)"), "{text}");

    let mut short = files();
    short.get_mut(TRACE).unwrap().pop();
    let text = read(&short).unwrap_err().to_string();
    assert!(text.contains("trace.safetensors has") && text.contains("cut off"), "{text}");

    let mut changed = files();
    *changed.get_mut(WEIGHTS).unwrap().last_mut().unwrap() ^= 1;
    let text = read(&changed).unwrap_err().to_string();
    assert!(text.contains("model.safetensors") && text.contains("sha256"), "{text}");
}

#[test]
fn wrong_tensors_are_named() {
    for (text, words) in [
        (
            refusal_of_tensors(WEIGHTS, |w| drop(w.remove("blocks.2.mlp.fc1.bias"))),
            &["model.safetensors", "\"blocks.2.mlp.fc1.bias\" is missing"][..],
        ),
        (
            refusal_of_tensors(WEIGHTS, |w| w.insert("blocks.3.norm1.bias", Tensor::f32([32], vec![0.0; 32]))),
            &["\"blocks.3.norm1.bias\" does not belong"],
        ),
        (
            refusal_of_tensors(WEIGHTS, |w| w.insert("head.weight", Tensor::f32([32, 5], vec![0.0; 160]))),
            &["\"head.weight\" has shape [32, 5], expected [5, 32]"],
        ),
        (
            refusal_of_tensors(WEIGHTS, |w| w.insert("glca_norm.weight", Tensor::f32([32], vec![f32::NAN; 32]))),
            &["\"glca_norm.weight\"", "not a finite number"],
        ),
        (
            refusal_of_tensors(TRACE, |t| drop(t.remove("out.rollout"))),
            &["trace.safetensors", "\"out.rollout\" is missing"],
        ),
        (
            refusal_of_tensors(TRACE, |t| t.insert("out.selected", Tensor::i32([1, 4], vec![1, 2, 3, 17]))),
            &["\"out.selected\" lists token 17"],
        ),
        (
            refusal_of_tensors(TRACE, |t| t.insert("out.selected", Tensor::i32([4], vec![1, 2, 3, 4]))),
            &["\"out.selected\" has shape [4], expected [1, 4]"],
        ),
    ] {
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
    }
    let mut files = files();
    let garbage = b"this is no tensor file".to_vec();
    let mut manifest = Manifest::read(&files[MANIFEST]).unwrap();
    manifest.files[0] = FileEntry::of(WEIGHTS, &garbage);
    files.insert(MANIFEST.into(), manifest.write().unwrap());
    files.insert(WEIGHTS.into(), garbage);
    let text = read(&files).unwrap_err().to_string();
    assert!(text.contains("model.safetensors: this is not a readable safetensors file"), "{text}");
}

#[test]
fn the_golden_image_is_the_same_everywhere() {
    let image = seeded_image(7, [20, 33]);
    assert_eq!(image.len(), 3 * 20 * 33);
    assert!(image.iter().all(|v| (-1.0..1.0).contains(v)));
    assert_eq!(image, seeded_image(7, [20, 33]));
    assert_ne!(image, seeded_image(8, [20, 33]));
    let mean = image.iter().map(|&v| f64::from(v)).sum::<f64>() / image.len() as f64;
    assert!(mean.abs() < 0.2, "{mean}");
}

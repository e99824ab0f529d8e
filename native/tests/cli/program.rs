//! Runs the program, and makes the small files that it is run on.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use finegrain::architecture::{Architecture, Dcal, Mechanism};
use finegrain::bundle::{Bundle, Calibration, FORMAT, Manifest, round};
use finegrain::photo::{Fit, Preprocessing};
use finegrain::tensors::{Precision, TensorMap};
use finegrain_native::{golden, store};
use serde_json::{Value, json};

/// The program, to be given arguments.
pub(crate) fn finegrain<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_finegrain"));
    command.args(arguments);
    command
}

/// Standard output of a run that must succeed, as JSON.
pub(crate) fn json(command: &mut Command) -> Value {
    let output = command.arg("--json").output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The one sentence of a run that must fail: exit status 1, nothing on standard output.
pub(crate) fn refusal(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{command:?}: {text}");
    assert!(output.stdout.is_empty(), "{command:?} printed a result");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 1, "one sentence: {text}");
    assert!(lines[0].starts_with("error: "), "{text}");
    lines[0].to_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A photo of `tests/fixtures/photo`.
pub(crate) fn photo(name: &str) -> PathBuf {
    fixture("photo").join(name)
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name)
}

/// The network of the trace `dcal_small`, and its random weights.
pub(crate) fn small() -> (Architecture, TensorMap) {
    let trace = TensorMap::read(&fs::read(fixture("dcal_small.safetensors")).unwrap()).unwrap();
    let architecture = Architecture {
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
    };
    (architecture, trace.under("param."))
}

pub(crate) fn labels() -> Vec<String> {
    ["Auk", "Bittern", "Crane", "Dunlin", "Eider"].map(String::from).to_vec()
}

pub(crate) fn preprocessing() -> Preprocessing {
    Preprocessing { resize: 36, fit: Fit::Crop, crop: [32, 32], mean: [0.5; 3], std: [0.5; 3] }
}

/// Writes a real bundle, small and with random weights.
pub(crate) fn write_bundle(dir: &Path) {
    write_bundle_with(dir, None);
}

/// [`write_bundle`], with a calibration.
pub(crate) fn write_bundle_with(dir: &Path, calibration: Option<Calibration>) {
    let (architecture, mut weights) = small();
    weights.remove("loss_log_var");
    write_bundle_of(dir, architecture, &weights, calibration);
}

/// Writes a bundle of a network for the five birds.
pub(crate) fn write_bundle_of(
    dir: &Path,
    architecture: Architecture,
    weights: &TensorMap,
    calibration: Option<Calibration>,
) {
    let weights = round(weights, Precision::F16).unwrap();
    let trace = golden::trace(&architecture, &weights).unwrap();
    let manifest = Manifest {
        format: FORMAT,
        id: "small".into(),
        title: "Small".into(),
        architecture,
        preprocessing: preprocessing(),
        labels: labels(),
        precision: Precision::F16,
        files: Vec::new(),
        calibration,
        hierarchy: Vec::new(),
        confused: Vec::new(),
        training: json!({ "weights": "random" }),
    };
    store::write(&Bundle { manifest, weights, trace }, dir).unwrap();
}

/// Names of what lies in a folder, hidden or not, in order.
pub(crate) fn listing(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// True where there is a WebGPU adapter; says so where there is none.
pub(crate) fn has_adapter() -> bool {
    let found = pollster::block_on(finegrain::engine::Gpu::open());
    if let Err(error) = &found {
        println!("skipped: {error}");
    }
    found.is_ok()
}

/// A command that finds no Vulkan driver.
pub(crate) fn without_adapter(command: &mut Command) -> &mut Command {
    for variable in ["VK_ICD_FILENAMES", "VK_DRIVER_FILES", "VK_ADD_DRIVER_FILES"] {
        command.env(variable, "/nonexistent.json");
    }
    command
}

//! `finegrain bench`: that it says what it should. How long anything takes is nobody's business here.

use std::collections::BTreeSet;

use finegrain::architecture::{Dcal, Mechanism};
use finegrain::engine::record;
use finegrain::tensors::Precision;
use serde_json::Value;

use crate::program::{finegrain, has_adapter, json, listing, refusal, small, write_bundle};

fn positive(value: &Value) -> bool {
    value.as_f64().is_some_and(|number| number > 0.0)
}

#[test]
fn the_table_names_every_kernel_of_the_recording() {
    if !has_adapter() {
        return;
    }
    let found = json(&mut finegrain(["bench", "--model", "vit-tiny", "--size", "32", "--runs", "1"]));
    let mechanism = Mechanism::Dcal(Dcal { ratio: 0.1, glca: true, pwca: false, gates: None });
    let mut architecture = small().0;
    (architecture.image_size, architecture.patch_size, architecture.mechanism) = ([32, 32], 16, mechanism);
    (architecture.dim, architecture.depth, architecture.heads, architecture.classes) = (192, 12, 3, 100);
    let recording = record::classify(&architecture, Precision::F32).unwrap();
    let expected: BTreeSet<String> = recording.kernels().iter().map(|kernel| kernel.shader.name.to_owned()).collect();
    let table = found["kernels"]["table"].as_array().unwrap();
    // A GPU may run them in other tiles and with subgroups.
    let plain = |kernel: &Value| {
        let name = kernel["name"].as_str().unwrap();
        ["_small", "_large", "_subgroup"].into_iter().fold(name, str::trim_end_matches).to_owned()
    };
    let named: BTreeSet<String> = table.iter().map(plain).collect();
    assert_eq!(named, expected);
    assert!(positive(&found["kernels"]["peak"]["gflops"]) && positive(&found["kernels"]["peak"]["gbps"]), "{found:#}");
    assert!(matches!(found["kernels"]["clock"].as_str(), Some("timestamps" | "submissions")), "{found:#}");
    assert_eq!((&found["model"], &found["weights"]), (&"vit-tiny".into(), &"random".into()));
    assert_eq!(found["cold"]["pipelines"], table.len());
    for value in [&found["cold"]["load_ms"], &found["cold"]["first_photo_ms"], &found["warm"]["median_ms"]] {
        assert!(positive(value), "{found:#}");
    }
    assert!(positive(&found["device_bytes"]), "{found:#}");
    let parts: Vec<&str> =
        found["parts"].as_array().unwrap().iter().map(|part| part["name"].as_str().unwrap()).collect();
    assert_eq!(parts, ["SA alone", "SA + rollout", "SA + rollout + GLCA"]);
    assert_eq!(found["parts"][0]["ratio"], 1.0);
    let row = found["markdown"].as_str().unwrap();
    assert!(row.starts_with("| ") && row.contains("| vit-tiny | 32 x 32 |") && !row.contains('\n'), "{row}");
}

#[test]
fn a_residual_network_is_measured() {
    if !has_adapter() {
        return;
    }
    let found = json(&mut finegrain(["bench", "--model", "resnet-18", "--size", "32", "--runs", "1"]));
    let table = found["kernels"]["table"].as_array().unwrap();
    let convolutions: i64 = table
        .iter()
        .filter(|kernel| kernel["name"].as_str().unwrap().starts_with("convolution"))
        .map(|kernel| kernel["dispatches"].as_i64().unwrap())
        .sum();
    assert_eq!(convolutions, 20, "{found:#}");
    // A product of each size, in a tile of its own.
    assert!(!found["tiles"].as_array().unwrap().is_empty() && positive(&found["warm"]["median_ms"]), "{found:#}");
    let parts: Vec<&Value> = found["parts"].as_array().unwrap().iter().map(|part| &part["name"]).collect();
    assert_eq!(parts, ["classes alone", "classes + class activation"]);
    assert!(refusal(&mut finegrain(["bench", "--model", "resnet-18", "--size", "40"])).contains("does not divide"));
}

#[test]
fn a_training_step_is_measured() {
    let step = |arguments: &[&str]| {
        let mut command = finegrain(["bench-training", "--size", "32", "--batch", "2"]);
        command.args(arguments);
        command
    };
    for mechanism in ["none", "glca", "dcal"] {
        let found = json(&mut step(&["--mechanism", mechanism]));
        assert_eq!((&found["mechanism"], &found["precision"]), (&mechanism.into(), &"f32".into()));
        let [forward, training] = ["forward_ms", "training_ms"].map(|key| found[key].as_f64().unwrap());
        assert!(forward > 0.0 && training > 0.0, "{found:#}");
    }
    assert!(refusal(&mut step(&["--model", "resnet-18"])).contains("transformers only"));
    assert!(refusal(&mut step(&["--model", "vit-huge"])).contains("vit-huge"));
}

#[test]
fn a_person_is_told_that_the_weights_are_random() {
    let output = finegrain(["bench", "--size", "32", "--runs", "2", "--backend", "cpu"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains("random weights: the answers mean nothing"), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    let [head, rule, row] = lines[lines.len() - 3..] else { panic!("{text}") };
    let cells = |line: &str| line.matches('|').count();
    assert_eq!((cells(head), cells(rule), cells(row)), (11, 11, 11), "{text}");
}

#[test]
fn a_bundle_is_measured_on_the_processor() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("small");
    write_bundle(&bundle);
    let found = json(finegrain(["bench", "--backend", "cpu", "--runs", "1", "--bundle"]).arg(&bundle));
    assert_eq!((&found["model"], &found["weights"]), (&"small".into(), &"bundle".into()));
    assert_eq!((&found["kernels"], &found["device_bytes"]), (&Value::Null, &Value::Null));
    assert_eq!(found["parts"].as_array().unwrap().len(), 2);
    assert_eq!((&found["tiles"], &found["cold"]["tune_ms"]), (&Value::Null, &Value::Null));
}

/// The model that is trained, in turns with what runs it.
#[test]
fn burn_is_measured_beside() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("small");
    write_bundle(&bundle);
    let bench = |backend: &str| {
        let mut command = finegrain(["bench", "--runs", "2", "--beside", "cpu", "--backend", backend, "--bundle"]);
        json(command.arg(&bundle))["beside"].as_array().unwrap().clone()
    };
    let backends: &[&str] = if has_adapter() { &["cpu", "webgpu"] } else { &["cpu"] };
    for backend in backends {
        let [ours, burn] = &bench(backend)[..] else { panic!("two rows") };
        assert_eq!((&ours["name"], &burn["name"]), (&"finegrain".into(), &"burn, flex (CPU)".into()));
        assert!(ours["ratio"] == 1.0 && positive(&burn["median_ms"]), "{burn}");
        // JSON's numbers may end in another digit.
        let [ratio, theirs] = ["ratio", "median_ms"].map(|key| burn[key].as_f64().unwrap());
        let expected = theirs / ours["median_ms"].as_f64().unwrap();
        assert!((ratio / expected - 1.0).abs() < 1e-12, "{ratio} and {expected}");
    }
    let without = refusal(finegrain(["bench", "--beside", "wgpu", "--backend", "cpu", "--bundle"]).arg(&bundle));
    assert!(without.contains("--features wgpu"), "{without}");
}

/// The tiles are measured where that is asked for, kept in the user's cache folder, and read from there.
#[test]
fn tiles_are_measured_once() {
    if !has_adapter() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (bundle, cache) = (dir.path().join("small"), dir.path().join("cache"));
    write_bundle(&bundle);
    let bench = |tune: &[&str]| {
        let mut command = finegrain(["bench", "--runs", "1", "--bundle"]);
        let command = command.arg(&bundle).args(tune).env("XDG_CACHE_HOME", &cache).env("LOCALAPPDATA", &cache);
        json(command)["tiles"].as_array().unwrap().clone()
    };
    let measured = |tiles: &[Value]| tiles.iter().all(|product| product["measured"].as_array().unwrap().len() >= 3);
    let first = bench(&["--tune"]);
    assert!(!first.is_empty() && measured(&first), "{first:?}");
    let folder = cache.join("finegrain");
    let [file] = &listing(&folder)[..] else { panic!("{:?}", listing(&folder)) };
    assert!(file.starts_with("tiles-"), "{file}");
    let file = folder.join(file);
    let kept = std::fs::read_to_string(&file).unwrap();
    assert_eq!(bench(&["--tune"]), first, "from the cache");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), kept);
    // What is damaged is measured and kept again.
    std::fs::write(&file, &kept[..kept.len() / 2]).unwrap();
    assert!(measured(&bench(&["--tune"])));
    assert!(std::fs::read_to_string(&file).unwrap().ends_with("\nend"));
    // A folder that takes no files costs the measurement, no more.
    std::fs::remove_dir_all(&cache).unwrap();
    std::fs::write(&cache, "a file").unwrap();
    assert!(measured(&bench(&["--tune"])));
    assert!(refusal(&mut finegrain(["bench", "--tune", "--backend", "cpu"])).contains("--backend webgpu"));
}

#[test]
fn what_cannot_be_measured_is_told_in_a_sentence() {
    let said = |arguments: &[&str]| refusal(finegrain(["bench", "--json"]).args(arguments));
    let wrong = said(&["--model", "resnet-34"]);
    assert!(wrong.contains("resnet-34") && wrong.contains("vit-small"), "{wrong}");
    assert!(said(&["--size", "100"]).contains("patch_size 16 does not divide the image size 100 x 100"));
    assert!(said(&["--size", "4096"]).contains("more than the 2048 pixels"));
    assert!(said(&["--backend", "cuda", "--size", "32"]).contains("CUDA"));
    assert!(said(&["--bundle", "no-such-folder"]).contains("no-such-folder"));
}

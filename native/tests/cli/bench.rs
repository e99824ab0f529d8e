//! `finegrain bench`: that it says what it should. How long anything takes is nobody's business here.

use std::collections::BTreeSet;

use finegrain::architecture::{Dcal, Mechanism};
use finegrain::engine::record;
use finegrain::tensors::Precision;
use serde_json::Value;

use crate::program::{finegrain, has_adapter, json, refusal, small, write_bundle};

fn positive(value: &Value) -> bool {
    value.as_f64().is_some_and(|number| number > 0.0)
}

#[test]
fn the_table_names_every_kernel_of_the_recording() {
    if !has_adapter() {
        return;
    }
    let found = json(&mut finegrain(["bench", "--model", "vit-tiny", "--size", "32", "--runs", "1"]));
    let mechanism = Mechanism::Dcal(Dcal { ratio: 0.1, glca: true, pwca: false });
    let mut architecture = small().0;
    (architecture.image_size, architecture.patch_size, architecture.mechanism) = ([32, 32], 16, mechanism);
    (architecture.dim, architecture.depth, architecture.heads, architecture.classes) = (192, 12, 3, 100);
    let recording = record::classify(&architecture, Precision::F32).unwrap();
    let expected: BTreeSet<&str> = recording.kernels().iter().map(|kernel| kernel.shader.name).collect();
    let table = found["kernels"]["table"].as_array().unwrap();
    let named: BTreeSet<&str> = table.iter().map(|kernel| kernel["name"].as_str().unwrap()).collect();
    assert_eq!(named, expected);
    assert!(positive(&found["kernels"]["peak"]["gflops"]) && positive(&found["kernels"]["peak"]["gbps"]), "{found:#}");
    assert!(matches!(found["kernels"]["clock"].as_str(), Some("timestamps" | "submissions")), "{found:#}");
    assert_eq!((&found["model"], &found["weights"]), (&"vit-tiny".into(), &"random".into()));
    assert_eq!(found["cold"]["pipelines"], expected.len());
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
}

#[test]
fn what_cannot_be_measured_is_told_in_a_sentence() {
    let said = |arguments: &[&str]| refusal(finegrain(["bench", "--json"]).args(arguments));
    let wrong = said(&["--model", "resnet-50"]);
    assert!(wrong.contains("resnet-50") && wrong.contains("vit-small"), "{wrong}");
    assert!(said(&["--size", "100"]).contains("patch_size 16 does not divide the image size 100 x 100"));
    assert!(said(&["--size", "4096"]).contains("more than the 2048 pixels"));
    assert!(said(&["--backend", "cuda", "--size", "32"]).contains("CUDA"));
    assert!(said(&["--bundle", "no-such-folder"]).contains("no-such-folder"));
}

//! Training with RGA between the blocks: its batch norms have statistics, which must survive whatever a run survives.

use std::fs;
use std::process::Command;

use finegrain::answer::Answer;
use finegrain::bundle::seeded_image;
use finegrain::cpu::Cpu;
use finegrain::model::Network;
use finegrain::tensors::TensorMap;
use finegrain_native::store;
use finegrain_native::train::{DeviceChoice, RunRecord, train};
use finegrain_native::weights::Import;

use super::place::{Place, TINY, epoch_losses, kill_and_resume};

/// The tiny recipe with gates behind its first block.
fn recipe() -> String {
    let mechanism = TINY.lines().find(|line| line.starts_with("mechanism")).unwrap();
    TINY.replace(mechanism, "mechanism = { name = \"rga\", ratio = 4, spatial = true, channel = true, after = [1] }")
}

#[test]
fn the_loss_falls_and_a_killed_run_ends_with_the_same_weights_and_statistics() {
    let place = Place::new(&recipe().replace("epochs = 4", "epochs = 5\nema = 0.9"));
    let record = train(&place.options("whole")).unwrap().unwrap();
    let losses = epoch_losses(&place.path("whole"));
    assert!(losses[4] < 0.9 * losses[0], "{losses:?}");
    assert_eq!(record.training.test_top1.unwrap().glca, None);
    let state = TensorMap::read(&fs::read(place.path("whole/checkpoint/state.safetensors")).unwrap()).unwrap();
    for (part, start) in [("running_mean", 0.0), ("running_var", 1.0)] {
        for layer in ["spatial.theta", "spatial.w2", "channel.relation", "channel.w1"] {
            let name = format!("model.rga.0.{layer}.bn.{part}");
            let values = state.reals(&name).unwrap();
            assert!(values.iter().any(|v| (v - start).abs() > 1e-3), "{name}: {values:?}");
        }
    }
    kill_and_resume(place.folder.path(), "killed");
    assert!(place.weights("whole") == place.weights("killed"), "bit for bit");

    // The seed alone decides how the gates start, with pretrained weights too.
    let start = |out: &str| {
        let mut options = place.options(out);
        options.init = Some(place.path("plain.safetensors"));
        options.set = vec!["train.lr=1e-30".into(), "train.epochs=1".into(), "train.ema=0".into()];
        train(&options).unwrap().unwrap();
        TensorMap::read(&place.weights(out)).unwrap()
    };
    let mut plain = TensorMap::read(&place.weights("whole")).unwrap();
    let gates: Vec<String> = plain.iter().map(|(name, _)| name.to_owned()).filter(|n| n.starts_with("rga.")).collect();
    gates.iter().for_each(|name| drop(plain.remove(name)));
    fs::write(place.path("plain.safetensors"), plain.write(Default::default()).unwrap()).unwrap();
    let (one, other) = (start("one"), start("other"));
    assert!(gates.len() == 60 && gates.iter().all(|name| one.get(name) == other.get(name)));
    let import: Import = serde_json::from_slice(&fs::read(place.path("one/import.json")).unwrap()).unwrap();
    assert!(import.missing.iter().all(|name| name.starts_with("rga.")) && import.missing.len() == 60, "{import:?}");
}

#[test]
fn a_run_becomes_a_bundle_that_answers_as_the_network_does() {
    let place = Place::new(&recipe().replace("epochs = 4", "epochs = 2"));
    train(&place.options("run")).unwrap().unwrap();
    let out = place.path("bundle");
    let exported = Command::new(env!("CARGO_BIN_EXE_finegrain"))
        .args(["export", "--precision", "f32"])
        .arg(place.path("run"))
        .arg("--out")
        .arg(&out)
        .output()
        .unwrap();
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    let card = fs::read_to_string(out.join("README.md")).unwrap();
    assert!(card.contains("RGA, CVPR 2020): spatial and channel gates after blocks 1, ratio 4"), "{card}");

    let bundle = store::open(&out).unwrap();
    let architecture = bundle.manifest.architecture;
    let device = DeviceChoice::Cpu.open().unwrap().0;
    let network = Network::new(&architecture, &device).load(&TensorMap::read(&place.weights("run")).unwrap()).unwrap();
    let image = seeded_image(5, architecture.image_size);
    let expected: Answer = network.classify(network.images(&image, &device)).remove(0);
    let found = Cpu::load(&architecture, &bundle.weights).unwrap().classify(&image).unwrap();
    assert!(found.logits_glca.is_empty());
    for (found, expected) in found.logits_sa.iter().zip(&expected.logits_sa) {
        assert!((found - expected).abs() < 1e-4 * (1.0 + expected.abs()), "{found} {expected}");
    }
    let record = RunRecord::read(&place.path("run")).unwrap();
    assert_eq!(record.architecture, architecture);
}

#[test]
fn what_cannot_be_is_told() {
    let place = Place::new(&recipe());
    let error = |set: &str| place.error(|options| options.set = vec![set.to_owned()]);
    let after = |after: &str| {
        error(&format!(
            "model.mechanism={{ name = \"rga\", ratio = 8, spatial = true, channel = true, after = {after} }}"
        ))
    };
    assert!(after("[]").contains("gates after no block"), "{}", after("[]"));
    assert!(after("[2]").contains("rising numbers from 1 to 1"), "{}", after("[2]"));
    let sentence = error("model.mechanism.spatal=true");
    assert!(sentence.contains("spatal") && sentence.contains("model.mechanism.spatial"), "{sentence}");
    let sentence = error("train.precision=bf16");
    assert!(sentence.contains("train.precision"), "{sentence}");
}

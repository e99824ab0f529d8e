//! Training with the modules of Attend and Rectify: votes, global gates with a batch norm of their own, the bundle that comes of it.

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

/// The tiny recipe with a module behind each of its blocks.
fn recipe() -> String {
    let mechanism = TINY.lines().find(|line| line.starts_with("mechanism")).unwrap();
    TINY.replace(mechanism, "mechanism = { name = \"rectify\", heads = 3, after = [1, 2], mixing = \"softmax\" }")
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
        let values = state.reals(&format!("model.rectify.gates.bn.{part}")).unwrap();
        assert!(values.len() == 3 && values.iter().all(|v| (v - start).abs() > 1e-3), "{part}: {values:?}");
    }
    // Opinions start at zero; masks, trust and gates learn once there are some.
    let trained = TensorMap::read(&place.weights("whole")).unwrap();
    let moved = |name: &str, from: &TensorMap| {
        let (now, then) = (trained.reals(name).unwrap(), from.reals(name).unwrap());
        now.iter().zip(then).any(|(now, then)| (now - then).abs() > 1e-4)
    };
    kill_and_resume(place.folder.path(), "killed");
    assert!(place.weights("whole") == place.weights("killed"), "bit for bit");

    // The seed alone decides how modules and gates start, with pretrained weights too.
    let start = |out: &str| {
        let mut options = place.options(out);
        options.init = Some(place.path("plain.safetensors"));
        options.set = vec!["train.lr=1e-30".into(), "train.epochs=1".into(), "train.ema=0".into()];
        train(&options).unwrap().unwrap();
        TensorMap::read(&place.weights(out)).unwrap()
    };
    let mut plain = TensorMap::read(&place.weights("whole")).unwrap();
    let own: Vec<String> =
        plain.iter().map(|(name, _)| name.to_owned()).filter(|n| n.starts_with("rectify.")).collect();
    own.iter().for_each(|name| drop(plain.remove(name)));
    fs::write(place.path("plain.safetensors"), plain.write(Default::default()).unwrap()).unwrap();
    let (one, other) = (start("one"), start("other"));
    assert!(own.len() == 2 * 5 + 5 && own.iter().all(|name| one.get(name) == other.get(name)), "{own:?}");
    assert!(one.reals("rectify.1.output").unwrap().iter().all(|v| v.abs() < 1e-20));
    for part in
        ["0.attention", "1.attention", "0.gate", "1.gate", "0.output", "1.output", "0.norm.weight", "gates.weight"]
    {
        assert!(moved(&format!("rectify.{part}"), &one), "rectify.{part} learnt nothing");
    }
    let import: Import = serde_json::from_slice(&fs::read(place.path("one/import.json")).unwrap()).unwrap();
    assert!(
        import.missing.iter().all(|name| name.starts_with("rectify.")) && import.missing.len() == own.len(),
        "{import:?}"
    );
}

#[test]
fn a_run_becomes_a_bundle_that_answers_as_the_network_does() {
    let place = Place::new(&recipe().replace("epochs = 4", "epochs = 2").replace("softmax", "sigmoid"));
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
    assert!(card.contains("modules of 3 heads after blocks 1, 2, mixed by sigmoid"), "{card}");

    let bundle = store::open(&out).unwrap();
    let architecture = bundle.manifest.architecture;
    let device = DeviceChoice::Cpu.open().unwrap().0;
    let network = Network::new(&architecture, &device).load(&TensorMap::read(&place.weights("run")).unwrap()).unwrap();
    let image = seeded_image(5, architecture.image_size);
    let expected: Answer = network.classify(network.images(&image, &device)).remove(0);
    let found = Cpu::load(&architecture, &bundle.weights).unwrap().classify(&image).unwrap();
    assert_ne!(found.probability, found.sa, "the modules have a say");
    for (found, expected) in found.logits_mixed.iter().zip(&expected.logits_mixed) {
        assert!((found - expected).abs() < 1e-4 * (1.0 + expected.abs()), "{found} {expected}");
    }
    assert_eq!(found.logits_mixed.len(), 3);
    let record = RunRecord::read(&place.path("run")).unwrap();
    assert_eq!(record.architecture, architecture);
}

#[test]
fn what_cannot_be_is_told() {
    let place = Place::new(&recipe());
    let error = |set: &str| place.error(|options| options.set = vec![set.to_owned()]);
    let mechanism = |heads: usize, after: &str, mixing: &str| {
        error(&format!(
            "model.mechanism={{ name = \"rectify\", heads = {heads}, after = {after}, mixing = \"{mixing}\" }}"
        ))
    };
    assert!(mechanism(4, "[]", "softmax").contains("modules after no block"));
    assert!(mechanism(4, "[3]", "softmax").contains("rising numbers from 1 to 2"));
    assert!(mechanism(0, "[1]", "softmax").contains("0 heads"));
    let sentence = mechanism(4, "[1]", "mean");
    assert!(sentence.contains("mean") && sentence.contains("softmax") && sentence.contains("sigmoid"), "{sentence}");
    let sentence = error("model.mechanism.mixin=\"softmax\"");
    assert!(sentence.contains("mixin") && sentence.contains("model.mechanism.mixing"), "{sentence}");
    let sentence = error("train.precision=bf16");
    assert!(sentence.contains("train.precision") && sentence.contains("rectify"), "{sentence}");
}

//! Training with TASN: three passes over each photo, of which the answer needs two.

use std::fs;
use std::process::Command;

use finegrain::answer::Answer;
use finegrain::bundle::seeded_image;
use finegrain::cpu::Cpu;
use finegrain::engine::Gpu;
use finegrain::model::Network;
use finegrain::tensors::TensorMap;
use finegrain_native::store;
use finegrain_native::train::{DeviceChoice, RunRecord, train};
use finegrain_native::weights::Import;

use super::place::{Place, TINY, epoch_losses, kill_and_resume};

/// The tiny recipe with a second look at photos of twice the size, by the attention behind its first block.
fn recipe() -> String {
    let mechanism = TINY.lines().find(|line| line.starts_with("mechanism")).unwrap();
    TINY.replace(mechanism, "mechanism = { name = \"tasn\", zoom = 2, after = 1 }")
}

#[test]
fn the_loss_falls_and_a_killed_run_ends_with_the_same_weights() {
    let place = Place::new(&recipe().replace("epochs = 4", "epochs = 5\nema = 0.9\ndrop_path = 0.1"));
    let record = train(&place.options("whole")).unwrap().unwrap();
    let losses = epoch_losses(&place.path("whole"));
    assert!(losses[4] < 0.9 * losses[0], "{losses:?}");
    assert_eq!(record.training.test_top1.unwrap().glca, None);
    assert_eq!((record.preprocessing.crop, record.preprocessing.resize), ([64, 64], 64));
    let whole = TensorMap::read(&place.weights("whole")).unwrap();
    for part in ["tasn.attention_head.weight", "tasn.part_head.weight", "head.weight"] {
        assert!(whole.reals(part).unwrap().iter().any(|v| v.abs() > 1e-3), "{part} did not learn");
    }
    kill_and_resume(place.folder.path(), "killed");
    assert!(place.weights("whole") == place.weights("killed"), "bit for bit");

    // Pretrained weights have nothing of TASN's.
    let mut plain = whole.clone();
    let own: Vec<String> = plain.iter().map(|(name, _)| name.to_owned()).filter(|n| n.starts_with("tasn.")).collect();
    own.iter().for_each(|name| drop(plain.remove(name)));
    fs::write(place.path("plain.safetensors"), plain.write(Default::default()).unwrap()).unwrap();
    let mut options = place.options("imported");
    options.init = Some(place.path("plain.safetensors"));
    options.set = ["train.lr=1e-30", "train.epochs=1", "train.ema=0"].map(String::from).to_vec();
    train(&options).unwrap().unwrap();
    let imported = TensorMap::read(&place.weights("imported")).unwrap();
    assert_eq!(imported.get("tasn.norm.weight"), whole.get("norm.weight"), "it starts as a copy of the last norm");
    let import: Import = serde_json::from_slice(&fs::read(place.path("imported/import.json")).unwrap()).unwrap();
    assert!(own.len() == 6 && import.missing == own, "{import:?}");
}

#[test]
fn a_run_becomes_a_bundle_that_answers_as_the_network_does() {
    let place = Place::new(&recipe().replace("epochs = 4", "epochs = 2"));
    train(&place.options("run")).unwrap().unwrap();
    let out = place.path("bundle");
    let program = || Command::new(env!("CARGO_BIN_EXE_finegrain"));
    let exported = program()
        .args(["export", "--precision", "f32"])
        .arg(place.path("run"))
        .arg("--out")
        .arg(&out)
        .output()
        .unwrap();
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    let card = fs::read_to_string(out.join("README.md")).unwrap();
    assert!(card.contains("TASN, CVPR 2019): photos of 2 times the size") && card.contains("64 x 64"), "{card}");

    let bundle = store::open(&out).unwrap();
    assert!(bundle.weights.get("tasn.norm.bias").is_some() && bundle.weights.get("tasn.part_head.bias").is_none());
    let architecture = bundle.manifest.architecture;
    let device = DeviceChoice::Cpu.open().unwrap().0;
    let network = Network::new(&architecture, &device).load(&TensorMap::read(&place.weights("run")).unwrap()).unwrap();
    let image = seeded_image(5, architecture.input_size());
    let expected: Answer = network.classify(network.images(&image, &device)).remove(0);
    let found = Cpu::load(&architecture, &bundle.weights).unwrap().classify(&image).unwrap();
    assert!(found.logits_glca.is_empty() && found.sampling.len() == 64);
    for (found, expected) in found.logits_sa.iter().zip(&expected.logits_sa) {
        assert!((found - expected).abs() < 1e-4 * (1.0 + expected.abs()), "{found} {expected}");
    }
    assert_eq!(RunRecord::read(&place.path("run")).unwrap().architecture, architecture);

    // A photo from its file: prepared to the larger size, by whichever back end.
    let photo = place.path("data/test/class_1/0.png");
    let graphics = pollster::block_on(Gpu::open()).is_ok();
    let backends = ["cpu", "webgpu"].into_iter().take(1 + usize::from(graphics));
    for backend in backends.clone() {
        let named = program()
            .args(["classify", "--json", "--backend", backend, "--bundle"])
            .args([&out, &photo])
            .output()
            .unwrap();
        assert!(named.status.success(), "{}", String::from_utf8_lossy(&named.stderr));
    }
    for backend in backends {
        let timed = program()
            .args(["bench", "--json", "--runs", "1", "--backend", backend, "--bundle"])
            .arg(&out)
            .output()
            .unwrap();
        assert!(timed.status.success(), "{}", String::from_utf8_lossy(&timed.stderr));
    }
    let measured = program()
        .args(["eval", "--json", "--backend", "cpu", "--zoom", "--tta", "--dataset", "folder", "--bundle"])
        .arg(&out)
        .arg("--data")
        .arg(place.path("data"))
        .output()
        .unwrap();
    assert!(measured.status.success(), "{}", String::from_utf8_lossy(&measured.stderr));
}

#[test]
fn what_cannot_be_is_told() {
    let place = Place::new(&recipe());
    let error = |set: &str| place.error(|options| options.set = vec![set.to_owned()]);
    for (set, part) in [
        ("model.mechanism.after=3", "after block 3, it must be from 1 to 2"),
        ("model.mechanism.zoom=1", "zoom of TASN is 1"),
        ("model.mechanism.rounds=0", "0 rounds"),
        ("model.mechanism.temperature=-1.0", "temperature of TASN is -1"),
        ("model.mechanism.zom=2", "model.mechanism.zoom"),
        ("train.precision=bf16", "train.precision"),
        ("pixels.resize=48", "zoom of TASN"),
    ] {
        let sentence = error(set);
        assert!(sentence.contains(part), "{set}: {sentence}");
    }
}

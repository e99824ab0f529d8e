//! Training with TASN: three passes over each photo, of which the answer needs two.

use std::path::Path;
use std::process::Command;

use finegrain::engine::Gpu;
use finegrain::tensors::TensorMap;
use finegrain_native::train::train;

use super::mechanism::{exported, recipe, same_logits, start_without};
use super::place::{Place, epoch_losses, kill_and_resume};

/// A second look at photos of twice the size, by the attention behind the first block.
const TASN: &str = "{ name = \"tasn\", zoom = 2, after = 1 }";

#[test]
fn the_loss_falls_and_a_killed_run_ends_with_the_same_weights() {
    let place = Place::new(&recipe(TASN).replace("epochs = 4", "epochs = 5\nema = 0.9\ndrop_path = 0.1"));
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
    let (own, imported, import) = start_without(&place, "tasn.", "imported");
    assert_eq!(imported.get("tasn.norm.weight"), whole.get("norm.weight"), "it starts as a copy of the last norm");
    assert!(own.len() == 6 && import.missing == own, "{import:?}");
}

#[test]
fn a_run_becomes_a_bundle_that_answers_as_the_network_does() {
    let place = Place::new(&recipe(TASN).replace("epochs = 4", "epochs = 2"));
    let made = exported(&place);
    let card = &made.card;
    assert!(card.contains("TASN, CVPR 2019): photos of 2 times the size") && card.contains("64 x 64"), "{card}");
    let weights = &made.bundle.weights;
    assert!(weights.get("tasn.norm.bias").is_some() && weights.get("tasn.part_head.bias").is_none());
    assert!(made.found.logits_glca.is_empty() && made.found.sampling.len() == 64);
    same_logits(&made.found.logits_sa, &made.expected.logits_sa);

    // A photo from its file: prepared to the larger size, by whichever back end.
    let (out, photo) = (place.path("bundle"), place.path("data/test/class_1/0.png"));
    let run = |args: &[&str], paths: &[&Path]| {
        let done = Command::new(env!("CARGO_BIN_EXE_finegrain")).args(args).args(paths).output().unwrap();
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    };
    let graphics = pollster::block_on(Gpu::open()).is_ok();
    for backend in ["cpu", "webgpu"].into_iter().take(1 + usize::from(graphics)) {
        run(&["classify", "--json", "--backend", backend, "--bundle"], &[&out, &photo]);
        run(&["bench", "--json", "--runs", "1", "--backend", backend, "--bundle"], &[&out]);
    }
    let data = format!("--data={}", place.path("data").display());
    run(&["eval", "--json", "--backend", "cpu", "--zoom", "--tta", "--dataset", "folder", &data, "--bundle"], &[&out]);
}

#[test]
fn what_cannot_be_is_told() {
    let place = Place::new(&recipe(TASN));
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

//! Training on residual networks: the backbone has batch norms of its own, whose statistics must survive whatever a run survives.

use std::fs;

use finegrain::tensors::{Tensor, TensorMap};
use finegrain_native::train::{RunRecord, train};
use finegrain_native::weights::Import;

use super::mechanism::{exported, recipe, same_logits, start_without};
use super::place::{Place, epoch_losses, kill_and_resume};

/// The smallest residual networks: two stages, 32 x 32 photos to 4 x 4 (basic, bottleneck) or 16 x 16 positions (wide).
fn residual(block: &str, mechanism: &str) -> String {
    let stem = if block == "wide" { "small" } else { "large" };
    let resnet =
        format!("resnet = {{ block = \"{block}\", stem = \"{stem}\", blocks = [1, 1], strides = [1, 2], width = 8 }}");
    let recipe = recipe(mechanism).replace("patch_size = 8\ndim = 24\ndepth = 2\nheads = 2", &resnet);
    assert!(recipe.contains(&resnet));
    recipe.replace("lr = 3e-3", "lr = 1e-2")
}

const NONE: &str = "{ name = \"none\" }";
const RGA: &str = "{ name = \"rga\", ratio = 4, spatial = true, channel = true, after = [1, 2] }";
const RECTIFY: &str = "{ name = \"rectify\", heads = 2, after = [1, 2], mixing = \"softmax\" }";
const TASN: &str = "{ name = \"tasn\", zoom = 2, after = 1 }";

/// The statistics of the norms `norms` moved away from where they start.
fn moved(state: &TensorMap, norms: &[&str]) {
    for (part, start) in [("running_mean", 0.0), ("running_var", 1.0)] {
        for norm in norms {
            let name = format!("model.{norm}.{part}");
            assert!(state.reals(&name).unwrap().iter().any(|v| (v - start).abs() > 1e-3), "{name}");
        }
    }
}

#[test]
fn the_loss_falls_and_a_killed_run_ends_with_the_same_weights_and_statistics() {
    for (block, mechanism, norms) in [
        ("basic", NONE, &["bn1", "layer2.0.downsample.1"][..]),
        ("bottleneck", RGA, &["layer1.0.bn3", "rga.1.channel.w1.bn"]),
        ("wide", RECTIFY, &["layer1.0.bn1", "norm", "rectify.gates.bn"]),
        ("basic", TASN, &["bn1", "layer2.0.bn2"]),
    ] {
        let place = Place::new(&residual(block, mechanism).replace("epochs = 4", "epochs = 5\nema = 0.9"));
        train(&place.options("whole")).unwrap().unwrap();
        let losses = epoch_losses(&place.path("whole"));
        assert!(losses[4] < 0.9 * losses[0], "{block}, {mechanism}: {losses:?}");
        let state = TensorMap::read(&fs::read(place.path("whole/checkpoint/state.safetensors")).unwrap()).unwrap();
        moved(&state, norms);
        kill_and_resume(place.folder.path(), "killed");
        assert!(place.weights("whole") == place.weights("killed"), "{block}, {mechanism}: bit for bit");
    }
}

#[test]
fn a_run_becomes_a_bundle_that_answers_as_the_network_does() {
    for (block, mechanism) in [("bottleneck", NONE), ("basic", RGA), ("wide", RECTIFY), ("basic", TASN)] {
        let made = exported(&Place::new(&residual(block, mechanism).replace("epochs = 4", "epochs = 2")));
        assert!(made.card.contains(&format!("residual network, 1 + 1 {block} blocks in 2 stages")), "{}", made.card);
        assert!(!made.card.contains("after block"), "{}", made.card);
        let weights = &made.bundle.weights;
        assert!(weights.get("layer1.0.bn1.running_var").is_some() && weights.get("tasn.part_head.bias").is_none());
        same_logits(&made.found.logits_sa, &made.expected.logits_sa);
        let grid = &made.expected.rollout;
        assert!(made.found.rollout.iter().zip(grid).all(|(a, b)| (a - b).abs() < 1e-4) && grid[0] == 0.0);
    }
}

#[test]
fn frozen_stages_keep_weights_and_statistics() {
    let place = Place::new(&residual("basic", NONE).replace("epochs = 4", "epochs = 2"));
    train(&place.options("first")).unwrap().unwrap();
    let mut options = place.options("second");
    options.init = Some(place.path("first/model.safetensors"));
    options.set = vec!["train.freeze=1".to_owned()];
    train(&options).unwrap().unwrap();
    let [before, after] = ["first", "second"].map(|run| TensorMap::read(&place.weights(run)).unwrap());
    for (name, tensor) in before.iter() {
        let frozen = ["conv1.", "bn1.", "layer1."].iter().any(|part| name.starts_with(part));
        assert_eq!(after.get(name) == Some(tensor), frozen, "{name}");
    }
}

/// Weights as torchvision saves them: `fc.`, counts of batches, other classes.
#[test]
fn weights_from_elsewhere_are_a_start() {
    let place = Place::new(&residual("bottleneck", NONE).replace("epochs = 4", "epochs = 1"));
    train(&place.options("whole")).unwrap().unwrap();
    let own = TensorMap::read(&place.weights("whole")).unwrap();
    let mut file = TensorMap::default();
    for (name, tensor) in own.iter().filter(|(name, _)| !name.starts_with("head.")) {
        file.insert(format!("module.{name}"), tensor.clone());
    }
    file.insert("module.fc.weight", Tensor::f32([5, 64], vec![0.1; 320]));
    file.insert("module.fc.bias", Tensor::f32([5], vec![0.1; 5]));
    file.insert("module.bn1.num_batches_tracked", Tensor::i32([], vec![7]));
    file.insert("module.attnpool.weight", Tensor::f32([1], vec![0.1]));
    let write = |file: &TensorMap| {
        fs::write(place.path("foreign.safetensors"), file.write(Default::default()).unwrap()).unwrap();
    };
    write(&file);
    let mut options = place.options("started");
    options.init = Some(place.path("foreign.safetensors"));
    options.set = ["train.lr=1e-30", "train.freeze=2"].map(String::from).to_vec();
    train(&options).unwrap().unwrap();
    let report: Import = serde_json::from_slice(&fs::read(place.path("started/import.json")).unwrap()).unwrap();
    assert_eq!((report.names.as_str(), report.matched.len()), ("timm and torchvision", own.len() - 2));
    assert_eq!(report.missing, ["head.bias", "head.weight"].map(String::from));
    assert_eq!(report.left_over.len(), 3, "the classifier and what the network does not have: {:?}", report.left_over);
    let started = TensorMap::read(&place.weights("started")).unwrap();
    assert_eq!(started.get("layer2.0.bn3.running_var"), own.get("layer2.0.bn3.running_var"));
    assert_eq!(RunRecord::read(&place.path("started")).unwrap().training.test_photos, 6);

    file.insert("module.layer2.1.conv1.weight", Tensor::f32([1], vec![0.0]));
    write(&file);
    let sentence = place.error(|options| options.init = Some(place.path("foreign.safetensors")));
    assert!(
        sentence.contains("bottleneck blocks, [1, 2] of them, width 8") && sentence.contains("blocks, [1, 1] of them"),
        "{sentence}"
    );
}

#[test]
fn the_modules_start_from_the_seed() {
    let place = Place::new(&residual("basic", RGA).replace("epochs = 4", "epochs = 1"));
    train(&place.options("whole")).unwrap().unwrap();
    let [(gates, one, import), (_, other, _)] = ["one", "other"].map(|out| start_without(&place, "rga.", out));
    assert!(gates.len() == 120 && gates.iter().all(|name| one.get(name) == other.get(name)));
    assert_eq!(import.missing.len(), 120);
}

//! Training with RGA between the blocks: its batch norms have statistics, which must survive whatever a run survives.

use std::fs;

use finegrain::tensors::TensorMap;
use finegrain_native::ablate::ablate;
use finegrain_native::train::train;

use super::mechanism::{exported, recipe, same_logits, start_without};
use super::place::{Place, epoch_losses, kill_and_resume};

/// Gates behind the first block.
const RGA: &str = "{ name = \"rga\", ratio = 4, spatial = true, channel = true, after = [1] }";

#[test]
fn the_loss_falls_and_a_killed_run_ends_with_the_same_weights_and_statistics() {
    let place = Place::new(&recipe(RGA).replace("epochs = 4", "epochs = 5\nema = 0.9"));
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
    let [(gates, one, import), (_, other, _)] = ["one", "other"].map(|out| start_without(&place, "rga.", out));
    assert!(gates.len() == 60 && gates.iter().all(|name| one.get(name) == other.get(name)));
    assert!(import.missing.iter().all(|name| name.starts_with("rga.")) && import.missing.len() == 60, "{import:?}");
}

#[test]
fn a_run_becomes_a_bundle_that_answers_as_the_network_does() {
    let made = exported(&Place::new(&recipe(RGA).replace("epochs = 4", "epochs = 2")));
    assert!(made.card.contains("RGA, CVPR 2020): spatial and channel gates after blocks 1, ratio 4"), "{}", made.card);
    assert!(
        made.found.logits_glca.is_empty() && made.bundle.weights.get("rga.0.spatial.theta.bn.running_var").is_some()
    );
    same_logits(&made.found.logits_sa, &made.expected.logits_sa);
}

/// Gates beside GLCA, which looks behind them, and beside modules.
#[test]
fn gates_go_with_other_mechanisms() {
    let gates = "gates = { ratio = 4, spatial = true, channel = true, after = [1] } }";
    let glca = format!("{{ name = \"dcal\", ratio = 0.25, glca = true, pwca = false, {gates}");
    let modules = format!("{{ name = \"rectify\", heads = 2, after = [1, 2], mixing = \"softmax\", {gates}");
    for (mechanism, words) in [(&glca, "DCAL, CVPR 2022"), (&modules, "Attend and Rectify")] {
        let place = Place::new(&recipe(mechanism).replace("epochs = 4", "epochs = 3"));
        train(&place.options("whole")).unwrap().unwrap();
        let losses = epoch_losses(&place.path("whole"));
        assert!(losses[2] < losses[0], "{mechanism}: {losses:?}");
        kill_and_resume(place.folder.path(), "killed");
        assert!(place.weights("whole") == place.weights("killed"), "{mechanism}: bit for bit");
        let made = exported(&place);
        let (other, own) = (made.card.find(words), made.card.find("; beside it relation-aware global attention"));
        assert!(other.is_some() && own > other, "{}", made.card);
        assert!(made.bundle.weights.get("rga.0.channel.theta.bn.running_var").is_some());
        same_logits(&made.found.logits_sa, &made.expected.logits_sa);
        assert_eq!(made.found.logits_glca.is_empty(), mechanism == &modules);
        assert_eq!(made.found.logits_mixed.is_empty(), mechanism == &glca);
    }
    let place = Place::new(&recipe(&glca));
    let error = |set: &str| place.error(|options| options.set = vec![set.to_owned()]);
    let sentence = error("model.mechanism.pwca=true");
    assert!(sentence.contains("RGA's gates do not go with PWCA"), "{sentence}");
    let options = place.options("ablation");
    let sentence = ablate(&options, &[], &[1], &|_| ()).unwrap_err().to_string();
    assert!(sentence.contains("RGA's gates beside it") && sentence.contains("--variant"), "{sentence}");
    let sentence = error("train.precision=bf16");
    assert!(sentence.contains("it must be \"f32\" with RGA's gates"), "{sentence}");
}

#[test]
fn what_cannot_be_is_told() {
    let place = Place::new(&recipe(RGA));
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

//! Training with the modules of Attend and Rectify: votes, global gates with a batch norm of their own, the bundle that comes of it.

use std::fs;

use finegrain::tensors::TensorMap;
use finegrain_native::train::train;

use super::mechanism::{exported, recipe, same_logits, start_without};
use super::place::{Place, epoch_losses, kill_and_resume};

/// A module behind each of the two blocks.
const RECTIFY: &str = "{ name = \"rectify\", heads = 3, after = [1, 2], mixing = \"softmax\" }";

#[test]
fn the_loss_falls_and_a_killed_run_ends_with_the_same_weights_and_statistics() {
    let place = Place::new(&recipe(RECTIFY).replace("epochs = 4", "epochs = 5\nema = 0.9"));
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
    let [(own, one, import), (_, other, _)] = ["one", "other"].map(|out| start_without(&place, "rectify.", out));
    assert!(own.len() == 2 * 5 + 5 && own.iter().all(|name| one.get(name) == other.get(name)), "{own:?}");
    assert!(one.reals("rectify.1.output").unwrap().iter().all(|v| v.abs() < 1e-20));
    for part in
        ["0.attention", "1.attention", "0.gate", "1.gate", "0.output", "1.output", "0.norm.weight", "gates.weight"]
    {
        assert!(moved(&format!("rectify.{part}"), &one), "rectify.{part} learnt nothing");
    }
    assert!(
        import.missing.iter().all(|name| name.starts_with("rectify.")) && import.missing.len() == own.len(),
        "{import:?}"
    );
}

#[test]
fn a_run_becomes_a_bundle_that_answers_as_the_network_does() {
    let sigmoid = recipe(RECTIFY).replace("epochs = 4", "epochs = 2").replace("softmax", "sigmoid");
    let made = exported(&Place::new(&sigmoid));
    assert!(made.card.contains("modules of 3 heads after blocks 1, 2, mixed by sigmoid"), "{}", made.card);
    assert!(made.bundle.weights.get("rectify.gates.weight").is_some());
    assert_ne!(made.found.probability, made.found.sa, "the modules have a say");
    same_logits(&made.found.logits_mixed, &made.expected.logits_mixed);
}

#[test]
fn what_cannot_be_is_told() {
    let place = Place::new(&recipe(RECTIFY));
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

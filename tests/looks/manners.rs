//! Looks agree with their twins, say what cannot be asked, and leave no memory behind.

use finegrain::engine::{EngineError, Recording, cpu, record};
use finegrain::look::LookError;
use finegrain::tensors::{Precision, Values};
use pollster::block_on;

use crate::case::{Case, architectures, close};

#[test]
fn the_twins_look_like_the_device() {
    let case = Case::new(architectures().remove(1));
    let (classify, engine) = (record::classify(&case.architecture, Precision::F32).unwrap(), case.engine());
    block_on(engine.classify(&case.image)).unwrap();
    let other = case.architecture.with_ratio(0.6).unwrap();
    for (what, look) in [
        ("attention", record::attention(&case.architecture, 0..=1, 7).unwrap()),
        ("GLCA", record::glca_attention(&case.architecture, 2).unwrap()),
        ("rollout", record::rollout(&case.architecture, 0).unwrap()),
        ("difference", record::difference(&case.architecture, Precision::F32, [3, 8]).unwrap()),
        ("R", record::tail(&other, Precision::F32).unwrap()),
    ] {
        let twins = cpu::run_after(&[&classify], &look, &case.weights, &case.image).unwrap();
        let device = block_on(engine.look(look)).unwrap();
        assert!(!twins.is_empty(), "{what}");
        for (name, tensor) in twins.iter().filter(|(name, _)| *name != "out.selected") {
            let Values::F32(values) = &tensor.values else { panic!("{name}") };
            close(&format!("{what}: {name}"), device.reals(name).unwrap(), values);
        }
    }
}

#[test]
fn a_question_without_an_answer_is_one_sentence() {
    let case = Case::new(architectures().remove(1));
    let engine = case.engine();
    let look = |error: EngineError| match error {
        EngineError::Look(error) => error,
        other => panic!("{other}"),
    };
    assert_eq!(look(block_on(engine.attention(0, 0)).unwrap_err()), LookError::NoPhoto);
    assert_eq!(look(block_on(engine.with_ratio(0.5)).unwrap_err()), LookError::NoPhoto);
    let answer = block_on(engine.classify(&case.image)).unwrap();
    assert_eq!(look(block_on(engine.attention(2, 0)).unwrap_err()), LookError::Layer { layer: 2, last: 1 });
    assert_eq!(look(block_on(engine.attention(0, 50)).unwrap_err()), LookError::Token { token: 50, last: 49 });
    assert_eq!(look(block_on(engine.rollout(9)).unwrap_err()), LookError::Layer { layer: 9, last: 1 });
    assert_eq!(look(block_on(engine.difference([0, 11])).unwrap_err()), LookError::Class { class: 11, last: 10 });
    assert_eq!(look(block_on(engine.with_ratio(1.5)).unwrap_err()), LookError::Ratio(1.5));
    let other = (1..50).find(|token| !answer.selected.contains(token)).unwrap() as usize;
    assert_eq!(look(block_on(engine.glca_attention(other)).unwrap_err()), LookError::NotSelected(other));
    // A recording of one's own, by labels of `record::classify`.
    let mut own = Recording::default();
    let tokens = own.kept("tokens", &[50, 33]);
    own.read_back("last", tokens);
    assert_eq!(block_on(engine.look(own)).unwrap().get("last").unwrap().shape, [50, 33]);
    for (label, shape) in [("no such thing", [50, 33]), ("tokens", [50, 34])] {
        let mut own = Recording::default();
        let wrong = own.kept(label, &shape);
        own.read_back("it", wrong);
        assert_eq!(look(block_on(engine.look(own)).unwrap_err()), LookError::NotKept(label.into()));
    }
    // A photo that fails leaves nothing to look into.
    assert!(block_on(engine.classify(&vec![f32::NAN; case.image.len()])).is_err());
    assert_eq!(look(block_on(engine.attention(0, 0)).unwrap_err()), LookError::NoPhoto);
}

#[test]
fn looks_leave_no_memory_behind() {
    let case = Case::new(architectures().remove(2));
    let engine = case.engine();
    block_on(engine.classify(&case.image)).unwrap();
    let before = engine.device_bytes();
    for _ in 0..3 {
        block_on(engine.attention_of_layers(3)).unwrap();
        block_on(engine.difference([0, 1])).unwrap();
    }
    assert_eq!(engine.device_bytes(), before);
    block_on(engine.with_ratio(0.5)).unwrap();
    let tail = engine.device_bytes() - before;
    block_on(engine.with_ratio(0.5)).unwrap();
    assert_eq!(engine.device_bytes(), before + tail, "one R at a time");
    block_on(engine.classify(&case.image)).unwrap();
    assert_eq!(engine.device_bytes(), before);
}

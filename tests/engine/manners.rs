//! What the engine says to bad weights, bad images and a lost device, and how far it has come.

use finegrain::architecture::Architecture;
use finegrain::engine::{Engine, EngineError, LoadOptions, Progress, record};
use finegrain::tensors::{Precision, Tensor, TensorError, TensorMap};
use pollster::block_on;

use crate::networks::odd;
use crate::support::{Random, gpu, random_weights, reals};

#[test]
fn weights_beyond_f16_are_named_where_f16_is_asked_for() {
    let (gpu, architecture) = (gpu(), odd());
    let mut weights = random_weights(&architecture, &mut Random(7));
    let fc1 = weights.remove("blocks.0.mlp.fc1.weight").unwrap();
    let large = reals(&fc1).iter().map(|v| v * 1e6).collect();
    weights.insert("blocks.0.mlp.fc1.weight", Tensor::f32(fc1.shape.clone(), large));
    let load = |precision| {
        let options = LoadOptions { precision, ..LoadOptions::default() };
        block_on(Engine::load_with(&gpu, &architecture, &weights, options)).err()
    };
    let error = load(Precision::F16).unwrap().to_string();
    assert!(error.contains("blocks.0.mlp.fc1.weight") && error.contains("beyond the range of f16"), "{error}");
    assert!(load(Precision::Int8).is_none(), "a scale holds any size");
}

#[test]
fn bad_weights_and_bad_images_are_named() {
    let gpu = gpu();
    let architecture = odd();
    let weights = random_weights(&architecture, &mut Random(7));
    let broken = |change: &dyn Fn(&mut TensorMap)| {
        let mut weights = weights.clone();
        change(&mut weights);
        block_on(Engine::load(&gpu, &architecture, &weights)).err().unwrap()
    };
    let missing = broken(&|weights| drop(weights.remove("blocks.1.mlp.fc1.bias")));
    assert!(matches!(&missing, EngineError::Weights(TensorError::Missing(name)) if name == "blocks.1.mlp.fc1.bias"));
    let shape = broken(&|weights| weights.insert("norm.bias", Tensor::f32([24], vec![0.0; 24])));
    assert!(matches!(shape, EngineError::Weights(TensorError::Shape { .. })));
    let mut values = vec![0.5; 25];
    values[3] = f32::NAN;
    let nan = broken(&|weights| weights.insert("norm.bias", Tensor::f32([25], values.clone())));
    assert!(matches!(nan, EngineError::Weights(TensorError::NotFinite(_))));
    let heads = Architecture { heads: 4, ..odd() };
    assert!(matches!(block_on(Engine::load(&gpu, &heads, &weights)), Err(EngineError::Architecture(_))));
    let wide = Architecture { dim: 258, heads: 2, ..odd() };
    assert!(matches!(block_on(Engine::load(&gpu, &wide, &weights)), Err(EngineError::Unsupported(_))));

    let engine = block_on(Engine::load(&gpu, &architecture, &weights)).unwrap();
    let short = block_on(engine.classify(&[0.0; 12])).unwrap_err();
    assert!(matches!(short, EngineError::Image { found: 12, expected: 2205 }));
    // Finite in, not finite out: every activation overflows.
    assert!(matches!(block_on(engine.classify(&[f32::NAN; 2205])), Err(EngineError::NotFinite(_))));
    let answer = block_on(engine.classify(&[0.25; 2205])).unwrap();
    assert!(answer.probability.iter().all(|p| p.is_finite()), "the engine still works after a failed photo");
}

#[test]
fn a_lost_device_is_an_error_not_a_panic() {
    let gpu = gpu();
    let architecture = odd();
    let engine = block_on(Engine::load(&gpu, &architecture, &random_weights(&architecture, &mut Random(8)))).unwrap();
    block_on(engine.classify(&[0.25; 2205])).unwrap();
    gpu.lose();
    let error = block_on(engine.classify(&[0.25; 2205])).unwrap_err();
    assert!(matches!(error, EngineError::Lost(_)), "{error}");
}

#[test]
fn two_photos_at_once_are_refused_and_a_dropped_one_is_forgotten() {
    use std::future::Future;
    use std::task::{Context, Waker};
    let gpu = gpu();
    let architecture = odd();
    let engine = block_on(Engine::load(&gpu, &architecture, &random_weights(&architecture, &mut Random(9)))).unwrap();
    let input = [0.25; 2205];
    // Natively a run blocks until it is done, so one poll finishes it; what must not happen is that dropping it at any
    // point leaves the engine busy.
    let mut first = Box::pin(engine.classify(&input));
    let _ = first.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    drop(first);
    block_on(engine.classify(&input)).unwrap();
}

#[test]
fn progress_counts_every_pipeline() {
    let architecture = odd();
    let weights = random_weights(&architecture, &mut Random(10));
    let seen = std::cell::RefCell::new(Vec::new());
    let on_progress = |progress| seen.borrow_mut().push(progress);
    let options = LoadOptions { on_progress: Some(Box::new(on_progress)), ..LoadOptions::default() };
    let engine = block_on(Engine::load_with(&gpu(), &architecture, &weights, options)).unwrap();
    let seen = seen.into_inner();
    let total = record::classify(&architecture, Precision::F32).unwrap().kernels().len();
    assert!(matches!(seen[0], Progress::Uploaded { bytes } if bytes > 0 && bytes < engine.device_bytes()));
    assert_eq!(seen.len(), 1 + total);
    assert_eq!(seen.last(), Some(&Progress::Compiled { done: total, total }));
}

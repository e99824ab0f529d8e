//! The burn model against the float64 traces: forward results, losses and gradients.
#![cfg(feature = "autodiff")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::PathBuf;

use burn::tensor::{Device, Int, Tensor, TensorData};
use finegrain::architecture::Architecture;
use finegrain::compare::compare;
use finegrain::model::{Network, adapt};
use finegrain::tensors::TensorMap;

#[path = "support/traces.rs"]
mod traces;

use traces::architecture;

fn read(path: PathBuf) -> TensorMap {
    TensorMap::read(&std::fs::read(&path).unwrap()).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn fixture(name: &str) -> TensorMap {
    read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name))
}

fn images(trace: &TensorMap, device: &Device) -> Tensor<4> {
    let shape = trace.get("input.images").unwrap().shape.clone();
    Tensor::from_data(TensorData::new(trace.reals("input.images").unwrap().to_vec(), shape), device)
}

fn integers(trace: &TensorMap, name: &str, device: &Device) -> Tensor<1, Int> {
    let values = trace.integers(name).unwrap().to_vec();
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), device)
}

fn assert_close(found: &TensorMap, truth: &TensorMap, prefix: &str, tolerance: f64) {
    let differences = compare(found, truth, prefix);
    let expected: Vec<&str> = truth.iter().map(|(name, _)| name).filter(|name| name.starts_with(prefix)).collect();
    assert!(!expected.is_empty());
    for name in expected {
        let difference = differences.get(name).unwrap_or_else(|| panic!("{name} was not computed"));
        assert!(difference.rel_norm <= tolerance, "{name}: {difference:?} is more than {tolerance}");
    }
}

fn holds_against(name: &str) {
    let trace = fixture(name);
    let architecture = architecture(&trace);
    let device = Device::flex().autodiff();
    let network = Network::new(&architecture, &device).load(&trace.under("param.")).unwrap();
    let losses = network.losses(
        images(&trace, &device),
        integers(&trace, "input.labels", &device),
        Some(integers(&trace, "input.perm", &device)),
        0.0,
    );
    assert_close(&losses.trace(), &trace, "out.", 1e-5);

    let gradients = network.gradients(&losses.total.backward());
    let mut named = TensorMap::default();
    for (name, gradient) in gradients.iter() {
        named.insert(format!("grad.{name}"), gradient.clone());
    }
    assert_close(&named, &trace, "grad.", 1e-4);
}

#[test]
fn dcal_small_is_reproduced_with_gradients() {
    holds_against("dcal_small.safetensors");
}

#[test]
fn dcal_odd_is_reproduced_with_gradients() {
    holds_against("dcal_odd.safetensors");
}

#[test]
fn dcal_hybrid_is_reproduced_with_gradients() {
    holds_against("dcal_hybrid.safetensors");
}

#[test]
fn weights_survive_the_way_out_and_in() {
    let trace = fixture("dcal_odd.safetensors");
    let network = Network::new(&architecture(&trace), &Device::flex()).load(&trace.under("param.")).unwrap();
    assert_eq!(network.weights(), trace.under("param."));
}

#[test]
fn weights_of_another_architecture_are_named() {
    let trace = fixture("dcal_small.safetensors");
    let narrow = Architecture { classes: 9, ..architecture(&trace) };
    let error = Network::new(&narrow, &Device::flex()).load(&trace.under("param.")).unwrap_err();
    assert!(error.to_string().contains("head.weight"), "{error}");
    let mut missing = trace.under("param.");
    missing.remove("blocks.1.attn.qkv.bias");
    let error = Network::new(&architecture(&trace), &Device::flex()).load(&missing).unwrap_err();
    assert!(error.to_string().contains("blocks.1.attn.qkv.bias"), "{error}");
}

#[test]
fn frozen_blocks_get_no_gradient() {
    let trace = fixture("dcal_small.safetensors");
    let device = Device::flex().autodiff();
    let mut network = Network::new(&architecture(&trace), &device).load(&trace.under("param.")).unwrap();
    network.backbone = network.backbone.freeze_first(2);
    let losses = network.losses(images(&trace, &device), integers(&trace, "input.labels", &device), None, 0.1);
    let gradients = network.gradients(&losses.total.backward());
    assert!(gradients.get("blocks.1.mlp.fc2.weight").is_none() && gradients.get("pos_embed").is_none());
    assert!(gradients.get("blocks.2.mlp.fc2.weight").is_some() && gradients.get("glca.norm1.weight").is_some());
}

#[test]
fn a_batch_gives_the_answers_of_its_images() {
    let trace = fixture("dcal_odd.safetensors");
    let device = Device::flex();
    let network = Network::new(&architecture(&trace), &device).load(&trace.under("param.")).unwrap();
    let batch = network.classify(images(&trace, &device));
    let values = trace.reals("input.images").unwrap();
    for (answer, image) in batch.iter().zip(values.chunks(values.len() / batch.len())) {
        let single = &network.classify(network.images(image, &device))[0];
        assert_eq!(single.selected, answer.selected);
        assert!(single.probability.iter().zip(&answer.probability).all(|(a, b)| (a - b).abs() < 1e-5));
        assert!((single.rollout.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }
}

/// The pretrained ViT-Tiny on two photos, against PyTorch's float64 results.
#[test]
fn the_real_vit_tiny_is_reproduced() {
    let shared = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let weights = shared.join("weights/vit_tiny_patch16_224.augreg_in21k_ft_in1k.safetensors");
    if !weights.exists() {
        println!("skipped: no pretrained weights beside the checkout");
        return;
    }
    let trace = read(shared.join("reference/vit_tiny_real.safetensors"));
    let architecture = architecture(&trace);
    let mut weights = adapt(&read(weights), &architecture).unwrap();
    // The trace's GLCA branch classifies with the network's own head.
    for part in ["weight", "bias"] {
        let head = weights.get(&format!("head.{part}")).unwrap().clone();
        weights.insert(format!("glca_head.{part}"), head);
    }
    let device = Device::flex();
    let network = Network::new(&architecture, &device).load(&weights).unwrap();
    let found = network.trace(images(&trace, &device));
    assert_close(&found, &trace, "out.", 2e-5);
    let logits = &compare(&found, &trace, "out.logits.")["out.logits.sa"];
    assert!(logits.max_abs < 1e-3, "{logits:?}");
}

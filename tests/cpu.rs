//! The network on the processor against the float64 traces and, over many shapes, against the burn model.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use finegrain::architecture::{Architecture, Dcal, Mechanism};
use finegrain::compare::compare;
use finegrain::cpu::{Cpu, CpuError};
use finegrain::model::{Network, adapt};
use finegrain::tensors::{Tensor, TensorMap, Values};

fn read(path: &Path) -> TensorMap {
    TensorMap::read(&std::fs::read(path).unwrap()).unwrap()
}

fn architecture(trace: &TensorMap) -> Architecture {
    let config: serde_json::Value = serde_json::from_str(&trace.metadata["config"]).unwrap();
    let number = |key: &str| config[key].as_u64().map(|n| usize::try_from(n).unwrap());
    let side = number("image_size").unwrap();
    Architecture {
        image_size: [side, side],
        patch_size: number("patch_size").unwrap(),
        dim: number("dim").unwrap(),
        depth: number("depth").unwrap(),
        heads: number("heads").unwrap(),
        mlp_ratio: number("mlp_ratio").unwrap_or(4),
        layer_norm_eps: 1e-6,
        classes: trace.get("out.logits.sa").unwrap().shape[1],
        mechanism: Mechanism::Dcal(Dcal { ratio: config["ratio"].as_f64().unwrap(), glca: true, pwca: false }),
    }
}

/// Image `index` of every tensor of a batch.
fn single(trace: &TensorMap, index: usize) -> TensorMap {
    let mut one = TensorMap::default();
    for (name, tensor) in trace.iter().filter(|(name, _)| !name.starts_with("param.") && !name.starts_with("grad.")) {
        let [batch, rest @ ..] = tensor.shape.as_slice() else { continue };
        let size: usize = rest.iter().product();
        let shape: Vec<usize> = std::iter::once(1).chain(rest.iter().copied()).collect();
        if *batch <= index || name.contains("loss") || name.contains("pwca") {
            continue;
        }
        let tensor = match &tensor.values {
            Values::F32(values) => Tensor::f32(shape, values[index * size..][..size].to_vec()),
            Values::I32(values) => Tensor::i32(shape, values[index * size..][..size].to_vec()),
        };
        one.insert(name, tensor);
    }
    one
}

/// Every result of inference in `truth` is in `found`, within `tolerance` (relative norm; selections exactly).
fn assert_close(what: &str, found: &TensorMap, truth: &TensorMap, tolerance: f64) {
    let differences = compare(found, truth, "out.");
    let mut compared = 0;
    for (name, _) in truth.iter().filter(|(name, _)| name.starts_with("out.")) {
        if name == "out.selected" {
            assert_eq!(found.integers(name).unwrap(), truth.integers(name).unwrap(), "{what}");
        } else {
            let difference = differences.get(name).unwrap_or_else(|| panic!("{what}: {name} was not computed"));
            assert!(difference.rel_norm <= tolerance, "{what}: {name}: {difference:?}");
        }
        compared += 1;
    }
    assert!(compared > 8, "{what}: {compared} tensors compared");
}

#[test]
fn traces_are_reproduced() {
    for name in ["dcal_small.safetensors", "dcal_odd.safetensors"] {
        let trace = read(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name));
        let cpu = Cpu::load(&architecture(&trace), &trace.under("param.")).unwrap();
        for index in 0..trace.get("input.images").unwrap().shape[0] {
            let truth = single(&trace, index);
            let image = truth.reals("input.images").unwrap();
            assert_close(&format!("{name}, image {index}"), &cpu.trace(image).unwrap(), &truth, 1e-5);
            let answer = cpu.classify(image).unwrap();
            for share in [&answer.sa, &answer.glca, &answer.probability, &answer.rollout] {
                assert!((share.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            }
        }
    }
}

#[test]
fn the_real_vit_tiny_is_reproduced() {
    let shared = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let weights = shared.join("weights/vit_tiny_patch16_224.augreg_in21k_ft_in1k.safetensors");
    if !weights.exists() {
        println!("skipped: no pretrained weights beside the checkout");
        return;
    }
    let trace = read(&shared.join("reference/vit_tiny_real.safetensors"));
    let architecture = architecture(&trace);
    let mut weights = adapt(&read(&weights), &architecture).unwrap();
    for part in ["weight", "bias"] {
        let head = weights.get(&format!("head.{part}")).unwrap().clone();
        weights.insert(format!("glca_head.{part}"), head);
    }
    let cpu = Cpu::load(&architecture, &weights).unwrap();
    let truth = single(&trace, 0);
    assert_close("vit_tiny_real", &cpu.trace(truth.reals("input.images").unwrap()).unwrap(), &truth, 2e-5);
}

/// 2, 50, 197 and 785 tokens; heads of odd number and width; images that are not square; no GLCA.
#[test]
fn networks_of_many_shapes_agree_with_burn() {
    let dcal = |ratio| Mechanism::Dcal(Dcal { ratio, glca: true, pwca: false });
    let shape = |image_size, patch_size, dim, heads, depth, mlp_ratio, classes, mechanism| Architecture {
        image_size,
        patch_size,
        dim,
        heads,
        depth,
        mlp_ratio,
        layer_norm_eps: 1e-6,
        classes,
        mechanism,
    };
    for architecture in [
        shape([5, 5], 5, 7, 1, 1, 3, 2, dcal(0.5)),
        shape([28, 28], 4, 33, 3, 2, 4, 11, dcal(0.1)),
        shape([56, 56], 4, 20, 5, 2, 2, 196, dcal(0.3)),
        shape([112, 112], 4, 18, 2, 1, 4, 3, dcal(0.1)),
        shape([32, 16], 4, 48, 3, 3, 4, 5, dcal(1.0)),
        shape([24, 40], 8, 24, 3, 2, 4, 9, Mechanism::None),
    ] {
        let device = Device::flex();
        let network = Network::new(&architecture, &device);
        let mut weights = network.weights();
        let names: Vec<String> = weights.iter().map(|(name, _)| name.to_owned()).collect();
        for (k, name) in names.iter().enumerate() {
            let Some(tensor) = weights.get(name).cloned() else { continue };
            let Values::F32(values) = tensor.values else { continue };
            let fan_in = tensor.shape.iter().skip(1).product::<usize>().max(4) as f32;
            let noise = |i: usize| ((i * 7919 + k * 104_729) as f32 * 0.618).sin() * 1.7 / fan_in.sqrt();
            let values = values.iter().enumerate().map(|(i, v)| v + noise(i)).collect();
            weights.insert(name.clone(), Tensor::f32(tensor.shape, values));
        }
        let network = network.load(&weights).unwrap();
        let count = 3 * architecture.image_size[0] * architecture.image_size[1];
        let image: Vec<f32> = (0..count).map(|i| (i as f32 * 0.37).sin() + (i as f32 * 0.011).cos()).collect();
        let truth = network.trace(network.images(&image, &device));
        let found = Cpu::load(&architecture, &weights).unwrap().trace(&image).unwrap();
        let what = format!("{architecture:?}");
        assert_close(&what, &found, &truth, 1e-5);
    }
}

#[test]
fn bad_input_is_one_sentence() {
    let trace = read(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/dcal_small.safetensors"));
    let (architecture, weights) = (architecture(&trace), trace.under("param."));
    let cpu = Cpu::load(&architecture, &weights).unwrap();
    let image = single(&trace, 0).reals("input.images").unwrap().to_vec();
    assert!(matches!(cpu.classify(&image[1..]), Err(CpuError::Image { found, expected }) if found + 1 == expected));
    let mut broken = image;
    broken[7] = f32::NAN;
    assert!(matches!(cpu.classify(&broken), Err(CpuError::NotFinite(_))));
    let mut missing = weights.clone();
    missing.remove("blocks.1.mlp.fc2.bias");
    let error = Cpu::load(&architecture, &missing).err().unwrap().to_string();
    assert!(error.contains("blocks.1.mlp.fc2.bias"), "{error}");
    let impossible = Architecture { heads: 7, ..architecture };
    assert!(matches!(Cpu::load(&impossible, &weights), Err(CpuError::Architecture(_))));
}

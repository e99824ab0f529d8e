//! Whole networks against the traces (computed in f64 by another program), the twins and each other.

use std::path::Path;

use burn::tensor::Device;
use finegrain::architecture::{Architecture, Dcal, Mechanism, Mixing, RectifyBlocks, RgaBlocks, TasnBlocks};
use finegrain::bundle::round;
use finegrain::cpu::Cpu;
use finegrain::engine::{Engine, LoadOptions, cpu, record};
use finegrain::fold::apart;
use finegrain::model::Network;
use finegrain::self_test::{SelfTest, TOLERANCE};
use finegrain::tensors::{Precision, Tensor, TensorMap};
use pollster::block_on;

use crate::shapes::{hybrids, pairs};
use crate::support::{Random, fixture, gpu, random_weights, reals, relative_norm, trace_file};

/// Values of image `index` of a batch.
fn image(map: &TensorMap, name: &str, index: usize) -> Vec<f32> {
    let tensor = map.get(name).unwrap();
    let size: usize = tensor.shape[1..].iter().product();
    reals(tensor)[index * size..(index + 1) * size].to_vec()
}

fn selected(map: &TensorMap, index: usize) -> Vec<i32> {
    let k = map.get("out.selected").unwrap().shape[1];
    map.integers("out.selected").unwrap()[index * k..(index + 1) * k].to_vec()
}

/// Every `out.` tensor of the trace that inference has, against what was computed. 1e-5 relative norm, f32 against f64.
fn compare(what: &str, found: &TensorMap, trace: &TensorMap, index: usize) {
    let mut compared = 0;
    for (name, expected) in trace.iter().filter(|(name, _)| name.starts_with("out.")) {
        // Training only: pairs of images and losses.
        if name.contains("pwca") || name.contains("loss") {
            continue;
        }
        compared += 1;
        let tensor = found.get(name).unwrap_or_else(|| panic!("{what}: {name} is missing"));
        assert_eq!(tensor.shape[1..], expected.shape[1..], "{what}: {name}");
        if name == "out.selected" {
            assert_eq!(found.integers(name).unwrap(), selected(trace, index), "{what}: {name}");
            continue;
        }
        let error = relative_norm(reals(tensor), &image(trace, name, index));
        assert!(error < 1e-5, "{what}: {name} is off by {error:.2e}");
    }
    assert!(compared > 10, "{what}: {compared} tensors compared");
}

#[test]
fn traces_are_reproduced_on_the_device() {
    for name in ["dcal_small.safetensors", "dcal_odd.safetensors", "dcal_hybrid.safetensors"] {
        let (architecture, trace) = fixture(name);
        let engine = block_on(Engine::load(&gpu(), &architecture, &trace.under("param."))).unwrap();
        for index in 0..trace.get("input.images").unwrap().shape[0] {
            let input = image(&trace, "input.images", index);
            compare(&format!("{name}, image {index}"), &block_on(engine.trace(&input)).unwrap(), &trace, index);
            // Classifying reads back less and shares its buffers from photo to photo.
            let answer = block_on(engine.classify(&input)).unwrap();
            for (what, values) in [
                ("out.logits.sa", &answer.logits_sa),
                ("out.logits.glca", &answer.logits_glca),
                ("out.probability", &answer.probability),
                ("out.rollout", &answer.rollout),
            ] {
                let error = relative_norm(values, &image(&trace, what, index));
                assert!(error < 1e-5, "{name}, image {index}: {what} is off by {error:.2e}");
            }
            let tokens: Vec<i32> = answer.selected.iter().map(|token| token.cast_signed()).collect();
            assert_eq!(tokens, selected(&trace, index));
            for values in [&answer.sa, &answer.glca, &answer.rollout] {
                assert!((values.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            }
        }
    }
}

/// A kernel cannot be broken from outside (the page's tests do it, between WebGPU and the browser). A weight that is off by
/// a twentieth in one norm is what a slightly wrong `layer_norm` gives.
#[test]
fn the_self_test_tells_a_right_device_from_a_wrong_one() {
    for name in ["dcal_small.safetensors", "dcal_odd.safetensors"] {
        let (architecture, trace) = fixture(name);
        let mut first = TensorMap::default();
        for (name, tensor) in trace.iter().filter(|(name, _)| name.starts_with("out.")) {
            let mut shape = tensor.shape.clone();
            if shape.first().is_none_or(|&batch| batch != trace.get("input.images").unwrap().shape[0]) {
                continue;
            }
            shape[0] = 1;
            let tensor = match name {
                "out.selected" => Tensor::i32(shape, selected(&trace, 0)),
                _ => Tensor::f32(shape, image(&trace, name, 0)),
            };
            first.insert(name, tensor);
        }
        let run = |weights: &TensorMap| {
            let engine = block_on(Engine::load(&gpu(), &architecture, weights)).unwrap();
            let answer = block_on(engine.classify(&image(&trace, "input.images", 0))).unwrap();
            SelfTest::new(&answer, &first, TOLERANCE).unwrap()
        };
        let mut weights = trace.under("param.");
        let right = run(&weights);
        assert!(right.passed && right.results.iter().all(|result| result.difference < TOLERANCE / 50.0), "{right:?}");

        let norm = weights.remove("blocks.1.norm1.weight").unwrap();
        let off = reals(&norm).iter().map(|v| v * 1.05).collect();
        weights.insert("blocks.1.norm1.weight", Tensor::f32(norm.shape.clone(), off));
        let wrong = run(&weights);
        assert!(!wrong.passed, "{wrong:?}");
        assert_eq!(wrong.results[0].name, "out.logits.sa");
    }
}

#[test]
fn traces_are_reproduced_by_the_twins() {
    for name in ["dcal_small.safetensors", "dcal_odd.safetensors", "dcal_hybrid.safetensors"] {
        let (architecture, trace) = fixture(name);
        let recording = record::trace(&architecture, Precision::F32).unwrap();
        let weights = trace.under("param.");
        let weights = apart(&architecture, &weights).unwrap();
        let found = cpu::run(&recording, &weights, &image(&trace, "input.images", 0)).unwrap();
        let mut batch = TensorMap::default();
        for (name, tensor) in found.iter() {
            let shape: Vec<usize> = std::iter::once(1).chain(tensor.shape.iter().copied()).collect();
            batch.insert(name, Tensor { shape, values: tensor.values.clone() });
        }
        compare(&format!("{name}, twins"), &batch, &trace, 0);
    }
}

/// The pretrained ViT-Tiny on two photos, GLCA with block 12's weights (shared/README.md).
#[test]
fn the_real_vit_tiny_is_reproduced() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let weights = shared.join("weights/vit_tiny_patch16_224.augreg_in21k_ft_in1k.safetensors");
    let reference = shared.join("reference/vit_tiny_real.safetensors");
    if !weights.is_file() || !reference.is_file() {
        println!("skipped: the pretrained ViT-Tiny and its reference are not beside this checkout");
        return;
    }
    let (architecture, trace) = trace_file(&reference);
    let mut weights = TensorMap::read(&std::fs::read(weights).unwrap()).unwrap();
    let copies: Vec<(String, Tensor)> = weights
        .iter()
        .filter_map(|(name, tensor)| {
            let copy = if let Some(rest) = name.strip_prefix("blocks.11.") {
                format!("glca.{rest}")
            } else {
                format!(
                    "glca_{}",
                    name.strip_prefix("norm.")
                        .map(|rest| format!("norm.{rest}"))
                        .or_else(|| { name.strip_prefix("head.").map(|rest| format!("head.{rest}")) })?
                )
            };
            Some((copy, tensor.clone()))
        })
        .collect();
    for (name, tensor) in copies {
        weights.insert(name, tensor);
    }
    let engine = block_on(Engine::load(&gpu(), &architecture, &weights)).unwrap();
    for index in 0..2 {
        let input = image(&trace, "input.images", index);
        let answer = block_on(engine.classify(&input)).unwrap();
        for (what, values) in [("out.logits.sa", &answer.logits_sa), ("out.logits.glca", &answer.logits_glca)] {
            let expected = image(&trace, what, index);
            let worst = values.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-3, "photo {index}: {what} is off by {worst}");
        }
        let tokens: Vec<i32> = answer.selected.iter().map(|token| token.cast_signed()).collect();
        assert_eq!(tokens, selected(&trace, index), "photo {index}");
        compare(&format!("ViT-Tiny, photo {index}"), &block_on(engine.trace(&input)).unwrap(), &trace, index);
    }
}

pub(crate) fn odd() -> Architecture {
    Architecture {
        resnet: None,
        hybrid: None,
        image_size: [21, 35],
        patch_size: 7,
        dim: 25,
        depth: 2,
        heads: 5,
        mlp_ratio: 3,
        layer_norm_eps: 1e-6,
        classes: 3,
        mechanism: Mechanism::Dcal(Dcal { ratio: 0.3, glca: true, pwca: false, gates: None }),
    }
}

/// Networks that no trace covers, against the twins: an oblong image, one patch, GLCA off, everything odd.
#[test]
fn other_architectures_agree_with_the_twins() {
    let gpu = gpu();
    let mut random = Random(5);
    let one_patch = Architecture { image_size: [7, 7], ..odd() };
    let plain = Architecture { mechanism: Mechanism::None, ..odd() };
    let wide = Architecture { dim: 130, heads: 2, depth: 1, classes: 257, ..odd() };
    let rga = |ratio, [spatial, channel]: [bool; 2], after: &[usize]| Architecture {
        mechanism: Mechanism::Rga(RgaBlocks { ratio, spatial, channel, after: after.to_vec() }),
        depth: 3,
        ..odd()
    };
    let gated = [rga(8, [true, true], &[1, 2]), rga(3, [true, false], &[2]), rga(2, [false, true], &[1])];
    let rectify = |heads, after: &[usize], mixing| Architecture {
        mechanism: Mechanism::Rectify(RectifyBlocks { heads, after: after.to_vec(), mixing, gates: None }),
        depth: 3,
        ..odd()
    };
    let voting = [
        rectify(4, &[1, 2, 3], Mixing::Softmax),
        rectify(3, &[2], Mixing::Sigmoid),
        Architecture { image_size: [98, 98], classes: 196, ..rectify(5, &[1, 3], Mixing::Softmax) },
        Architecture { image_size: [7, 7], dim: 130, heads: 2, classes: 65, ..rectify(1, &[1, 2], Mixing::Sigmoid) },
    ];
    let resampled = [(2, 2), (3, 1)].map(|(zoom, after)| Architecture {
        mechanism: Mechanism::Tasn(TasnBlocks { zoom, after, ..TasnBlocks::default() }),
        ..odd()
    });
    let others = [odd(), one_patch, plain, wide]
        .into_iter()
        .chain(gated)
        .chain(voting)
        .chain(resampled)
        .chain(hybrids())
        .chain(pairs().into_iter().filter(|pair| pair.resnet.is_none()));
    for architecture in others {
        let weights = random_weights(&architecture, &mut random);
        let [height, width] = architecture.input_size();
        let input = reals(&random.tensor(&[3, height, width], 2.0)).to_vec();
        let engine = block_on(Engine::load(&gpu, &architecture, &weights)).unwrap();
        let answer = block_on(engine.classify(&input)).unwrap();
        let recording = record::classify(&architecture, Precision::F32).unwrap();
        let twin = cpu::run(&recording, &apart(&architecture, &weights).unwrap(), &input).unwrap();
        // Between two unlike pixels, as here, the rounding of a coordinate is one of the photo, as many times larger as that has
        // pixels.
        let tolerance = if architecture.tasn().is_some() { 1e-4 } else { 1e-5 };
        let near = |found: &[f32], expected: &[f32]| {
            let difference = relative_norm(found, expected);
            assert!(difference < tolerance, "{architecture:?}: {difference:.1e}");
        };
        near(&answer.logits_sa, twin.reals("out.logits.sa").unwrap());
        near(&answer.rollout, twin.reals("out.rollout").unwrap());
        assert_eq!(answer.selected.len(), architecture.selected());
        // The CPU path, which has the gates in code of its own.
        let path = Cpu::load(&architecture, &weights).unwrap().classify(&input).unwrap();
        near(&answer.logits_sa, &path.logits_sa);
        let apart = answer.sampling.iter().zip(&path.sampling).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 1e-5 && answer.sampling.len() == path.sampling.len(), "a coordinate is off by {apart}");
        let moved = architecture.tasn().map_or(0, |_| architecture.image_size.iter().sum());
        assert_eq!(answer.sampling.len(), moved);
        if architecture.rectify().is_some() {
            let burn = Network::new(&architecture, &Device::flex()).load(&weights).unwrap();
            let truth = burn.classify(burn.images(&input, &Device::flex())).remove(0);
            for (what, [found, expected]) in [
                ("mixed, twins", [&answer.logits_mixed[..], twin.reals("out.logits.mixed").unwrap()]),
                ("mixed, CPU path", [&answer.logits_mixed, &path.logits_mixed]),
                ("mixed, burn", [&answer.logits_mixed, &truth.logits_mixed]),
                ("probability", [&answer.probability, &truth.probability]),
            ] {
                let error = relative_norm(found, expected);
                assert!(error < 1e-5, "{what}: {error:.2e}, {architecture:?}");
            }
            let trace = block_on(engine.trace(&input)).unwrap();
            let expected = burn.trace(burn.images(&input, &Device::flex()));
            for place in 0..architecture.rectify().unwrap().after.len() {
                let name = format!("out.masks.{place}");
                assert!(relative_norm(trace.reals(&name).unwrap(), expected.reals(&name).unwrap()) < 1e-5);
            }
        } else if architecture.glca().is_some() {
            assert!(relative_norm(&answer.probability, twin.reals("out.probability").unwrap()) < 1e-5);
        } else {
            assert_eq!(answer.probability, answer.sa);
            assert!(answer.glca.is_empty() && answer.logits_glca.is_empty());
        }
    }
}

/// A bundle's weights were rounded when it was made; stored as they were rounded, they compute what the rounded values do.
#[test]
fn weights_in_every_precision_compute_what_their_values_do() {
    let gpu = gpu();
    let mut random = Random(6);
    let wide = Architecture { dim: 130, heads: 2, depth: 1, classes: 257, ..odd() };
    // With GLCA, as the others.
    let hybrid = hybrids().swap_remove(0);
    for (architecture, precision) in
        [odd(), wide, hybrid].iter().flat_map(|network| [Precision::F16, Precision::Int8].map(|p| (network.clone(), p)))
    {
        let weights = round(&random_weights(&architecture, &mut random), precision).unwrap();
        let [height, width] = architecture.input_size();
        let input = reals(&random.tensor(&[3, height, width], 2.0)).to_vec();
        let load = |precision| {
            let options = LoadOptions { precision, ..LoadOptions::default() };
            block_on(Engine::load_with(&gpu, &architecture, &weights, options)).unwrap()
        };
        let (packed, plain) = (load(precision), load(Precision::F32));
        assert_eq!(packed.precision(), precision);
        assert!(packed.device_bytes() < plain.device_bytes(), "{precision:?}");
        let (found, expected) = (block_on(packed.classify(&input)).unwrap(), block_on(plain.classify(&input)).unwrap());
        for (what, found, expected) in [
            ("SA", &found.logits_sa, &expected.logits_sa),
            ("GLCA", &found.logits_glca, &expected.logits_glca),
            ("rollout", &found.rollout, &expected.rollout),
        ] {
            let error = relative_norm(found, expected);
            assert!(error < 1e-5, "{precision:?}: {what} is off by {error:.2e}");
        }
        // The twins read the same words.
        let weights = apart(&architecture, &weights).unwrap();
        let twin = cpu::run(&record::classify(&architecture, precision).unwrap(), &weights, &input).unwrap();
        assert!(relative_norm(&found.logits_glca, twin.reals("out.logits.glca").unwrap()) < 1e-5, "{precision:?}");
        // A trace takes the same kernels.
        let trace = block_on(packed.trace(&input)).unwrap();
        assert_eq!(trace.reals("out.logits.sa").unwrap(), found.logits_sa);
    }
}

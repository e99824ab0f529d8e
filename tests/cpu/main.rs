//! The network on the processor against the float64 traces and, over many shapes, against the burn model.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use finegrain::architecture::{Architecture, Dcal, Mechanism, Mixing, RectifyBlocks, RgaBlocks, TasnBlocks};
use finegrain::compare::{compare, reals};
use finegrain::cpu::{Cpu, CpuError};
use finegrain::early::Sure;
use finegrain::model::{Network, adapt};
use finegrain::tensors::{Tensor, TensorMap, Values};

#[path = "../support/random.rs"]
mod random;
mod residual;
#[path = "../support/shapes.rs"]
mod shapes;
mod threads;
#[path = "../support/traces.rs"]
mod traces;

use traces::architecture;

fn read(path: &Path) -> TensorMap {
    TensorMap::read(&std::fs::read(path).unwrap()).unwrap()
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
    for name in ["dcal_small.safetensors", "dcal_odd.safetensors", "dcal_hybrid.safetensors"] {
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

/// A photo of 448 pixels, as sharp as noise, resampled by the attention of real weights.
#[test]
fn the_real_vit_tiny_resamples_as_burn_does() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/weights/vit_tiny_patch16_224.augreg_in21k_ft_in1k.safetensors");
    if !file.exists() {
        println!("skipped: no pretrained weights beside the checkout");
        return;
    }
    let architecture = Architecture {
        resnet: None,
        hybrid: None,
        image_size: [224, 224],
        patch_size: 16,
        dim: 192,
        depth: 12,
        heads: 3,
        mlp_ratio: 4,
        layer_norm_eps: 1e-6,
        classes: 1000,
        mechanism: Mechanism::Tasn(TasnBlocks::default()),
    };
    let weights = adapt(&read(&file), &architecture).unwrap();
    let image = random::Random(9).tensor(&[3, 448, 448], 1.0);
    let image = match &image.values {
        Values::F32(values) => values,
        Values::I32(_) => unreachable!("random numbers are real"),
    };
    let network = Network::new(&architecture, &Device::flex()).load(&weights).unwrap();
    let truth = network.classify(network.images(image, &Device::flex())).remove(0);
    let found = Cpu::load(&architecture, &weights).unwrap().classify(image).unwrap();
    let worst = found.sampling.iter().zip(&truth.sampling).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let even = |i: usize| 2.0 * (i % 224) as f32 / 224.0 - 1.0;
    let moved = truth.sampling.iter().enumerate().map(|(i, at)| (at - even(i)).abs()).fold(0.0, f32::max);
    let logits = reals(&found.logits_sa, &truth.logits_sa).rel_norm;
    println!("coordinates off by {worst:.1e}, moved by up to {moved:.2}; logits off by {logits:.1e}");
    assert!(worst < 1e-5 && moved > 0.01, "coordinates off by {worst:.1e}, moved by up to {moved}");
    assert!(logits < 5e-4, "logits are off by {logits:.1e}");
}

/// 2, 50, 197 and 785 tokens; heads of odd number and width; images that are not square; no GLCA; hybrids.
fn architectures() -> Vec<Architecture> {
    let dcal = |ratio| Mechanism::Dcal(Dcal { ratio, glca: true, pwca: false, gates: None });
    let rga = |ratio, [spatial, channel]: [bool; 2], after: &[usize]| {
        Mechanism::Rga(RgaBlocks { ratio, spatial, channel, after: after.to_vec() })
    };
    let rectify = |heads, after: &[usize], mixing| {
        Mechanism::Rectify(RectifyBlocks { heads, after: after.to_vec(), mixing, gates: None })
    };
    let tasn = |zoom, after| Mechanism::Tasn(TasnBlocks { zoom, after, ..TasnBlocks::default() });
    let shape = |image_size, patch_size, dim, heads, depth, mlp_ratio, classes, mechanism| Architecture {
        resnet: None,
        hybrid: None,
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
    let transformers = [
        shape([5, 5], 5, 7, 1, 1, 3, 2, dcal(0.5)),
        shape([28, 28], 4, 33, 3, 2, 4, 11, dcal(0.1)),
        shape([56, 56], 4, 20, 5, 2, 2, 196, dcal(0.3)),
        shape([112, 112], 4, 18, 2, 1, 4, 3, dcal(0.1)),
        shape([32, 16], 4, 48, 3, 3, 4, 5, dcal(1.0)),
        shape([24, 40], 8, 24, 3, 2, 4, 9, Mechanism::None),
        shape([28, 28], 4, 33, 3, 3, 4, 11, rga(8, [true, true], &[1, 2])),
        shape([24, 40], 8, 24, 3, 2, 4, 9, rga(4, [true, false], &[1])),
        shape([56, 56], 4, 20, 5, 2, 2, 6, rga(3, [false, true], &[1])),
        shape([28, 28], 4, 33, 3, 4, 4, 11, rectify(4, &[1, 3, 4], Mixing::Softmax)),
        shape([24, 40], 8, 24, 3, 2, 4, 9, rectify(3, &[1], Mixing::Sigmoid)),
        shape([56, 56], 4, 20, 5, 2, 2, 196, rectify(1, &[1, 2], Mixing::Softmax)),
        shape([112, 112], 4, 18, 2, 1, 4, 3, rectify(7, &[1], Mixing::Sigmoid)),
        shape([5, 5], 5, 7, 1, 2, 3, 2, rectify(5, &[1, 2], Mixing::Softmax)),
        shape([28, 28], 4, 33, 3, 3, 4, 11, tasn(2, 3)),
        shape([24, 40], 8, 24, 3, 2, 4, 9, tasn(3, 1)),
        shape([56, 56], 4, 20, 5, 2, 2, 6, tasn(4, 2)),
        shape([5, 5], 5, 7, 1, 2, 3, 2, tasn(2, 1)),
    ];
    let pairs = shapes::pairs().into_iter().filter(|pair| pair.resnet.is_none());
    transformers.into_iter().chain(shapes::hybrids()).chain(pairs).collect()
}

/// A network of that shape, its weights in timm's layout, and a photo.
fn case(architecture: &Architecture) -> (Network, TensorMap, Vec<f32>) {
    let weights = random::weights(architecture, 1.0, 32);
    let network = Network::new(architecture, &Device::flex()).load(&weights).unwrap();
    let [height, width] = architecture.input_size();
    let count = 3 * height * width;
    let image: Vec<f32> = (0..count).map(|i| (i as f32 * 0.37).sin() + (i as f32 * 0.011).cos()).collect();
    (network, weights, image)
}

/// Relative norm of what f32 may differ. Between two unlike pixels the rounding of a coordinate is a rounding of the photo, as
/// many times larger as the photo has pixels.
fn tolerance(architecture: &Architecture) -> f64 {
    if architecture.tasn().is_some() { 5e-5 } else { 1e-5 }
}

#[test]
fn networks_of_many_shapes_agree_with_burn() {
    for architecture in architectures() {
        let (network, weights, image) = case(&architecture);
        let truth = network.trace(network.images(&image, &Device::flex()));
        let found = Cpu::load(&architecture, &weights).unwrap().trace(&image).unwrap();
        let what = format!("{architecture:?}");
        assert_close(&what, &found, &truth, tolerance(&architecture));
        let taken = Cpu::take(&architecture, weights).unwrap().trace(&image).unwrap();
        assert!(taken == found, "{what}: freeing weights changes nothing");
        if architecture.tasn().is_some() {
            let [found, truth] = [&found, &truth].map(|trace| trace.reals("out.sampling").unwrap());
            assert_eq!(found.len(), architecture.image_size.iter().sum::<usize>());
            let worst = found.iter().zip(truth).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-5, "{what}: a coordinate is off by {worst}");
        }
    }
}

/// Any threshold below the smallest probability ends at the first place where two modules agree; none above 1 ends anywhere.
#[test]
fn an_early_answer_is_what_the_modules_so_far_say() {
    let mechanism = RectifyBlocks { heads: 3, after: vec![1, 2, 3, 5], mixing: Mixing::Softmax, gates: None };
    let architecture = Architecture {
        resnet: None,
        hybrid: None,
        image_size: [28, 28],
        patch_size: 4,
        dim: 33,
        depth: 5,
        heads: 3,
        mlp_ratio: 2,
        layer_norm_eps: 1e-6,
        classes: 2,
        mechanism: Mechanism::Rectify(mechanism),
    };
    let (_, weights, _) = case(&architecture);
    let cpu = Cpu::load(&architecture, &weights).unwrap();
    let top = |values: &[f32]| usize::from(values[1] > values[0]);
    let log_softmax = |z: &[f32]| {
        let sum = z.iter().map(|z| f64::from(*z).exp()).sum::<f64>().ln();
        z.iter().map(|z| f64::from(*z) - sum).collect::<Vec<_>>()
    };
    let mut seen = [0; 3];
    for photo in 0..24 {
        let image: Vec<f32> =
            (0..3 * 28 * 28).map(|i| ((i + 7 * photo) as f32 * (0.05 + 0.03 * photo as f32)).sin()).collect();
        let full = cpu.classify(&image).unwrap();
        let trace = cpu.trace(&image).unwrap();
        let votes: Vec<&[f32]> = (0..3).map(|place| trace.reals(&format!("out.votes.{place}")).unwrap()).collect();
        let never = cpu.classify_early(&image, Sure { probability: 1.1, temperature: 1.0 }).unwrap();
        assert_eq!((never.blocks, &never.probability), (5, &full.calibrated(1.0)));
        let early = cpu.classify_early(&image, Sure { probability: 0.0, temperature: 2.0 }).unwrap();
        let agree = |count: usize| votes[..count].iter().all(|vote| top(vote) == top(votes[0]));
        // Once two of them differ, no later module brings them together.
        assert_eq!(early.blocks, if agree(2) { 2 } else { 5 });
        if early.blocks == 2 {
            let mean: Vec<f64> =
                (0..2).map(|c| votes[..2].iter().map(|vote| log_softmax(vote)[c]).sum::<f64>() / 4.0).collect();
            let expected = mean[0].exp() / (mean[0].exp() + mean[1].exp());
            assert!((f64::from(early.probability[0]) - expected).abs() < 1e-5);
            // A threshold between what two and what three of them say lets the third decide.
            let probability = early.probability[top(votes[0])] + 1e-4;
            let later = cpu.classify_early(&image, Sure { probability, temperature: 2.0 }).unwrap();
            assert!(later.blocks == 3 || later.blocks == 5);
            seen[1] += usize::from(later.blocks == 3);
        }
        seen[usize::from(early.blocks == 5) * 2] += 1;
    }
    assert!(seen.iter().all(|count| *count > 0), "each end is tested: {seen:?}");
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

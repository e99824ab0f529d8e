//! Residual networks in burn against PyTorch's float64 traces: inference, a training step, mechanisms on their maps.
#![cfg(feature = "autodiff")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use burn::tensor::{Device, Int, Tensor, TensorData};
use finegrain::architecture::{Architecture, Mechanism, Mixing, RectifyBlocks, ResNet, RgaBlocks, TasnBlocks};
use finegrain::compare::{compare, reals};
use finegrain::fold::{BATCH_NORM_EPSILON, folded};
use finegrain::model::{Forward, Losses, Network, Target};
use finegrain::tensors::TensorMap;

#[path = "support/random.rs"]
mod random;

const NETWORKS: [&str; 3] = ["basic", "bottleneck", "wide"];

struct Case {
    trace: TensorMap,
    architecture: Architecture,
}

impl Case {
    fn read(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/resnet_{name}.safetensors"));
        let trace = TensorMap::read(&std::fs::read(path).unwrap()).unwrap();
        let config: serde_json::Value = serde_json::from_str(&trace.metadata["config"]).unwrap();
        let resnet: ResNet = serde_json::from_value(config["resnet"].clone()).unwrap();
        let size = serde_json::from_value(config["image_size"].clone()).unwrap();
        let classes = trace.get("out.logits.sa").unwrap().shape[1];
        let architecture = resnet.architecture(size, classes, Mechanism::None);
        architecture.check().unwrap();
        Self { trace, architecture }
    }

    fn network(&self, device: &Device) -> Network {
        Network::new(&self.architecture, device).load(&self.trace.under("param.")).unwrap()
    }

    fn images(&self, device: &Device) -> Tensor<4> {
        let shape = self.trace.get("input.images").unwrap().shape.clone();
        Tensor::from_data(TensorData::new(self.trace.reals("input.images").unwrap().to_vec(), shape), device)
    }

    fn labels(&self, device: &Device) -> Tensor<1, Int> {
        let labels = self.trace.integers("train.labels").unwrap();
        Tensor::from_data(TensorData::new(labels.to_vec(), [labels.len()]), device)
    }

    /// A network of the same backbone with a mechanism on it, random weights.
    fn with(&self, mechanism: Mechanism, device: &Device) -> Network {
        let architecture = Architecture { mechanism, ..self.architecture.clone() };
        architecture.check().unwrap();
        Network::new(&architecture, device).load(&random::weights(&architecture, 1.0, 3)).unwrap()
    }
}

fn host<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.clone().into_data().iter::<f32>().collect()
}

#[test]
fn networks_are_reproduced() {
    for name in NETWORKS {
        let case = Case::read(name);
        let device = Device::flex();
        let found = case.network(&device).trace(case.images(&device));
        let differences = compare(&found, &case.trace, "out.");
        let expected = case.trace.iter().filter(|(name, _)| name.starts_with("out.")).count();
        assert!(differences.len() == expected && expected >= 7, "{name}: {differences:?}");
        for (output, difference) in differences {
            assert!(difference.rel_norm < 1e-5, "{name}, {output}: {difference:?}");
        }
    }
}

/// Loss, gradient of every weight and running statistics of a step that normalises by the batch.
#[test]
fn a_training_step_is_reproduced() {
    for name in NETWORKS {
        let case = Case::read(name);
        let device = Device::flex().autodiff();
        let network = case.network(&device);
        let losses = network.losses(case.images(&device), case.labels(&device), None, 0.0);
        let near = |what: &str, found: &[f32], tolerance: f64| {
            let difference = reals(found, case.trace.reals(&format!("train.{what}")).unwrap());
            assert!(difference.rel_norm < tolerance, "{name}, {what}: {difference:?}");
        };
        near("logits", &host(&losses.forward.logits_sa), 1e-5);
        near("loss", &host(&losses.total), 1e-5);
        let gradients = network.gradients(&losses.total.backward());
        let learned = case.trace.under("train.grad.");
        assert_eq!(gradients.len(), learned.len());
        for (weight, _) in learned.iter() {
            near(&format!("grad.{weight}"), gradients.reals(weight).unwrap(), 1e-4);
        }
        let weights = network.observe_norms(losses.statistics).weights();
        for (running, _) in case.trace.under("train.running.").iter() {
            near(&format!("running.{running}"), weights.reals(running).unwrap(), 1e-5);
        }
    }
}

/// What is folded computes what was there: on one position, where a convolution is its middle tap.
#[test]
fn every_norm_is_folded() {
    for name in NETWORKS {
        let case = Case::read(name);
        let weights = case.trace.under("param.");
        let folded = folded(&case.architecture, std::borrow::Cow::Borrowed(&weights)).unwrap();
        assert!(folded.iter().all(|(name, _)| !name.contains("running_")), "{name}");
        let resnet = case.architecture.resnet.as_ref().unwrap();
        let blocks: Vec<_> = (0..resnet.blocks.len()).flat_map(|stage| resnet.stage(stage)).collect();
        let of_blocks = blocks.iter().flat_map(|block| block.convolutions.iter().chain(&block.shortcut));
        let layers: Vec<_> = of_blocks.cloned().chain([resnet.first()]).collect();
        let affine = |norm: &str, channel: usize| {
            let part = |part: &str| f64::from(weights.reals(&format!("{norm}.{part}")).unwrap()[channel]);
            let scale = part("weight") / (part("running_var") + BATCH_NORM_EPSILON).sqrt();
            (scale, part("bias") - part("running_mean") * scale)
        };
        for layer in &layers {
            let shape = [layer.outputs, layer.inputs, layer.side, layer.side];
            let [before, after] =
                [&weights, &*folded].map(|map| map.weight(&format!("{}.weight", layer.name), &shape).unwrap());
            let bias = folded.weight(&format!("{}.bias", layer.name), &[layer.outputs]).unwrap();
            let last = layer.outputs - 1;
            let (scale, shift) = layer.norm.as_ref().map_or((1.0, 0.0), |norm| affine(norm, last));
            assert!((f64::from(bias[last]) - shift).abs() < 1e-6, "{}", layer.name);
            let apart = f64::from(*before.last().unwrap()) * scale - f64::from(*after.last().unwrap());
            assert!(apart.abs() < 1e-6, "{}", layer.name);
        }
        for norm in blocks.iter().filter_map(|block| block.before.as_deref()).chain(resnet.last_norm()) {
            let found = ["scale", "shift"].map(|part| f64::from(folded.reals(&format!("{norm}.{part}")).unwrap()[0]));
            let (scale, shift) = affine(norm, 0);
            assert!((found[0] - scale).abs() < 1e-6 && (found[1] - shift).abs() < 1e-6, "{norm}");
        }
    }
}

#[test]
fn weights_survive_the_way_out_and_in() {
    for name in NETWORKS {
        let case = Case::read(name);
        let weights = case.network(&Device::flex()).weights();
        assert_eq!(weights, case.trace.under("param."), "{name}");
        let names = case.architecture.weights().into_iter().map(|weight| weight.name);
        assert_eq!(names.collect::<std::collections::BTreeSet<_>>().len(), weights.len());
    }
}

/// Frozen stages get no gradient and keep their running statistics; what they compute is that of inference.
#[test]
fn frozen_stages_stay_as_they_are() {
    let case = Case::read("bottleneck");
    let device = Device::flex().autodiff();
    let mut network = case.network(&device);
    network.backbone = network.backbone.freeze_first(1);
    let losses = network.losses(case.images(&device), case.labels(&device), None, 0.0);
    let seen = reals(&host(&rows(&losses.forward.stages[0])), case.trace.reals("out.stage.0").unwrap());
    assert!(seen.rel_norm < 1e-5, "{seen:?}");
    let gradients = network.gradients(&losses.total.backward());
    assert!(gradients.get("layer1.1.conv3.weight").is_none() && gradients.get("bn1.weight").is_none());
    assert!(gradients.get("layer2.0.conv1.weight").is_some() && gradients.get("head.bias").is_some());
    let (before, after) = (network.weights(), network.observe_norms(losses.statistics).weights());
    for (name, moves) in [("bn1", false), ("layer1.0.bn2", false), ("layer2.0.bn2", true), ("layer3.0.bn3", true)] {
        let name = format!("{name}.running_mean");
        assert_eq!(before.get(&name) != after.get(&name), moves, "{name}");
    }
}

fn rows(map: &Tensor<4>) -> Tensor<3> {
    map.clone().flatten::<3>(2, 3).swap_dims(1, 2)
}

fn train(network: &Network, case: &Case, images: Tensor<4>, channels: Option<&[usize]>) -> (Losses, TensorMap) {
    let target = Target::Classes { labels: case.labels(&images.device()), label_smoothing: 0.1 };
    let losses = network.losses_with(images, &target, None, None, channels);
    let gradients = network.gradients(&losses.total.clone().backward());
    (losses, gradients)
}

/// Every tensor that training moves has a gradient, and every running statistic moves.
fn everything_trains(network: &Network, losses: Losses, gradients: &TensorMap) {
    let (before, after) = (network.weights(), network.clone().observe_norms(losses.statistics).weights());
    for (name, tensor) in before.iter() {
        if name.contains("running_") {
            assert_ne!(after.get(name), Some(tensor), "{name} did not move");
        } else {
            let gradient = gradients.reals(name).unwrap_or_else(|_| panic!("{name} has no gradient"));
            assert!(gradient.iter().all(|g| g.is_finite()), "{name}");
        }
    }
}

#[test]
fn rga_gates_the_map_behind_each_stage_the_last_one_too() {
    for name in NETWORKS {
        let case = Case::read(name);
        let device = Device::flex().autodiff();
        let settings = RgaBlocks { ratio: 4, spatial: true, channel: true, after: vec![1, 2, 3] };
        let network = case.with(Mechanism::Rga(settings.clone()), &device);
        let images = case.images(&device);
        let Forward { stages, gates, feature_sa, .. } = network.forward(images.clone());
        assert_eq!(gates.len(), 3);
        for (gate, map) in gates.iter().zip(&stages) {
            let [_, _, height, width] = map.dims();
            assert_eq!(gate.dims()[1], height * width);
            assert!(host(gate).iter().all(|g| (0.0..=1.0).contains(g)));
        }
        if name != "wide" {
            let mean = stages[2].clone().flatten::<3>(2, 3).mean_dim(2);
            assert_eq!(host(&mean), host(&feature_sa), "the classifier sees the gated map");
        }
        // The last gates by themselves: behind the same two stages, their map is the third.
        let without = case.with(Mechanism::Rga(RgaBlocks { after: vec![1, 2], ..settings }), &device);
        let same = without.load(&network.weights()).unwrap().forward(images.clone());
        assert_eq!(host(&same.stages[1]), host(&stages[1]));
        let alone = finegrain::model::rga::Rga::new(
            &finegrain::architecture::Rga { ratio: 4, spatial: true, channel: true },
            stages[2].dims()[1],
            [stages[2].dims()[2], stages[2].dims()[3]],
            &device,
        );
        let alone = finegrain::model::load(alone, &network.weights().under("rga.2.")).unwrap();
        let map = alone.forward(same.stages[2].clone(), &mut finegrain::model::Statistics::Running).map;
        assert_eq!(host(&map), host(&stages[2]));
        let (losses, gradients) = train(&network, &case, images, None);
        everything_trains(&network, losses, &gradients);
    }
}

#[test]
fn rectify_sees_the_maps_as_they_are() {
    for name in NETWORKS {
        let case = Case::read(name);
        let device = Device::flex().autodiff();
        let settings = RectifyBlocks { heads: 2, after: vec![1, 2, 3], mixing: Mixing::Softmax, gates: None };
        let network = case.with(Mechanism::Rectify(settings), &device);
        assert!(network.weights().iter().all(|(name, _)| !name.ends_with(".norm.weight")), "no norm of its own");
        let images = case.images(&device);
        let forward = network.forward(images.clone());
        let rectified = forward.rectified.as_ref().unwrap();
        assert_eq!(rectified.hypotheses.len(), 3);
        for (module, (found, map)) in rectified.hypotheses.iter().zip(&forward.stages).enumerate() {
            let attend = &network.rectify.as_ref().unwrap().modules[module].attend;
            assert_eq!(host(&found.logits), host(&attend.forward(map.clone()).logits));
        }
        let (losses, gradients) = train(&network, &case, images, None);
        everything_trains(&network, losses, &gradients);
    }
}

#[test]
fn tasn_attends_with_the_first_stages() {
    for name in NETWORKS {
        let case = Case::read(name);
        let device = Device::flex().autodiff();
        let settings = TasnBlocks { after: 2, ..TasnBlocks::default() };
        let network = case.with(Mechanism::Tasn(settings), &device);
        let [height, width] = network.architecture().input_size();
        let mut numbers = random::Random(9);
        let photos: Vec<f32> = (0..2 * 3 * height * width).map(|_| numbers.real(1.0)).collect();
        let photos = network.images(&photos, &device);
        let forward = network.forward(photos.clone());
        let sampling = host(forward.sampling.as_ref().unwrap());
        assert_eq!(sampling.len(), height + width, "of two photos, half as large");
        // The attention head's inputs are the channels of the second stage's map.
        let channels = network.architecture().map_behind(2).channels;
        let head = &network.tasn.as_ref().unwrap().attention_head;
        assert_eq!(head.weight.val().dims()[0], channels);
        let count = |norms: usize, losses: &Losses| assert_eq!(losses.statistics.len(), norms, "{name}");
        let (losses, gradients) = train(&network, &case, photos, Some(&[0, channels - 1]));
        let resnet = network.architecture().resnet.as_ref().unwrap();
        let norms = |stages: usize| {
            let blocks = (0..stages).flat_map(|stage| resnet.stage(stage));
            blocks
                .map(|block| {
                    2 + usize::from(name == "bottleneck")
                        + usize::from(block.shortcut.is_some_and(|s| s.norm.is_some()))
                })
                .sum::<usize>()
        };
        // Attention net, part net and master net, each behind the first norm or before the last.
        let outside = if name == "wide" { 2 } else { 3 };
        count(norms(2) + 2 * norms(3) + outside, &losses);
        everything_trains(&network, losses, &gradients);
    }
}

//! Whole residual networks: against the twins and the burn model, in every precision, with every mechanism that stands on maps.

use burn::tensor::Device;
use finegrain::architecture::{Architecture, Mechanism, ResNet};
use finegrain::bundle::round;
use finegrain::compare::compare;
use finegrain::engine::{Command, Content, Engine, EngineError, LoadOptions, cpu, record};
use finegrain::fold::apart;
use finegrain::look::LookError;
use finegrain::model::Network;
use finegrain::tensors::{Precision, TensorMap};
use pollster::block_on;

use crate::case::PRECISIONS;
use crate::random;
use crate::shapes::{architectures, basic, bottleneck, rga, wide};
use crate::support::{Random, gpu, reals, relative_norm};

fn weights(architecture: &Architecture) -> TensorMap {
    random::weights(architecture, 1.0, 21)
}

fn photo(architecture: &Architecture) -> Vec<f32> {
    let [height, width] = architecture.input_size();
    reals(&Random(22).tensor(&[3, height, width], 2.0)).to_vec()
}

/// Between two unlike pixels, as in noise, the rounding of a coordinate is one of the photo, as many times larger as that has
/// pixels.
fn tolerance(architecture: &Architecture) -> f64 {
    if architecture.tasn().is_some() { 1e-4 } else { 1e-5 }
}

#[test]
fn residual_networks_agree_with_twins_and_burn() {
    let gpu = gpu();
    for architecture in architectures() {
        let (weights, image, what) = (weights(&architecture), photo(&architecture), format!("{architecture:?}"));
        let network = Network::new(&architecture, &Device::flex()).load(&weights).unwrap();
        let truth = network.trace(network.images(&image, &Device::flex()));
        let engine = block_on(Engine::load(&gpu, &architecture, &weights)).unwrap();
        let found = block_on(engine.trace(&image)).unwrap();
        let differences = compare(&found, &truth, "out.");
        // The engine has all votes in one tensor.
        let expected = truth.iter().map(|(name, _)| name).filter(|name| !name.starts_with("out.votes."));
        for name in expected.filter(|name| name.starts_with("out.")) {
            // A column there, a row here.
            if name.starts_with("out.gates.") {
                let error = relative_norm(found.reals(name).unwrap(), truth.reals(name).unwrap());
                assert!(error <= 1e-5, "{what}: {name}: {error:.1e}");
                continue;
            }
            let difference = differences.get(name).unwrap_or_else(|| panic!("{what}: {name} was not computed"));
            assert!(difference.judged(name) <= tolerance(&architecture), "{what}: {name}: {difference:?}");
        }
        for stage in 0..architecture.depth {
            let map = architecture.map_behind(stage + 1);
            let shape = &found.get(&format!("out.stage.{stage}")).unwrap().shape;
            assert_eq!(*shape, [1, map.positions(), map.channels], "{what}");
        }
        // Classifying reads back less and shares its buffers from photo to photo.
        let twin = cpu::run(
            &record::classify(&architecture, Precision::F32).unwrap(),
            &apart(&architecture, &weights).unwrap(),
            &image,
        )
        .unwrap();
        block_on(engine.classify(&vec![0.25; image.len()])).unwrap();
        let answer = block_on(engine.classify(&image)).unwrap();
        for (name, values) in [("out.logits.sa", &answer.logits_sa), ("out.rollout", &answer.rollout)] {
            let error = relative_norm(values, twin.reals(name).unwrap());
            assert!(error <= tolerance(&architecture), "{what}: {name}, twins: {error:.1e}");
            let error = relative_norm(values, truth.reals(name).unwrap());
            assert!(error <= tolerance(&architecture), "{what}: {name}, burn: {error:.1e}");
        }
        assert_eq!(answer.rollout.len(), architecture.tokens());
        let votes = architecture.rectify().map_or(0, |_| architecture.classes);
        assert_eq!((answer.logits_mixed.len(), answer.glca.len()), (votes, 0));
    }
}

/// What can be seen of a map, and what only a transformer has.
#[test]
fn looks_into_maps() {
    let gpu = gpu();
    for architecture in architectures() {
        let (weights, image, what) = (weights(&architecture), photo(&architecture), format!("{architecture:?}"));
        let engine = block_on(Engine::load(&gpu, &architecture, &weights)).unwrap();
        block_on(engine.classify(&image)).unwrap();
        let trace = block_on(engine.trace(&image)).unwrap();
        let traced = |prefix: &str, places: usize| -> Vec<f32> {
            (0..places).flat_map(|place| trace.reals(&format!("{prefix}.{place}")).unwrap().to_vec()).collect()
        };
        if let Some(rga) = architecture.rga().filter(|rga| rga.spatial) {
            let gates = block_on(engine.gates()).unwrap();
            assert_eq!(gates, traced("out.gates", rga.after.len()), "{what}");
        } else {
            assert!(matches!(block_on(engine.gates()), Err(EngineError::Look(LookError::NoGates))));
        }
        if let Some(rectify) = architecture.rectify() {
            let masks = block_on(engine.masks()).unwrap();
            assert_eq!(masks, traced("out.masks", rectify.after.len()), "{what}");
        }
        let refused = [
            block_on(engine.attention(0, 0)).err(),
            block_on(engine.attention_of_layers(0)).err(),
            block_on(engine.rollout(0)).err(),
            block_on(engine.difference([0, 1])).err(),
        ];
        for error in refused {
            assert!(matches!(error, Some(EngineError::Look(LookError::NoAttention))), "{what}: {error:?}");
        }
        assert!(matches!(block_on(engine.glca_attention(0)), Err(EngineError::Look(LookError::NoGlca))));
        assert!(matches!(block_on(engine.with_ratio(0.5)), Err(EngineError::Look(LookError::NoGlca))));
    }
}

/// A bundle's weights were rounded when it was made; stored as they were rounded, they compute what the rounded values do. The
/// convolutions of a bundle in eight bits are in f16.
#[test]
fn weights_in_every_precision_compute_what_their_values_do() {
    let gpu = gpu();
    for resnet in [basic(), bottleneck(), wide()] {
        for precision in [Precision::F16, Precision::Int8] {
            let architecture = resnet.clone().architecture([48, 32], 11, Mechanism::None);
            let weights = round(&weights(&architecture), precision).unwrap();
            let image = photo(&architecture);
            let load = |precision| {
                let options = LoadOptions { precision, ..LoadOptions::default() };
                block_on(Engine::load_with(&gpu, &architecture, &weights, options)).unwrap()
            };
            let (packed, plain) = (load(precision), load(Precision::F32));
            assert!(packed.device_bytes() < plain.device_bytes(), "{precision:?}");
            let (found, expected) =
                (block_on(packed.classify(&image)).unwrap(), block_on(plain.classify(&image)).unwrap());
            for (what, found, expected) in [
                ("logits", &found.logits_sa, &expected.logits_sa),
                ("class activation", &found.rollout, &expected.rollout),
            ] {
                let error = relative_norm(found, expected);
                assert!(error < 1e-5, "{precision:?}: {what} is off by {error:.2e}");
            }
        }
    }
}

/// ResNet-50 at 224 with 1000 classes is published with 4.09 10^9 multiply-adds, WRN-28-10 at 32 with 5.25 10^9.
#[test]
fn the_known_networks_have_their_known_size() {
    for (resnet, size, classes, published) in
        [(ResNet::resnet_50(), 224, 1000, 4.09e9), (ResNet::wrn_28_10(), 32, 10, 5.25e9)]
    {
        let architecture = resnet.architecture([size, size], classes, Mechanism::None);
        let recording = record::classify(&architecture, Precision::F32).unwrap();
        let flops = |command: &Command| match command {
            Command::Dispatch { kernel, uniforms, .. } => (kernel.cost)(uniforms).flops,
            Command::ReadBack { .. } => 0,
        };
        let flops = recording.commands().iter().map(flops).sum::<u64>() as f64;
        assert!((flops / 2.0 / published - 1.0).abs() < 0.01, "{flops:.3e}");
    }
}

/// WebGPU's default limits, few pipelines, and no more than a few maps.
#[test]
fn known_networks_fit_the_default_limits() {
    let long = ResNet { strides: vec![1, 2, 2, 1], ..ResNet::resnet_50() };
    for (resnet, size) in
        [(ResNet::resnet_18(), 448), (ResNet::resnet_50(), 224), (long, 448), (ResNet::wrn_28_10(), 32)]
    {
        for precision in PRECISIONS {
            let architecture = resnet.clone().architecture([size, size], 1000, Mechanism::None);
            let recording = record::classify(&architecture, precision).unwrap();
            recording.check().unwrap();
            assert!(recording.kernels().len() <= 7, "{:?}", recording.kernels());
            let largest = recording.buffers().iter().max_by_key(|buffer| buffer.len()).unwrap();
            assert!(4 * largest.len() <= 128 << 20, "{} {:?}", largest.label, largest.shape);
            let maps = recording.buffers().iter().filter(|buffer| buffer.content == Content::Scratch).count();
            assert!(maps <= architecture.depth + 10, "{maps}");
        }
    }
    // The largest photo that the architecture allows.
    for resnet in [ResNet::resnet_18(), ResNet::wrn_28_10()] {
        let side = if resnet == ResNet::resnet_18() { 2816 } else { 1412 };
        let architecture = resnet.architecture([side, side], 10, Mechanism::None);
        architecture.check().unwrap();
        record::classify(&architecture, Precision::F16).unwrap().check().unwrap();
    }
    // With gates behind every stage, as in RGA's own settings.
    let gated = ResNet { strides: vec![1, 2, 2, 1], ..ResNet::resnet_50() };
    let architecture = gated.architecture([256, 128], 751, rga([true, true], &[1, 2, 3, 4]));
    record::classify(&architecture, Precision::F16).unwrap().check().unwrap();
}

//! Residual networks on the processor: against the burn model, on one thread and on several, and what can be asked of them.

use burn::tensor::Device;
use finegrain::architecture::{Mechanism, Mixing, RectifyBlocks, Residual, Stem};
use finegrain::compare::{compare, reals};
use finegrain::cpu::{Cpu, CpuError};
use finegrain::early::Sure;
use finegrain::look::LookError;
use finegrain::tensors::Tensor;

use crate::shapes::{architectures, resnet};
use crate::threads::together;
use crate::{case, tolerance};

#[test]
fn residual_networks_agree_with_burn() {
    for architecture in architectures() {
        let (network, weights, image) = case(&architecture);
        let truth = network.trace(network.images(&image, &Device::flex()));
        let found = Cpu::load(&architecture, &weights).unwrap().trace(&image).unwrap();
        let (what, differences) = (format!("{architecture:?}"), compare(&found, &truth, "out."));
        for (name, _) in truth.iter().filter(|(name, _)| name.starts_with("out.")) {
            let difference = differences.get(name).unwrap_or_else(|| panic!("{what}: {name} was not computed"));
            // Coordinates are near 0 and have an absolute limit.
            let most = match architecture.tasn() {
                Some(_) if name == "out.sampling" => 1e-4,
                // The first convolution sees the resampled photo at each of its pixels: twice what patches make of it.
                Some(_) => 2e-4,
                None => tolerance(&architecture),
            };
            assert!(difference.rel_norm <= most, "{what}: {name}: {difference:?}");
        }
        let stages = (0..architecture.depth).filter(|stage| truth.get(&format!("out.stage.{stage}")).is_some()).count();
        assert_eq!(stages, architecture.depth, "{what}");
        assert!(differences.contains_key("out.feature.sa") && differences.contains_key("out.rollout"), "{what}");
        if architecture.tasn().is_some() {
            let [found, truth] = [&found, &truth].map(|trace| trace.reals("out.sampling").unwrap());
            let worst = found.iter().zip(truth).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-5, "{what}: a coordinate is off by {worst}");
        }
    }
}

#[test]
fn several_threads_see_what_one_sees_of_maps() {
    for architecture in architectures() {
        let (_, weights, image) = case(&architecture);
        let cpu = Cpu::load(&architecture, &weights).unwrap();
        let one = cpu.see(&image).unwrap();
        for threads in [1, 2, 3, 4, 7] {
            let several = together(&architecture, &weights, &[&image, &image], threads).pop().unwrap();
            let same = |what: &str, found: &[f32], truth: &[f32]| {
                let difference = reals(found, truth).rel_norm;
                assert!(
                    found.len() == truth.len() && difference <= tolerance(&architecture),
                    "{architecture:?} on {threads} threads, {what}: {difference:.2e}"
                );
            };
            let (found, truth) = (several.answer(), one.answer());
            same("logits", &found.logits_sa, &truth.logits_sa);
            same("mixed votes", &found.logits_mixed, &truth.logits_mixed);
            same("class activation", &found.rollout, &truth.rollout);
            let apart = found.sampling.iter().zip(&truth.sampling).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart < 1e-6 && found.sampling.len() == truth.sampling.len(), "a coordinate is off by {apart}");
            if architecture.rectify().is_some() {
                same("masks", several.masks().unwrap(), one.masks().unwrap());
            }
            if architecture.rga().is_some_and(|rga| rga.spatial) {
                same("gates", several.gates().unwrap(), one.gates().unwrap());
            }
        }
    }
}

#[test]
fn maps_of_each_place_have_the_size_there() {
    for architecture in architectures() {
        let (_, weights, image) = case(&architecture);
        let seen = Cpu::load(&architecture, &weights).unwrap().see(&image).unwrap();
        let positions = |after: &[usize]| after.iter().map(|&n| architecture.map_behind(n).positions()).sum::<usize>();
        match (architecture.rga().filter(|rga| rga.spatial), seen.gates()) {
            (Some(rga), Ok(gates)) => {
                assert_eq!(gates.len(), positions(&rga.after));
                assert!(gates.iter().all(|&gate| gate > 0.0 && gate < 1.0));
            }
            (rga, gates) => assert!(rga.is_none() && gates.is_err(), "{architecture:?}"),
        }
        match (architecture.rectify(), seen.masks()) {
            (Some(rectify), Ok(masks)) => {
                assert_eq!(masks.len(), rectify.heads * positions(&rectify.after));
                let sum: f32 = masks.iter().sum();
                assert!((sum - (rectify.heads * rectify.after.len()) as f32).abs() < 1e-4, "each mask sums to 1");
            }
            (rectify, masks) => assert!(rectify.is_none() && masks.is_err(), "{architecture:?}"),
        }
        let activation = &seen.answer().rollout;
        assert_eq!(activation.len(), architecture.tokens());
        assert!(activation[0] == 0.0 && activation.iter().all(|&a| a >= 0.0), "{activation:?}");
        let sum: f32 = activation.iter().sum();
        assert!(sum == 0.0 || (sum - 1.0).abs() < 1e-5, "{sum}");
    }
}

#[test]
fn what_a_residual_network_has_not_is_said() {
    let architecture = &architectures()[0];
    let (_, weights, image) = case(architecture);
    let cpu = Cpu::load(architecture, &weights).unwrap();
    let mut seen = cpu.see(&image).unwrap();
    for error in [
        seen.attention(&cpu, 0, 0).err(),
        seen.attention_of_layers(&cpu, 0).err(),
        seen.rollout(&cpu, 1).err(),
        seen.difference(&cpu, [0, 1]).err(),
    ] {
        assert!(matches!(error, Some(CpuError::Look(LookError::NoAttention))), "{error:?}");
    }
    assert!(matches!(seen.glca_attention(&cpu, 0), Err(CpuError::Look(LookError::NoGlca))));
    assert!(matches!(seen.with_ratio(0.5), Err(CpuError::Look(LookError::NoGlca))));
    let mut broken = image;
    broken[7] = f32::NAN;
    assert!(matches!(cpu.classify(&broken), Err(CpuError::NotFinite(_))));
    let mut missing = weights.clone();
    missing.remove("layer2.0.downsample.1.running_var");
    let error = Cpu::load(architecture, &missing).err().unwrap().to_string();
    assert!(error.contains("layer2.0.downsample.1.running_var"), "{error}");
    let mut damaged = weights;
    damaged.insert("layer1.0.conv1.weight", Tensor::f32([1], vec![f32::NAN]));
    assert!(matches!(Cpu::load(architecture, &damaged), Err(CpuError::Weights(_))));
}

/// As in a transformer: two modules that agree end it, and a threshold above 1 never does.
#[test]
fn maps_are_left_where_modules_agree() {
    let mechanism =
        Mechanism::Rectify(RectifyBlocks { heads: 2, after: vec![1, 2, 3], mixing: Mixing::Softmax, gates: None });
    let architecture = resnet(Residual::Basic, Stem::Large, &[1, 1, 1, 1], &[1, 2, 1, 1], 8);
    let architecture = architecture.architecture([32, 32], 2, mechanism);
    let (_, weights, _) = case(&architecture);
    let cpu = Cpu::load(&architecture, &weights).unwrap();
    let mut stages = [0; 5];
    for photo in 0..24 {
        let image: Vec<f32> =
            (0..3 * 32 * 32).map(|i| ((i + 7 * photo) as f32 * (0.05 + 0.03 * photo as f32)).sin()).collect();
        let full = cpu.classify(&image).unwrap();
        let trace = cpu.trace(&image).unwrap();
        let names = |place: usize| {
            let vote = trace.reals(&format!("out.votes.{place}")).unwrap();
            usize::from(vote[1] > vote[0])
        };
        let never = cpu.classify_early(&image, Sure { probability: 1.1, temperature: 1.0 }).unwrap();
        assert_eq!((never.blocks, &never.probability), (4, &full.calibrated(1.0)));
        let early = cpu.classify_early(&image, Sure { probability: 0.0, temperature: 1.0 }).unwrap();
        assert_eq!(early.blocks, if names(0) == names(1) { 2 } else { 4 });
        stages[early.blocks] += 1;
    }
    println!("answers after so many stages: {stages:?}");
    assert!(stages[2] > 0, "some end early");
}

//! Answers before the last block: the device ends by itself where the processor does, and with the same probabilities.

use finegrain::architecture::{Architecture, Mechanism, Mixing, RectifyBlocks, Residual, Stem};
use finegrain::cpu::Cpu;
use finegrain::early::Sure;
use finegrain::engine::{Engine, EngineError, Gpu};
use finegrain::look::LookError;
use pollster::block_on;

use crate::random;
use crate::shapes::resnet;

/// A transformer of five blocks and a residual network of four stages: modules after two of them or more, two classes, so that
/// random modules agree now and then.
fn architectures() -> [Architecture; 2] {
    let mechanism = |after: &[usize]| {
        Mechanism::Rectify(RectifyBlocks { heads: 3, after: after.into(), mixing: Mixing::Softmax, gates: None })
    };
    let transformer = Architecture {
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
        mechanism: mechanism(&[1, 2, 3, 5]),
    };
    let residual = resnet(Residual::Basic, Stem::Large, &[1, 1, 1, 1], &[1, 2, 1, 1], 8);
    [transformer, residual.architecture([32, 32], 2, mechanism(&[1, 2, 3]))]
}

#[test]
fn the_device_ends_where_the_modules_agree() {
    let mut later = 0;
    for architecture in architectures() {
        let weights = random::weights(&architecture, 1.0, 32);
        let cpu = Cpu::load(&architecture, &weights).unwrap();
        let engine = block_on(Engine::load(&block_on(Gpu::open()).unwrap(), &architecture, &weights)).unwrap();
        let [height, width] = architecture.input_size();
        let mut ends = vec![0; architecture.depth + 1];
        for photo in 0..12 {
            let image: Vec<f32> = (0..3 * height * width)
                .map(|i| ((i + 7 * photo) as f32 * (0.05 + 0.03 * photo as f32)).sin())
                .collect();
            let compare = |probability: f32| {
                let sure = Sure { probability, temperature: 2.0 };
                let expected = cpu.classify_early(&image, sure).unwrap();
                let found = block_on(engine.classify_early(&image, sure)).unwrap();
                assert_eq!(found.blocks, expected.blocks, "photo {photo}, sure by {probability}");
                assert_eq!(found.answer.is_some(), found.blocks == architecture.depth);
                for (a, b) in found.probability.iter().zip(&expected.probability) {
                    assert!((a - b).abs() < 1e-5, "photo {photo}, sure by {probability}: {a} instead of {b}");
                }
                found
            };
            let first = compare(0.0);
            ends[first.blocks] += 1;
            // Nothing was written behind the end, so there is nothing to look into.
            let look = block_on(engine.rollout(0));
            let refused = matches!(&look, Err(EngineError::Look(LookError::NoPhoto)));
            assert!(refused == (first.blocks < architecture.depth) || architecture.resnet.is_some(), "{look:?}");
            // Just above what two modules say, a third decides; just below, nothing changes.
            let sure = first.probability.iter().copied().fold(0.0, f32::max);
            ends[compare(sure + 0.01).blocks] += 1;
            assert_eq!(compare(sure - 0.01).blocks, first.blocks);
            // An end leaves no trace in the next photo.
            let full = block_on(engine.classify(&image)).unwrap();
            let never = compare(1.1);
            assert_eq!(never.answer.unwrap(), full);
            assert!(architecture.resnet.is_some() || block_on(engine.rollout(0)).is_ok());
        }
        println!("answers after so many blocks: {ends:?}");
        let [first, others @ ..] = architecture.rectify().unwrap().exits(architecture.depth) else { panic!() };
        assert!(ends[*first] > 0 && ends[architecture.depth] > 0, "{ends:?}");
        later += others.iter().map(|&blocks| ends[blocks]).sum::<usize>();
    }
    assert!(later > 0, "no third module ever decided");
}

/// Another network has no modules to ask: the answer is the full one.
#[test]
fn a_network_without_modules_answers_in_full() {
    let [architecture, _] = architectures();
    let architecture = Architecture { mechanism: Mechanism::None, ..architecture };
    let weights = random::weights(&architecture, 1.0, 5);
    let engine = block_on(Engine::load(&block_on(Gpu::open()).unwrap(), &architecture, &weights)).unwrap();
    let image = vec![0.25; 3 * 28 * 28];
    let full = block_on(engine.classify(&image)).unwrap();
    let found = block_on(engine.classify_early(&image, Sure { probability: 0.0, temperature: 1.0 })).unwrap();
    assert_eq!((found.blocks, found.probability), (5, full.calibrated(1.0)));
    assert_eq!(found.answer.as_ref(), Some(&full));
}

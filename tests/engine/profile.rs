//! The profiler: what it counts, what it names, and what its probes compute. No time is judged here.

use finegrain::architecture::{Architecture, Dcal, Mechanism};
use finegrain::engine::kernels::{self, ProbeCopyUniforms, ProbeFmaUniforms, ProbeMatrixUniforms};
use finegrain::engine::{Clock, Command, Cost, Engine, Gpu, KernelTimes, Peak, Profiler, Recording, record};
use finegrain::tensors::Precision;
use pollster::block_on;

use crate::case::Case;
use crate::support::{Random, gpu, random_weights};

/// Two blocks' worth of nothing special: 4 patches, 5 tokens.
fn small() -> Architecture {
    Architecture {
        resnet: None,
        hybrid: None,
        image_size: [8, 8],
        patch_size: 4,
        dim: 8,
        depth: 1,
        heads: 2,
        mlp_ratio: 4,
        layer_norm_eps: 1e-6,
        classes: 3,
        mechanism: Mechanism::Dcal(Dcal { ratio: 0.5, glca: true, pwca: false, gates: None }),
    }
}

fn cost(recording: &Recording, label: Option<&str>) -> Cost {
    let of = |command: &Command| match command {
        Command::Dispatch { label: own, kernel, uniforms, .. } if label.is_none_or(|label| label == own) => {
            Some((kernel.cost)(uniforms))
        }
        _ => None,
    };
    recording.commands().iter().filter_map(of).sum()
}

#[test]
fn operations_are_those_worked_out_by_hand() {
    let recording = record::self_attention(&small(), Precision::F32).unwrap();
    for (label, flops, bytes) in [
        // 4 patches of 48 values to 8: product and bias; 5 positions. Image, weight, bias, class token; position, tokens.
        ("patch_embed", 4 * 8 * (2 * 48 + 1) + 5 * 8, 4 * (3 * 64 + 48 * 8 + 2 * 8 + 2 * 40)),
        ("blocks.0.norm1", 8 * 40, 4 * (2 * 40 + 16)),
        ("blocks.0.attn.qkv", 5 * 24 * (2 * 8 + 1), 4 * (40 + 8 * 24 + 24 + 120)),
        // Two heads of 4: 50 weights, each from a product of 4, once scaled and through softmax, and 4 values.
        ("blocks.0.attn", 50 * (2 * 4 + 4 + 2 * 4) + 40, 4 * (4 * 40 + 2 * 5)),
        ("blocks.0.attn.proj", 5 * 8 * (2 * 8 + 1 + 1), 4 * (40 + 64 + 8 + 2 * 40)),
        ("blocks.0.norm2", 8 * 40, 4 * (2 * 40 + 16)),
        ("blocks.0.mlp.fc1", 5 * 32 * (2 * 8 + 1 + 5), 4 * (40 + 8 * 32 + 32 + 160)),
        ("blocks.0.mlp.fc2", 5 * 8 * (2 * 32 + 1 + 1), 4 * (160 + 32 * 8 + 8 + 2 * 40)),
        ("norm", 8 * 8, 4 * (2 * 8 + 16)),
        // Three classes: a row of the weight is four.
        ("head", 3 * (2 * 8 + 1), 4 * (8 + 8 * 4 + 2 * 3)),
        ("probability", 5 * 3, 4 * 2 * 3),
    ] {
        assert_eq!(cost(&recording, Some(label)), Cost { flops, bytes }, "{label}");
    }
    assert_eq!(cost(&recording, None).flops, 13_874);
    // Rollout of one block starts from the class token: one row of 2 x 5 weights.
    let with = record::classify(&small(), Precision::F32).unwrap();
    let rollout = Cost { flops: 10 * (2 * 4 + 5) + 4 * 5, bytes: 4 * ((1 + 5) * 8 + 2 + 5) };
    assert_eq!(cost(&with, Some("blocks.0.rollout")), rollout);
}

/// ViT-Base/16 at 224 with 1000 classes is published with 17.58 10^9 multiply-adds (timm).
#[test]
fn the_known_network_has_its_known_size() {
    let base = Architecture {
        resnet: None,
        hybrid: None,
        image_size: [224, 224],
        patch_size: 16,
        dim: 768,
        depth: 12,
        heads: 12,
        mlp_ratio: 4,
        layer_norm_eps: 1e-6,
        classes: 1000,
        mechanism: Mechanism::None,
    };
    let flops = cost(&record::self_attention(&base, Precision::F32).unwrap(), None).flops as f64;
    assert!((flops / 2.0 / 17.58e9 - 1.0).abs() < 0.01, "{flops:.3e}");
}

#[test]
fn the_plain_network_has_neither_rollout_nor_glca() {
    let text = record::self_attention(&small(), Precision::F32).unwrap().to_string();
    assert!(!text.contains("rollout") && !text.contains("glca"), "{text}");
    assert!(text.contains("read out.probability.sa"), "{text}");
}

#[test]
fn every_kernel_of_the_recording_is_timed() {
    let stamped = block_on(Gpu::open_to_profile()).unwrap();
    for gpu in [gpu(), stamped] {
        let architecture = small();
        let weights = random_weights(&architecture, &mut Random(3));
        let image = vec![0.25; 3 * 64];
        let engine = block_on(Engine::load(&gpu, &architecture, &weights)).unwrap();
        let recording = record::classify(&architecture, Precision::F32).unwrap();
        let expected: Vec<&str> = recording.kernels().iter().map(|kernel| kernel.shader.name).collect();
        let (whole, commands) = (cost(&recording, None), recording.commands().len());
        let reads = recording.commands().iter().filter(|c| matches!(c, Command::ReadBack { .. })).count();
        let profiler = block_on(Profiler::new(&engine, recording)).unwrap();
        assert!(block_on(profiler.photo(&image)).unwrap() > 0.0);
        let times = block_on(profiler.kernels(2)).unwrap();
        // A GPU may run some with subgroups.
        let named = |kernel: &KernelTimes| kernel.kernel.trim_end_matches("_subgroup");
        assert_eq!(times.iter().map(named).collect::<Vec<_>>(), expected);
        assert_eq!(times.iter().map(|kernel| kernel.dispatches).sum::<usize>(), commands - reads);
        assert_eq!(times.iter().map(|kernel| kernel.cost).sum::<Cost>(), whole);
        assert!(times.iter().all(|kernel| kernel.milliseconds.is_finite()), "{times:?}");
        assert!(times.iter().map(|kernel| kernel.milliseconds).sum::<f64>() > 0.0, "{times:?}");
        // The engine itself goes on as before.
        block_on(engine.classify(&image)).unwrap();
    }
}

#[test]
fn timestamps_are_for_those_who_ask() {
    let architecture = small();
    let weights = random_weights(&architecture, &mut Random(4));
    let clock = |gpu: &Gpu| {
        let engine = block_on(Engine::load(gpu, &architecture, &weights)).unwrap();
        block_on(Profiler::new(&engine, record::self_attention(&architecture, Precision::F32).unwrap()))
            .unwrap()
            .clock()
    };
    assert_eq!(clock(&gpu()), Clock::Submissions);
    // lavapipe and every GPU of the last decade have them.
    assert_eq!(clock(&block_on(Gpu::open_to_profile()).unwrap()), Clock::Timestamps);
}

#[test]
fn the_probes_compute_what_their_twins_do() {
    let gpu = gpu();
    for (threads, steps) in [(64usize, 1), (1, 5), (1000, 3)] {
        let mut case = Case::new(11);
        let x = case.random("x", &[threads], 2.0);
        let y = case.output("y", &[threads]);
        let uniforms = ProbeFmaUniforms { threads: threads as u32, steps, a: 0.9, b: -0.3 };
        case.run(&kernels::PROBE_FMA, uniforms, &[x, y]);
        case.compare(&gpu, &format!("{threads} threads, {steps} steps"), &[("y", y)]);
    }
    for (subgroups, steps) in [(4usize, 1), (64, 7), (1000, 3)] {
        let kernel = match gpu.matrix_units() {
            16 => &kernels::PROBE_MATRIX,
            8 => &kernels::PROBE_MATRIX_EIGHT,
            _ => {
                eprintln!("skipped: {} shows no matrix units", gpu.adapter().name);
                break;
            }
        };
        let mut case = Case::new(13);
        let x = case.random("x", &[subgroups], 2.0);
        let y = case.output("y", &[subgroups]);
        let uniforms = ProbeMatrixUniforms { subgroups: subgroups as u32, steps, a: 0.3, b: -0.7 };
        case.run(kernel, uniforms, &[x, y]);
        case.compare_within(1e-5, &gpu, &format!("{subgroups} subgroups, {steps} steps"), &[("y", y)]);
    }
    for count in [1usize, 256, 1000] {
        let mut case = Case::new(12);
        let x = case.random("x", &[count, 4], 2.0);
        let y = case.output("y", &[count, 4]);
        case.run(&kernels::PROBE_COPY, ProbeCopyUniforms { count: count as u32, a: 0.5 }, &[x, y]);
        case.compare(&gpu, &format!("{count} vectors"), &[("y", y)]);
    }
}

#[test]
fn a_peak_is_measured() {
    let peak = block_on(Peak::measure(&block_on(Gpu::open_to_profile()).unwrap())).unwrap();
    assert!(peak.gflops > 0.0 && peak.gflops.is_finite() && peak.gbps > 0.0 && peak.gbps.is_finite(), "{peak:?}");
}

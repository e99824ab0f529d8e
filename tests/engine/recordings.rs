//! Recordings as data: no GPU is opened here.

use finegrain::architecture::{Architecture, Dcal, Hybrid, Mechanism};
use finegrain::engine::kernels::{self, GatherUniforms, MatmulUniforms};
use finegrain::engine::{Binding, Command, Content, Kernel, Recording, record};
use finegrain::tensors::Precision;

use crate::case::PRECISIONS;

fn tiny() -> Architecture {
    Architecture {
        resnet: None,
        hybrid: None,
        image_size: [448, 448],
        patch_size: 16,
        dim: 192,
        depth: 12,
        heads: 3,
        mlp_ratio: 4,
        layer_norm_eps: 1e-6,
        classes: 100,
        mechanism: Mechanism::Dcal(Dcal { ratio: 0.1, glca: true, pwca: true, gates: None }),
    }
}

fn dispatched(recording: &Recording, name: &str) -> usize {
    let is_it = |command: &&Command| matches!(command, Command::Dispatch { kernel, .. } if kernel.shader.name == name);
    recording.commands().iter().filter(is_it).count()
}

#[test]
fn classifying_runs_the_kernels_of_the_paper() {
    let recording = record::classify(&tiny(), Precision::F32).unwrap();
    recording.check().unwrap();
    assert_eq!(dispatched(&recording, "patch_embed"), 1);
    assert_eq!(dispatched(&recording, "attention_64"), 13, "twelve blocks and GLCA");
    assert_eq!(dispatched(&recording, "rollout"), 13, "twelve blocks, and the sum of the parts");
    assert_eq!(dispatched(&recording, "select"), 1);
    assert_eq!(dispatched(&recording, "matmul_gelu"), 13);
    assert_eq!(dispatched(&recording, "attention_mean"), 0, "maps are for traces");
    assert!(recording.kernels().len() <= 12, "few pipelines: {:?}", recording.kernels());
    // GLCA's MLP sees the class token and 78 local queries only.
    let rows = recording.buffers().iter().find(|buffer| buffer.label == "glca.hidden").unwrap();
    assert_eq!(rows.shape, [79, 768]);
}

#[test]
fn no_attention_map_lies_in_memory() {
    let recording = record::classify(&tiny(), Precision::F32).unwrap();
    let map = 785 * 785;
    for buffer in recording.buffers().iter().filter(|buffer| buffer.content == Content::Scratch) {
        // The MLP's hidden layer [785, 768] is the widest activation.
        assert!(buffer.len() < map, "{} {:?}", buffer.label, buffer.shape);
    }
    assert!(record::trace(&tiny(), Precision::F32).unwrap().buffers().iter().any(|buffer| buffer.shape == [785, 785]));
}

/// WebGPU's default limits: a binding of 128 MiB, a buffer of 256 MiB.
#[test]
fn every_backbone_fits_the_default_limits() {
    for (dim, heads) in [(192, 3), (384, 6), (768, 12)] {
        for (size, precision) in [224, 448].into_iter().flat_map(|s| PRECISIONS.map(|p| (s, p))) {
            let network = Architecture { dim, heads, image_size: [size, size], classes: 1000, ..tiny() };
            for recording in [
                record::classify(&network, precision).unwrap(),
                record::tail(&network.with_ratio(1.0).unwrap(), precision).unwrap(),
                record::difference(&network, precision, [0, 999]).unwrap(),
            ] {
                recording.check().unwrap();
                let largest = recording.buffers().iter().max_by_key(|buffer| buffer.len()).unwrap();
                assert!(4 * largest.len() <= 128 << 20, "{dim} at {size}: {} {:?}", largest.label, largest.shape);
            }
        }
    }
}

/// The hybrid, too, in a few pipelines.
#[test]
fn a_hybrid_fits_the_default_limits() {
    for (size, precision) in [224, 448].into_iter().flat_map(|s| PRECISIONS.map(|p| (s, p))) {
        let hybrid = Some(Hybrid::r50());
        let network = Architecture { hybrid, dim: 768, heads: 12, image_size: [size, size], classes: 1000, ..tiny() };
        let recording = record::classify(&network, precision).unwrap();
        recording.check().unwrap();
        let largest = recording.buffers().iter().max_by_key(|buffer| buffer.len()).unwrap();
        assert!(4 * largest.len() <= 128 << 20, "{size}: {} {:?}", largest.label, largest.shape);
        assert!(recording.kernels().len() <= 16, "few pipelines: {:?}", recording.kernels());
        let convolutions = (1 + 3 * 16 + 3, "the first one, three in each block, three shortcuts");
        assert_eq!(dispatched(&recording, "convolution"), convolutions.0, "{}", convolutions.1);
        assert_eq!(dispatched(&recording, "group_moments"), convolutions.0);
        assert_eq!(dispatched(&recording, "group_norm"), convolutions.0);
        if size == 224 {
            // PyTorch counts 21.535 10^9 multiply-adds in timm's vit_base_r50_s16_224; here norms and softmax count, too.
            let plain = record::self_attention(&network, precision).unwrap();
            let flops = |command: &Command| match command {
                Command::Dispatch { kernel, uniforms, .. } => (kernel.cost)(uniforms).flops,
                Command::ReadBack { .. } => 0,
            };
            let flops = plain.commands().iter().map(flops).sum::<u64>() as f64 / 2.0;
            assert!((flops / 21.535e9 - 1.0).abs() < 0.02, "{flops:.4e}");
        }
    }
}

#[test]
fn packed_weights_take_packed_memory() {
    let bytes = |precision| -> usize {
        let recording = record::classify(&tiny(), precision).unwrap();
        let weights = recording.buffers().iter().filter(|buffer| matches!(buffer.content, Content::Weight(_)));
        // A bias or a norm may be named twice, a matrix is not.
        weights.map(|buffer| 4 * buffer.len()).sum()
    };
    let [f32, f16, int8] = PRECISIONS.map(bytes);
    assert!(f16 * 10 < f32 * 6 && int8 * 10 < f32 * 4, "{f32} {f16} {int8}");
    for precision in PRECISIONS {
        let kernels = record::classify(&tiny(), precision).unwrap().kernels();
        assert!(kernels.len() <= 12, "few pipelines: {kernels:?}");
    }
}

#[test]
fn results_are_read_back_at_the_end_of_a_photo() {
    let names = |recording: &Recording| -> Vec<String> {
        let read = |command: &Command| match command {
            Command::ReadBack { name, .. } => Some(name.clone()),
            Command::Dispatch { .. } => None,
        };
        recording.commands().iter().filter_map(read).collect()
    };
    let mut with = names(&record::classify(&tiny(), Precision::F32).unwrap());
    with.sort();
    assert_eq!(
        with,
        [
            "out.logits.glca",
            "out.logits.sa",
            "out.probability",
            "out.probability.glca",
            "out.probability.sa",
            "out.rollout",
            "out.selected"
        ]
    );
    let plain =
        names(&record::classify(&Architecture { mechanism: Mechanism::None, ..tiny() }, Precision::F32).unwrap());
    assert_eq!(plain, ["out.rollout", "out.logits.sa", "out.probability.sa"]);
}

#[test]
fn a_recording_can_be_read() {
    let text = record::classify(&tiny(), Precision::F32).unwrap().to_string();
    assert!(text.contains("weight   blocks.0.attn.qkv.weight [192, 576]"), "{text}");
    assert!(
        text.contains(
            "blocks.0.attn.qkv: matmul 9 x 25 x 1, x <- normed, weight <- blocks.0.attn.qkv.weight, \
         bias <- blocks.0.attn.qkv.bias, y -> blocks.0.qkv"
        ),
        "{text}"
    );
    assert!(text.contains("read out.selected <- selected"), "{text}");
}

#[test]
fn a_wrong_recording_is_refused() {
    let mut recording = Recording::default();
    let x = recording.input("x", &[4, 8]);
    let y = recording.scratch("y", &[4, 8]);
    let weight = recording.linear("w", &[8, 8], 0..8, Precision::F32);
    let bias = recording.vector("b", &[8]);
    let good = MatmulUniforms { rows: 4, inner: 8, columns: 8 };
    let error = |uniforms: MatmulUniforms, bindings: &[_]| {
        let mut copy = Recording::default();
        copy.input("x", &[4, 8]);
        copy.scratch("y", &[4, 8]);
        copy.linear("w", &[8, 8], 0..8, Precision::F32);
        copy.vector("b", &[8]);
        copy.dispatch("layer", &kernels::MATMUL, uniforms, bindings);
        copy.check().map_err(|error| error.to_string())
    };
    assert_eq!(error(good, &[x, weight, bias, y]), Ok(()));
    assert!(error(good, &[x, weight, y]).unwrap_err().contains("3 storage bindings instead of 4"));
    assert!(error(good, &[y, weight, bias, y]).unwrap_err().contains("bound twice"));
    assert!(error(good, &[x, weight, bias, x]).unwrap_err().contains("it writes \"x\""));
    // What an earlier recording left behind is read only.
    let mut look = Recording::default();
    let bindings = [
        look.kept("x", &[4, 8]),
        look.linear("w", &[8, 8], 0..8, Precision::F32),
        look.vector("b", &[8]),
        look.kept("y", &[4, 8]),
    ];
    look.dispatch("layer", &kernels::MATMUL, good, &bindings);
    assert!(look.check().unwrap_err().to_string().contains("it writes \"y\""));
    assert!(error(MatmulUniforms { rows: 0, ..good }, &[x, weight, bias, y]).unwrap_err().contains("grid"));
    recording.dispatch("layer", &kernels::MATMUL, GatherUniforms { rows: 4, dim: 8 }, &[x, weight, bias, y]);
    assert!(recording.check().unwrap_err().to_string().contains("8 bytes of uniforms instead of 12"));
}

/// A tile or subgroups change how a kernel computes, and nothing that a recording knows of it.
#[test]
fn what_takes_a_kernels_place_has_its_bindings() {
    let mut products = 0;
    for kernel in kernels::ALL {
        let tiles = kernels::tiles(kernel);
        let mut shapes: Vec<_> = tiles.iter().map(|tile| (tile.shader.matrix_units, tile.shader.tile)).collect();
        shapes.sort_unstable();
        shapes.dedup();
        assert!(
            shapes.len() == tiles.len() && tiles.first().is_none_or(|first| first.shader.name == kernel.shader.name)
        );
        products += usize::from(!tiles.is_empty());
        for other in tiles.iter().copied().chain(kernels::with_subgroups(kernel)) {
            // Matrix units read vectors of four.
            let shape = |binding: &Binding| (other.shader.matrix_units == 0).then_some(binding.shape);
            let binding = |binding: &Binding| (binding.name, binding.access, shape(binding));
            let bindings = |kernel: &Kernel| kernel.shader.bindings.iter().map(binding).collect::<Vec<_>>();
            assert_eq!(bindings(other), bindings(kernel), "{}", other.shader.name);
            assert_eq!(other.shader.uniform_bytes, kernel.shader.uniform_bytes, "{}", other.shader.name);
        }
    }
    assert_eq!(products, 9 + 2, "three precisions, three endings; convolutions in two");
    // The texts differ in their constants only: the page carries each once.
    let [first, small, large, ..] = kernels::tiles(&kernels::MATMUL_GELU_INT8) else { panic!("three tiles") };
    assert_eq!((first.shader.tile, small.shader.tile, large.shader.tile), ([32, 64], [32, 32], [64, 128]));
    assert!(first.shader.wgsl.as_ptr() == small.shader.wgsl.as_ptr() && first.shader.wgsl == large.shader.wgsl);
    // Where nothing divides: the tiles cover everything.
    let uniforms = MatmulUniforms { rows: 197, inner: 5, columns: 130 };
    let grid = |kernel: &Kernel| (kernel.grid)(bytemuck::bytes_of(&uniforms));
    assert_eq!([grid(first), grid(small), grid(large)], [[3, 7, 1], [5, 7, 1], [2, 4, 1]]);
}

#[test]
fn every_binding_states_its_shape() {
    for kernel in kernels::ALL {
        for binding in &kernel.shader.bindings[1..] {
            assert!(binding.shape.starts_with('['), "{}: {}", kernel.shader.name, binding.name);
        }
    }
}

//! Each kernel against its CPU twin on random values, over odd and even shapes: sizes that are no multiple of a tile, one
//! token, one head, heads of odd width.

use finegrain::engine::kernels::{
    self, AttentionMeanUniforms, AttentionUniforms, ClassifierUniforms, GatherUniforms, LayerNormUniforms,
    MatmulUniforms, ProbabilityUniforms, RolloutUniforms, SelectUniforms,
};
use finegrain::engine::{BufferId, Gpu, Kernel, cpu};
use finegrain::tensors::Precision;
use pollster::block_on;
use proptest::prelude::*;

use crate::case::{self, Case, PRECISIONS, with_and_without_subgroups};
use crate::support::gpu;

fn layer_norm_case(gpu: &Gpu, rows: usize, dim: usize, seed: u64) {
    for kernel in with_and_without_subgroups(gpu, &kernels::LAYER_NORM) {
        let mut case = Case::new(seed);
        let x = case.random("x", &[rows, dim], 3.0);
        let weight = case.random("weight", &[dim], 1.0);
        let bias = case.random("bias", &[dim], 1.0);
        let y = case.output("y", &[rows, dim]);
        let uniforms = LayerNormUniforms { rows: rows as u32, dim: dim as u32, eps: 1e-6 };
        case.run(kernel, uniforms, &[x, weight, bias, y]);
        case.compare(gpu, &format!("{} {rows} x {dim}", kernel.shader.name), &[("y", y)]);
    }
}

#[test]
fn layer_norm() {
    let gpu = gpu();
    for (rows, dim) in [(1, 192), (197, 192), (785, 48), (50, 63), (3, 65), (2, 768), (7, 2)] {
        layer_norm_case(&gpu, rows, dim, 2);
    }
}

/// Every ending in every tile against the twin.
fn matmul_case(gpu: &Gpu, [rows, inner, columns]: [usize; 3], precision: Precision, matrix_units: bool, seed: u64) {
    let kernels::Linear { matmul, matmul_gelu, matmul_residual, .. } = kernels::linear(precision);
    let endings = [matmul, matmul_gelu, matmul_residual].map(kernels::tiles);
    let units = if matrix_units { gpu.matrix_units() } else { 0 };
    let tiles = endings.iter().copied().flatten().filter(|tile| tile.shader.matrix_units == units);
    let mut case = Case::new(seed);
    let x = case.random("x", &[rows, inner], 1.0);
    let (weight, scales) = case.linear("weight", [inner, columns], 2.0 / (inner as f32).sqrt(), precision);
    let bias = case.random("bias", &[columns], 1.0);
    let [m, k, n] = [rows, inner, columns].map(|n| n as u32);
    let uniforms = MatmulUniforms { rows: m, inner: k, columns: n };
    let mut outputs = Vec::new();
    for kernel in tiles {
        let name = kernel.shader.name;
        let y = case.output(name, &[rows, columns]);
        let bindings: Vec<BufferId> = [x, weight, bias, y].into_iter().chain(scales).collect();
        // RESIDUAL adds to what is there.
        case.run(matmul, uniforms, &bindings);
        case.run(kernel, uniforms, &bindings);
        outputs.push((name, y));
    }
    let what = format!("{rows} x {inner} x {columns}");
    case.compare_within(if matrix_units { MATRIX_UNITS } else { case::TOLERANCE }, gpu, &what, &outputs);
}

/// Matrix units cut sums short where a processor rounds them.
const MATRIX_UNITS: f64 = 1e-5;

#[test]
fn matmul_matrix() {
    let gpu = gpu();
    let needs = |kernel: &'static Kernel, [inner, columns]: [u32; 2]| kernels::suits(kernel, inner, columns);
    for tile in kernels::tiles(&kernels::MATMUL_F16).iter().filter(|tile| tile.shader.matrix_units > 0) {
        assert!(needs(tile, [192, 196]) && !needs(tile, [48, 196]) && !needs(tile, [192, 7]), "{}", tile.shader.name);
    }
    if gpu.matrix_units() == 0 {
        eprintln!("skipped: {} shows no matrix units", gpu.adapter().name);
        return;
    }
    for (rows, inner, columns) in [
        (1, 32, 4),
        (64, 64, 64),
        (197, 192, 576),
        (785, 768, 132),
        (50, 96, 196),
        (129, 160, 260),
        (63, 3072, 64),
        (20, 192, 192),
    ] {
        for precision in [Precision::F16, Precision::Int8] {
            matmul_case(&gpu, [rows, inner, columns], precision, true, 4);
        }
    }
}

#[test]
fn matmul() {
    let gpu = gpu();
    for (rows, inner, columns) in [
        (1, 1, 1),
        (32, 32, 32),
        (197, 192, 576),
        (50, 48, 7),
        (33, 17, 65),
        (785, 24, 31),
        (5, 100, 130),
        (64, 128, 64),
        (20, 192, 192),
        (65, 15, 129),
        (1, 40, 257),
    ] {
        for precision in PRECISIONS {
            matmul_case(&gpu, [rows, inner, columns], precision, false, 3);
        }
    }
}

/// Q of `queries` tokens beside K and V of `keys` tokens, apart as in GLCA or in one buffer as in self-attention.
struct Heads {
    queries: usize,
    keys: usize,
    heads: usize,
    head_dim: usize,
    /// Scores up to about this size.
    spread: f32,
}

impl Heads {
    fn apart(&self, seed: u64) -> (Case, BufferId, BufferId, AttentionUniforms) {
        let mut case = Case::new(seed);
        let dim = self.heads * self.head_dim;
        let q = case.random("q", &[self.queries, dim], self.spread);
        let kv = case.random("kv", &[self.keys, 2 * dim], 1.0);
        let [queries, keys, heads, head_dim, stride] =
            [self.queries, self.keys, self.heads, self.head_dim, dim].map(|n| n as u32);
        let scale = 1.0 / (self.head_dim as f32).sqrt();
        let uniforms = AttentionUniforms {
            queries,
            keys,
            heads,
            head_dim,
            q_stride: stride,
            kv_stride: 2 * stride,
            k_offset: 0,
            v_offset: stride,
            scale,
        };
        (case, q, kv, uniforms)
    }
}

fn attention_case(gpu: &Gpu, shape: &Heads, seed: u64) {
    let Heads { queries, keys, heads, head_dim, spread } = *shape;
    let (mut case, q, kv, uniforms) = shape.apart(seed);
    let y = case.output("y", &[queries, heads * head_dim]);
    let lse = case.output("lse", &[heads, queries]);
    case.run(kernels::attention(head_dim).unwrap(), uniforms, &[q, kv, y, lse]);
    // The maps that only traces see, from the same log-sum-exp.
    let mean = case.output("mean", &[queries, keys]);
    let each = case.output("each", &[heads, queries, keys]);
    let AttentionUniforms { q_stride, kv_stride, k_offset, scale, .. } = uniforms;
    let maps = AttentionMeanUniforms {
        queries: uniforms.queries,
        keys: uniforms.keys,
        heads: uniforms.heads,
        head_dim: uniforms.head_dim,
        q_stride,
        kv_stride,
        k_offset,
        scale,
    };
    case.run(&kernels::ATTENTION_MEAN, maps, &[q, kv, lse, mean]);
    case.run(&kernels::ATTENTION_HEADS, maps, &[q, kv, lse, each]);
    let what = format!("{queries} x {keys}, {heads} heads of {head_dim}, scores to {spread}");
    case.compare(gpu, &what, &[("y", y), ("lse", lse), ("mean", mean), ("each", each)]);
}

#[test]
fn attention_and_its_maps() {
    let gpu = gpu();
    let shapes = [
        (197, 197, 3, 64, 1.0),
        (785, 785, 1, 16, 1.0),
        (50, 50, 2, 24, 1.0),
        (1, 1, 5, 8, 1.0),
        (20, 197, 3, 64, 1.0),
        (79, 785, 1, 33, 1.0),
        (5, 31, 2, 7, 1.0),
        (33, 65, 5, 128, 1.0),
        (4, 40, 1, 1, 1.0),
        // Sharp attention: exp of a score would overflow without the maximum subtracted.
        (40, 70, 2, 32, 60.0),
    ];
    for (queries, keys, heads, head_dim, spread) in shapes {
        attention_case(&gpu, &Heads { queries, keys, heads, head_dim, spread }, 4);
    }
}

/// Self-attention binds one buffer twice; then three steps of rollout, the first from the class token.
fn rollout_case(gpu: &Gpu, tokens: usize, heads: usize, head_dim: usize, seed: u64) {
    let mut case = Case::new(seed);
    let dim = heads * head_dim;
    let qkv = case.random("qkv", &[tokens, 3 * dim], 2.0);
    let y = case.output("y", &[tokens, dim]);
    let lse = case.output("lse", &[heads, tokens]);
    let [n, h, d, stride] = [tokens, heads, head_dim, dim].map(|n| n as u32);
    let scale = 1.0 / (head_dim as f32).sqrt();
    let attention = AttentionUniforms {
        queries: n,
        keys: n,
        heads: h,
        head_dim: d,
        q_stride: 3 * stride,
        kv_stride: 3 * stride,
        k_offset: stride,
        v_offset: 2 * stride,
        scale,
    };
    case.run(kernels::attention(head_dim).unwrap(), attention, &[qkv, qkv, y, lse]);
    let span = 64;
    let parts = n.div_ceil(span) * h;
    let first = RolloutUniforms {
        queries: 1,
        keys: n,
        heads: h,
        head_dim: d,
        q_stride: 3 * stride,
        kv_stride: 3 * stride,
        k_offset: stride,
        scale,
        parts: 0,
        span,
        keep: 0.5,
    };
    let shape = [parts as usize, tokens];
    let r: Vec<BufferId> = (0..4).map(|step| case.output(&format!("r{step}"), &shape)).collect();
    let sum = case.output("sum", &[tokens]);
    case.run(&kernels::ROLLOUT, first, &[qkv, qkv, lse, r[0], r[1]]);
    let further = RolloutUniforms { queries: n, parts: h, ..first };
    case.run(&kernels::ROLLOUT, further, &[qkv, qkv, lse, r[1], r[2]]);
    case.run(&kernels::ROLLOUT, RolloutUniforms { parts, ..further }, &[qkv, qkv, lse, r[2], r[3]]);
    let last = RolloutUniforms { queries: 0, heads: 1, parts, keep: 1.0, ..first };
    case.run(&kernels::ROLLOUT, last, &[qkv, qkv, lse, r[3], sum]);
    let what = format!("{tokens} tokens, {heads} heads of {head_dim}");
    case.compare(gpu, &what, &[("y", y), ("lse", lse), ("one", r[1]), ("two", r[2]), ("three", r[3]), ("sum", sum)]);
}

#[test]
fn rollout() {
    let gpu = gpu();
    for (tokens, heads, head_dim) in
        [(197, 3, 64), (785, 1, 16), (50, 3, 16), (1, 2, 4), (17, 2, 16), (33, 5, 7), (65, 1, 40)]
    {
        rollout_case(&gpu, tokens, heads, head_dim, 5);
    }
}

/// The order is exact, ties included, and gather follows it.
fn select_case(gpu: &Gpu, tokens: usize, k: usize, dim: usize, levels: f32, seed: u64) {
    let mut case = Case::new(seed);
    let mut r = case.random.tensor(&[tokens], 1.0);
    // Few levels: many patches are equal.
    if let finegrain::tensors::Values::F32(values) = &mut r.values {
        values.iter_mut().for_each(|v| *v = (*v * levels).round() / levels);
    }
    case.values.insert("r", r);
    let r = case.recording.vector("r", &[tokens]);
    let x = case.random("x", &[tokens, dim], 1.0);
    let selected = case.output("selected", &[k]);
    let y = case.output("y", &[1 + k, dim]);
    case.run(&kernels::SELECT, SelectUniforms { tokens: tokens as u32, selected: k as u32 }, &[r, selected]);
    case.run(&kernels::GATHER, GatherUniforms { rows: 1 + k as u32, dim: dim as u32 }, &[x, selected, y]);
    case.recording.read_back_integers("selected", selected);
    case.recording.read_back("y", y);
    let expected = cpu::run(&case.recording, &case.values, &[]).unwrap();
    let found = block_on(finegrain::engine::run(gpu, case.recording, &case.values, &[])).unwrap();
    assert_eq!(found.integers("selected").unwrap(), expected.integers("selected").unwrap(), "{tokens} tokens, {k}");
    assert_eq!(found.reals("y").unwrap(), expected.reals("y").unwrap(), "gather copies: {tokens} tokens, {k}");
}

#[test]
fn select_and_gather() {
    let gpu = gpu();
    for (tokens, k, dim, levels) in [
        (197, 19, 192, 1e6),
        (785, 78, 65, 1e6),
        (50, 4, 48, 3.0),
        (2, 1, 1, 1e6),
        (65, 64, 3, 2.0),
        (131, 130, 64, 5.0),
    ] {
        select_case(&gpu, tokens, k, dim, levels, 6);
    }
}

#[test]
fn classifier_and_probability() {
    let gpu = gpu();
    let shapes = [(192, 100usize), (192, 196), (32, 5), (25, 1), (48, 1000), (768, 257)];
    for ((dim, classes), precision) in shapes.into_iter().flat_map(|shape| PRECISIONS.map(|p| (shape, p))) {
        let mut case = Case::new(7);
        let mut logits = Vec::new();
        for branch in ["sa", "glca"] {
            let feature = case.random(&format!("feature.{branch}"), &[dim], 2.0);
            let name = format!("weight.{branch}");
            let (weight, scales) = case.linear(&name, [dim, classes], 1.0 / (dim as f32).sqrt(), precision);
            let bias = case.random(&format!("bias.{branch}"), &[classes], 1.0);
            let y = case.output(&format!("logits.{branch}"), &[classes]);
            let uniforms = ClassifierUniforms { dim: dim as u32, classes: classes as u32 };
            let bindings: Vec<BufferId> = [feature, weight, bias, y].into_iter().chain(scales).collect();
            case.run(kernels::linear(precision).classifier, uniforms, &bindings);
            logits.push(y);
        }
        let outputs = ["plain", "sa", "glca", "probability"].map(|name| (name, case.output(name, &[classes])));
        let [plain, sa, glca, probability] = outputs.map(|(_, buffer)| buffer);
        let uniforms = ProbabilityUniforms { classes: classes as u32 };
        case.run(&kernels::PROBABILITY, uniforms, &[logits[0], plain]);
        case.run(&kernels::PROBABILITY_GLCA, uniforms, &[logits[0], sa, logits[1], glca, probability]);
        let mut compared = outputs.to_vec();
        compared.extend([("logits.sa", logits[0]), ("logits.glca", logits[1])]);
        if gpu.has_subgroups() {
            let outputs = ["sub.plain", "sub.sa", "sub.glca", "sub.probability"];
            let outputs = outputs.map(|name| (name, case.output(name, &[classes])));
            let [plain, sa, glca, probability] = outputs.map(|(_, buffer)| buffer);
            case.run(&kernels::PROBABILITY_SUBGROUP, uniforms, &[logits[0], plain]);
            let bindings = [logits[0], sa, logits[1], glca, probability];
            case.run(&kernels::PROBABILITY_GLCA_SUBGROUP, uniforms, &bindings);
            compared.extend(outputs);
        }
        case.compare(&gpu, &format!("{dim}, {classes} classes, {precision:?}"), &compared);
    }
}

/// The error function against its integral, 2 / sqrt(pi) exp(-t^2) by Simpson's rule in f64.
#[test]
fn erf_is_exact_to_single_precision() {
    let density = |t: f64| 2.0 / std::f64::consts::PI.sqrt() * (-t * t).exp();
    for step in -450..=450 {
        let x = step as f32 * 0.01;
        let n = 2000;
        let h = f64::from(x) / f64::from(n);
        let inner: f64 = (1..n).map(|i| if i % 2 == 1 { 4.0 } else { 2.0 } * density(f64::from(i) * h)).sum();
        let exact = h / 3.0 * (density(0.0) + inner + density(f64::from(x)));
        let error = (f64::from(cpu::erf(x)) - exact).abs();
        assert!(error <= 2e-7 * exact.abs() + 1e-30, "erf({x}) is off by {error:.1e}");
    }
    assert_eq!(cpu::erf(20.0), 1.0);
    assert_eq!(cpu::gelu(-30.0), 0.0);
}

proptest! {
    // Each case compiles its pipelines, so there are few of them.
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_shape(
        rows in 1usize..80,
        inner in 1usize..70,
        columns in 1usize..80,
        heads in 1usize..5,
        head_dim in 1usize..70,
        seed in any::<u64>(),
    ) {
        let gpu = gpu();
        matmul_case(&gpu, [rows, inner, columns], PRECISIONS[seed as usize % 3], false, seed);
        attention_case(&gpu, &Heads { queries: rows, keys: columns, heads, head_dim, spread: 1.0 }, seed);
        rollout_case(&gpu, rows, heads, head_dim, seed);
        select_case(&gpu, rows + 1, rows.div_ceil(3), inner, 4.0, seed);
        layer_norm_case(&gpu, rows, inner + 1, seed);
    }
}

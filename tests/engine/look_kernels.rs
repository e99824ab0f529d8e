//! The kernels of looks against their CPU twins, as in `kernels.rs`.

use finegrain::engine::kernels::{
    self, AttentionRowUniforms, AttentionUniforms, ContributionUniforms, DirectionUniforms, PullBackUniforms,
};
use finegrain::engine::{BufferId, Gpu};
use finegrain::tensors::Precision;
use proptest::prelude::*;

use crate::case::{Case, PRECISIONS};
use crate::support::gpu;

/// One attention and, from its log-sum-exp, single rows and contributions: apart as in GLCA (queries [M, D] before keys and
/// values [T, 2 D]), or all in one buffer as in self-attention.
fn rows_case(gpu: &Gpu, queries: usize, keys: usize, heads: usize, head_dim: usize, seed: u64) {
    let together = queries == keys;
    let mut case = Case::new(seed);
    let dim = heads * head_dim;
    let (q, kv, q_stride, kv_stride, k_offset) = if together {
        let qkv = case.random("qkv", &[keys, 3 * dim], 2.0);
        (qkv, qkv, 3 * dim, 3 * dim, dim)
    } else {
        (case.random("q", &[queries, dim], 2.0), case.random("kv", &[keys, 2 * dim], 1.0), dim, 2 * dim, 0)
    };
    let direction = case.random("direction", &[dim], 1.0);
    let [m, t, h, d] = [queries, keys, heads, head_dim].map(|n| n as u32);
    let [q_stride, kv_stride, k_offset, v_offset] = [q_stride, kv_stride, k_offset, k_offset + dim].map(|n| n as u32);
    let scale = 1.0 / (head_dim as f32).sqrt();
    let attention = AttentionUniforms {
        queries: m,
        keys: t,
        heads: h,
        head_dim: d,
        q_stride,
        kv_stride,
        k_offset,
        v_offset,
        scale,
    };
    let y = case.output("y", &[queries, dim]);
    let lse = case.output("lse", &[heads, queries]);
    case.run(kernels::attention(head_dim).unwrap(), attention, &[q, kv, y, lse]);

    let mut compared: Vec<(String, BufferId)> = Vec::new();
    for query in [0, queries / 2, queries - 1] {
        let name = format!("row {query} {}", compared.len());
        let row = case.output(&name, &[heads, keys]);
        let uniforms = AttentionRowUniforms {
            query: query as u32,
            queries: m,
            keys: t,
            heads: h,
            head_dim: d,
            q_stride,
            kv_stride,
            k_offset,
            scale,
        };
        case.run(&kernels::ATTENTION_ROW, uniforms, &[q, kv, lse, row]);
        compared.push((name, row));
    }
    // The first overwrites, the second adds.
    let sum = case.output("sum", &[keys]);
    for (first, query) in [(1, 0), (0, queries - 1)] {
        let uniforms = ContributionUniforms {
            query: query as u32,
            queries: m,
            keys: t,
            heads: h,
            head_dim: d,
            q_stride,
            kv_stride,
            k_offset,
            v_offset,
            scale,
            first,
        };
        case.run(&kernels::CONTRIBUTION, uniforms, &[q, kv, lse, direction, sum]);
    }
    compared.push(("sum".into(), sum));
    let outputs: Vec<(&str, BufferId)> = compared.iter().map(|(name, id)| (name.as_str(), *id)).collect();
    case.compare(gpu, &format!("{queries} x {keys}, {heads} heads of {head_dim}"), &outputs);
}

#[test]
fn attention_row_and_contribution() {
    let gpu = gpu();
    for (queries, keys, heads, head_dim) in [
        (197, 197, 3, 64),
        (785, 785, 1, 16),
        (50, 50, 5, 24),
        (1, 1, 3, 8),
        (20, 197, 3, 64),
        (79, 785, 2, 33),
        (5, 63, 7, 1),
        (33, 65, 5, 128),
    ] {
        rows_case(&gpu, queries, keys, heads, head_dim, 8);
    }
}

fn direction_case(gpu: &Gpu, [rows, dim, classes]: [usize; 3], precision: Precision, seed: u64) {
    let mut case = Case::new(seed);
    let x = case.random("x", &[rows, dim], 3.0);
    let gamma = case.random("gamma", &[dim], 1.0);
    let (weight, scales) = case.linear("weight", [dim, classes], 0.5, precision);
    let (projection, projection_scales) = case.linear("projection", [dim, dim], 0.5, precision);
    let g = case.output("g", &[dim]);
    let y = case.output("y", &[dim]);
    let [d, c, last] = [dim, classes, classes - 1].map(|n| n as u32);
    let uniforms = DirectionUniforms { dim: d, classes: c, first: last, second: last / 2, eps: 1e-6 };
    let kernels::Linear { direction, pull_back, .. } = kernels::linear(precision);
    let bindings: Vec<BufferId> = [x, gamma, weight, g].into_iter().chain(scales).collect();
    case.run(direction, uniforms, &bindings);
    let bindings: Vec<BufferId> = [projection, g, y].into_iter().chain(projection_scales).collect();
    case.run(pull_back, PullBackUniforms { rows: d, columns: d }, &bindings);
    case.compare(gpu, &format!("{rows} x {dim}, {classes} classes, {precision:?}"), &[("g", g), ("y", y)]);
}

#[test]
fn direction_and_pull_back() {
    let gpu = gpu();
    for (rows, dim, classes) in [(197, 192, 100), (1, 65, 2), (50, 33, 7), (785, 48, 196), (3, 768, 1000), (2, 63, 257)]
    {
        for precision in PRECISIONS {
            direction_case(&gpu, [rows, dim, classes], precision, 9);
        }
    }
}

proptest! {
    // Each case compiles its pipelines, so there are few of them.
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_shape(
        queries in 1usize..80,
        keys in 1usize..140,
        heads in 1usize..6,
        head_dim in 1usize..70,
        classes in 2usize..70,
        seed in any::<u64>(),
    ) {
        let gpu = gpu();
        rows_case(&gpu, queries, keys, heads, head_dim, seed);
        direction_case(&gpu, [queries, keys + 2, classes], PRECISIONS[seed as usize % 3], seed);
    }
}

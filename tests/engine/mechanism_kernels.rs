//! The kernels of TASN, RGA and Attend and Rectify against their CPU twins, as in `kernels.rs`.

use finegrain::engine::kernels::{
    self, AgreementUniforms, CoordinatesUniforms, CumulativeUniforms, GateUniforms, GlobalGatesUniforms,
    GridSampleUniforms, HypothesisUniforms, MarginalUniforms, NeighboursUniforms, ProductUniforms, ShrinkUniforms,
    SoftmaxUniforms, SumUniforms,
};
use finegrain::engine::{BufferId, Gpu};
use proptest::prelude::*;

use crate::case::{Case, with_and_without_subgroups};
use crate::support::{Random, gpu};

/// Strides of a matrix `[rows, columns]` that begins behind some other values, as it is or transposed: values in its
/// buffer, offset, from row to row, from column to column.
fn strides(rows: usize, columns: usize, transposed: bool) -> (usize, [u32; 3]) {
    let offset = 5;
    let (row, column) = if transposed { (1, rows) } else { (columns, 1) };
    (offset + rows * columns, [offset, row, column].map(|n| n as u32))
}

fn softmax_case(gpu: &Gpu, rows: usize, length: usize, seed: u64) {
    for kernel in with_and_without_subgroups(gpu, &kernels::SOFTMAX) {
        for transposed in [false, true] {
            let mut case = Case::new(seed);
            let (size, [x_offset, x_row, x_inner]) = strides(rows, length, transposed);
            let x = case.random("x", &[size], 3.0);
            let y = case.output("y", &[rows, length]);
            let [rows, length] = [rows, length].map(|n| n as u32);
            let uniforms = SoftmaxUniforms { rows, length, x_offset, x_row, x_inner, scale: 7.0 };
            case.run(kernel, uniforms, &[x, y]);
            let name = kernel.shader.name;
            case.compare(gpu, &format!("{name} of {rows} x {length}, transposed: {transposed}"), &[("y", y)]);
        }
    }
}

fn product_case(gpu: &Gpu, rows: usize, inner: usize, columns: usize, seed: u64) {
    for (x_transposed, w_transposed) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut case = Case::new(seed);
        let (x_size, [x_offset, x_row, x_inner]) = strides(rows, inner, x_transposed);
        let (w_size, [w_offset, w_inner, w_column]) = strides(inner, columns, w_transposed);
        let x = case.random("x", &[x_size], 1.0);
        let w = case.random("w", &[w_size], 2.0 / (inner as f32).sqrt());
        let bias = case.random("bias", &[columns], 1.0);
        // Into the columns of a wider matrix, side by side.
        let y = case.output("y", &[rows, 3 * columns]);
        let [m, k, n] = [rows, inner, columns].map(|n| n as u32);
        for (place, kernel) in
            [&kernels::PRODUCT, &kernels::PRODUCT_RELU, &kernels::PRODUCT_SIGMOID].into_iter().enumerate()
        {
            let uniforms = ProductUniforms {
                rows: m,
                inner: k,
                columns: n,
                x_offset,
                x_row,
                x_inner,
                w_offset,
                w_inner,
                w_column,
                y_offset: place as u32 * n,
                y_row: 3 * n,
            };
            let bindings = if place == 0 { vec![x, w, y] } else { vec![x, w, bias, y] };
            case.run(kernel, uniforms, &bindings);
        }
        let what = format!("{rows} x {inner} x {columns}, transposed: {x_transposed} {w_transposed}");
        case.compare(gpu, &what, &[("y", y)]);
    }
}

fn sum_case(gpu: &Gpu, rows: usize, length: usize, seed: u64) {
    for transposed in [false, true] {
        let mut case = Case::new(seed);
        let (size, [x_offset, x_row, x_inner]) = strides(rows, length, transposed);
        let x = case.random("x", &[size], 1.0);
        let y = case.output("y", &[rows, 2]);
        let scale = 1.0 / length as f32;
        let [rows, length] = [rows, length].map(|n| n as u32);
        for (y_offset, kernel) in [&kernels::SUM, &kernels::SUM_RELU].into_iter().enumerate() {
            let y_offset = y_offset as u32;
            let uniforms = SumUniforms { rows, length, x_offset, x_row, x_inner, y_offset, y_row: 2, scale };
            case.run(kernel, uniforms, &[x, y]);
        }
        case.compare(gpu, &format!("sum of {rows} x {length}, transposed: {transposed}"), &[("y", y)]);
    }
}

#[test]
fn softmax_and_sum() {
    let gpu = gpu();
    for (rows, length) in [(1, 1), (32, 64), (3, 785), (197, 50), (65, 7), (64, 65)] {
        softmax_case(&gpu, rows, length, 1);
        sum_case(&gpu, rows, length, 2);
    }
}

#[test]
fn product() {
    let gpu = gpu();
    for (rows, inner, columns) in
        [(1, 1, 1), (32, 16, 64), (50, 197, 7), (33, 17, 65), (197, 64, 197), (1, 785, 31), (5, 100, 130)]
    {
        product_case(&gpu, rows, inner, columns, 3);
    }
}

/// From an attention map to coordinates: marginals, both densities, cumulative sums, their inverse. The sums are seen in what
/// follows from them: by themselves they are differences of nearly equal numbers.
fn sampler_case(
    gpu: &Gpu,
    [map_height, map_width]: [usize; 2],
    [height, width]: [usize; 2],
    size: [usize; 2],
    seed: u64,
) {
    for square in [0, 1] {
        let mut case = Case::new(seed);
        let mut random = Random(seed);
        let values = (0..map_height * map_width).map(|_| random.real(2.0).abs()).collect();
        let map = case.given("map", &[map_height, map_width], values);
        let marginal = case.output("marginal", &[height + width]);
        let [mh, mw, h, w] = [map_height, map_width, height, width].map(|n| n as u32);
        let uniforms = MarginalUniforms { map_height: mh, map_width: mw, height: h, width: w, square };
        case.run(&kernels::MARGINAL, uniforms, &[map, marginal]);
        let density = case.output("density", &[height + width]);
        let excess = case.output("excess", &[height + width]);
        let uniforms = CumulativeUniforms { height: h, width: w, rounds: 5, dense: 4.0 };
        case.run(&kernels::CUMULATIVE, uniforms, &[marginal, density, excess]);
        let [rows, columns] = size.map(|n| n as u32);
        let coordinates = case.output("coordinates", &[size[0] + size[1]]);
        let uniforms = CoordinatesUniforms { height: h, width: w, rows, columns };
        case.run(&kernels::COORDINATES, uniforms, &[density, excess, coordinates]);
        let compared = [("marginal", marginal), ("density", density), ("coordinates", coordinates)];
        case.compare(gpu, &format!("{map_height} x {map_width} on {height} x {width}, to {size:?}"), &compared);
    }
}

fn grid_sample_case(gpu: &Gpu, channels: usize, [height, width]: [usize; 2], [rows, columns]: [usize; 2], seed: u64) {
    let mut case = Case::new(seed);
    let image = case.random("image", &[channels, height, width], 1.0);
    let mut random = Random(seed);
    let mut at: Vec<f32> = (0..rows + columns).map(|_| random.real(1.0)).collect();
    // Both corners, where there is no further pixel to mix with.
    (at[0], at[rows + columns - 1]) = (-1.0, 1.0);
    let coordinates = case.given("coordinates", &[rows + columns], at);
    let y = case.output("y", &[channels, rows, columns]);
    let [c, h, w, r, k] = [channels, height, width, rows, columns].map(|n| n as u32);
    let uniforms = GridSampleUniforms { channels: c, height: h, width: w, rows: r, columns: k };
    case.run(&kernels::GRID_SAMPLE, uniforms, &[image, coordinates, y]);
    case.compare(gpu, &format!("{channels} x {height} x {width} at {rows} x {columns}"), &[("y", y)]);
}

fn shrink_case(gpu: &Gpu, channels: usize, [rows, columns]: [usize; 2], zoom: usize, seed: u64) {
    let mut case = Case::new(seed);
    let image = case.random("image", &[channels, zoom * rows, zoom * columns], 1.0);
    let y = case.output("y", &[channels, rows, columns]);
    let [channels, r, c, zoom] = [channels, rows, columns, zoom].map(|n| n as u32);
    let uniforms = ShrinkUniforms { channels, rows: r, columns: c, zoom };
    case.run(&kernels::SHRINK, uniforms, &[image, y]);
    case.compare(gpu, &format!("{channels} x {rows} x {columns}, {zoom} times as large"), &[("y", y)]);
}

#[test]
fn shrink() {
    let gpu = gpu();
    for (channels, size, zoom) in [(3, [16, 24], 2), (1, [1, 1], 5), (3, [21, 35], 3), (2, [9, 7], 1), (3, [33, 8], 4)]
    {
        shrink_case(&gpu, channels, size, zoom, 7);
    }
}

#[test]
fn sampler() {
    let gpu = gpu();
    for (map, image, size) in [
        ([8, 8], [64, 64], [40, 40]),
        ([7, 7], [500, 333], [224, 160]),
        ([1, 1], [2, 2], [1, 1]),
        ([3, 5], [65, 64], [1, 70]),
        ([14, 2], [9, 131], [7, 3]),
        ([28, 28], [63, 1000], [33, 65]),
    ] {
        sampler_case(&gpu, map, image, size, 4);
        grid_sample_case(&gpu, 3, image, size, 5);
    }
}

/// Without any attention, with one bright spot that every round clips, and with nothing beyond the first row.
#[test]
fn sampler_at_its_ends() {
    let gpu = gpu();
    for (spot, at, rounds) in [(0.0, 33, 5), (900.0, 33, 5), (900.0, 33, 1), (1e9, 0, 0)] {
        let mut case = Case::new(6);
        let (height, width) = (70, 130);
        let mut values = vec![if spot == 0.0 { 0.0 } else { 0.9 }; height + width];
        (values[at], values[height + 100]) = (spot, spot);
        let marginal = case.given("marginal", &[height + width], values);
        let density = case.output("density", &[height + width]);
        let excess = case.output("excess", &[height + width]);
        let [h, w] = [height, width].map(|n| n as u32);
        let uniforms = CumulativeUniforms { height: h, width: w, rounds, dense: 4.0 };
        case.run(&kernels::CUMULATIVE, uniforms, &[marginal, density, excess]);
        let coordinates = case.output("coordinates", &[50 + 60]);
        let uniforms = CoordinatesUniforms { height: h, width: w, rows: 50, columns: 60 };
        case.run(&kernels::COORDINATES, uniforms, &[density, excess, coordinates]);
        let compared = [("density", density), ("coordinates", coordinates)];
        case.compare(&gpu, &format!("a spot of {spot} at {at}, {rounds} rounds"), &compared);
    }
}

fn gate_case(gpu: &Gpu, positions: usize, channels: usize, seed: u64) {
    for by_channel in [false, true] {
        let mut case = Case::new(seed);
        // A class token before the map, which the gate passes by.
        let all = (1 + positions) * channels;
        let x = case.random("x", &[all], 1.0);
        let gate = case.random("gate", &[if by_channel { channels } else { positions }], 1.0);
        let y = case.output("y", &[1 + positions, channels]);
        let copy = SumUniforms {
            rows: all as u32,
            length: 1,
            x_offset: 0,
            x_row: 1,
            x_inner: 1,
            y_offset: 0,
            y_row: 1,
            scale: 1.0,
        };
        case.run(&kernels::SUM, copy, &[x, y]);
        let uniforms = GateUniforms {
            positions: positions as u32,
            channels: channels as u32,
            y_offset: channels as u32,
            gate_position: u32::from(!by_channel),
            gate_channel: u32::from(by_channel),
        };
        case.run(&kernels::GATE, uniforms, &[gate, y]);
        case.compare(gpu, &format!("{positions} x {channels}, gates of channels: {by_channel}"), &[("y", y)]);
    }
}

#[test]
fn gate() {
    let gpu = gpu();
    for (positions, channels) in [(64, 32), (196, 192), (1, 1), (785, 3), (49, 65)] {
        gate_case(&gpu, positions, channels, 7);
    }
}

fn hypothesis_case(gpu: &Gpu, heads: usize, classes: usize, seed: u64) {
    let mut case = Case::new(seed);
    // As the products of all heads by all weights leave them: a head's own lie on the diagonal.
    let trust = case.random("trust", &[heads, heads], 2.0);
    let opinions = case.random("opinions", &[heads, heads * classes], 3.0);
    let head_gates = case.output("head_gates", &[heads]);
    let logits = case.output("logits", &[2, classes]);
    let [k, c] = [heads, classes].map(|n| n as u32);
    let uniforms =
        HypothesisUniforms { heads: k, classes: c, trust_head: k + 1, opinion_head: (k + 1) * c, y_offset: c };
    case.run(&kernels::HYPOTHESIS, uniforms, &[trust, opinions, head_gates, logits]);
    let what = format!("{heads} heads, {classes} classes");
    case.compare(gpu, &what, &[("head_gates", head_gates), ("logits", logits)]);
}

fn neighbours_case(gpu: &Gpu, [height, width]: [usize; 2], channels: usize, heads: usize, seed: u64) {
    let mut case = Case::new(seed);
    let masks = case.random("masks", &[heads, height * width], 1.0);
    let x = case.random("x", &[(height * width + 1) * channels], 1.0);
    let y = case.output("y", &[heads, channels * 9]);
    let [h, w, c, k] = [height, width, channels, heads].map(|n| n as u32);
    let uniforms = NeighboursUniforms { height: h, width: w, channels: c, heads: k, x_offset: c };
    case.run(&kernels::NEIGHBOURS, uniforms, &[masks, x, y]);
    case.compare(gpu, &format!("{height} x {width}, {channels} channels, {heads} heads"), &[("y", y)]);
}

#[test]
fn neighbours() {
    let gpu = gpu();
    for (size, channels, heads) in
        [([14, 14], 192, 4), ([1, 1], 3, 1), ([28, 28], 33, 3), ([7, 7], 65, 64), ([1, 9], 64, 2), ([5, 2], 7, 5)]
    {
        neighbours_case(&gpu, size, channels, heads, 11);
    }
}

fn global_gates_case(gpu: &Gpu, votes: usize, classes: usize, seed: u64) {
    let mut case = Case::new(seed);
    let logits = case.random("votes", &[votes, classes], 5.0);
    let gates = case.random("gates", &[votes], 2.0);
    let outputs: [(&str, BufferId); 2] = ["softmax", "sigmoid"].map(|name| (name, case.output(name, &[classes])));
    let uniforms = GlobalGatesUniforms { votes: votes as u32, classes: classes as u32 };
    for ((_, y), kernel) in outputs.iter().zip([&kernels::GLOBAL_GATES, &kernels::GLOBAL_GATES_SIGMOID]) {
        case.run(kernel, uniforms, &[logits, gates, *y]);
    }
    case.compare(gpu, &format!("{votes} votes of {classes} classes"), &outputs);
}

/// Votes that agree by chance or, with `pull`, because each has one class above all others; behind row `first` the workgroups are left out
/// where they do and the threshold is low enough.
fn agreement_case(gpu: &Gpu, votes: usize, classes: usize, pull: bool, sure: [f32; 2], seed: u64) -> bool {
    let mut case = Case::new(seed);
    let mut values: Vec<f32> = (0..votes * classes).map(|_| case.random.real(2.0)).collect();
    if pull {
        values.chunks_mut(classes).for_each(|vote| vote[classes / 2] = 9.0);
    }
    let logits = case.given("votes", &[votes, classes], values);
    let sure = case.given("sure", &[2], sure.to_vec());
    let grids = case.random("grids", &[7, 3], 1.0);
    let workgroups = case.output("workgroups", &[7, 3]);
    let copy =
        SumUniforms { rows: 21, length: 1, x_offset: 0, x_row: 1, x_inner: 1, y_offset: 0, y_row: 1, scale: 1.0 };
    case.run(&kernels::SUM, copy, &[grids, workgroups]);
    let outputs =
        [("early", &[2, classes][..]), ("blocks", &[2])].map(|(name, shape)| (name, case.output(name, shape)));
    let [(_, early), (_, blocks)] = outputs;
    let uniforms = AgreementUniforms {
        votes: votes as u32,
        classes: classes as u32,
        blocks: 0x3f80_0000, // integers that are no denormal numbers either: they are compared as such
        depth: 0x4000_0000,
        first: 2,
        exit: 1,
    };
    case.run(&kernels::AGREEMENT, uniforms, &[logits, sure, early, blocks, workgroups]);
    let what = format!("{votes} votes of {classes} classes");
    let found = case.compare(gpu, &what, &[outputs[0], outputs[1], ("workgroups", workgroups)]);
    let left = found.reals("workgroups").unwrap();
    assert!(left[..6].iter().all(|&n| n != 0.0), "{what}: what came before is not touched");
    let stopped = left[6..].iter().all(|&n| n == 0.0);
    assert_eq!(found.reals("blocks").unwrap()[1], if stopped { 1.0 } else { 2.0 }, "{what}");
    stopped
}

#[test]
fn agreement() {
    let gpu = gpu();
    for (votes, classes) in [(2, 6), (3, 196), (5, 1000), (2, 64), (4, 65), (2, 1), (9, 257)] {
        assert!(agreement_case(&gpu, votes, classes, true, [0.3, 1.0], 12), "all name one class");
        assert!(!agreement_case(&gpu, votes, classes, true, [0.0, 0.0], 12), "nobody asked");
        assert!(!agreement_case(&gpu, votes, classes, true, [1.1, 0.5], 12), "nobody is that sure");
        if classes > 2 {
            assert!(!agreement_case(&gpu, votes, classes, false, [0.0, 2.0], 13), "random votes differ");
            assert!(!agreement_case(&gpu, votes, classes, true, [0.9, 50.0], 12), "so warm they are not sure");
        }
    }
}

#[test]
fn hypothesis_and_global_gates() {
    let gpu = gpu();
    for (heads, classes) in [(4, 6), (1, 100), (3, 1), (64, 7), (5, 196), (2, 257)] {
        hypothesis_case(&gpu, heads, classes, 9);
    }
    for (votes, classes) in [(3, 6), (4, 196), (2, 1000), (1, 65), (5, 2)] {
        global_gates_case(&gpu, votes, classes, 10);
    }
}

proptest! {
    // Each case compiles its pipelines, so there are few of them.
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_shape(
        rows in 1usize..80, inner in 1usize..70, columns in 1usize..80,
        map in (1usize..12, 1usize..12), image in (2usize..90, 2usize..90), size in (1usize..60, 1usize..60),
        seed in any::<u64>(),
    ) {
        let gpu = gpu();
        softmax_case(&gpu, rows, inner, seed);
        sum_case(&gpu, rows, inner, seed);
        product_case(&gpu, rows, inner, columns, seed);
        sampler_case(&gpu, [map.0, map.1], [image.0, image.1], [size.0, size.1], seed);
        grid_sample_case(&gpu, 1 + rows % 4, [image.0, image.1], [size.0, size.1], seed);
        gate_case(&gpu, rows, columns, seed);
        neighbours_case(&gpu, [map.0, map.1], columns, 1 + inner % 9, seed);
        hypothesis_case(&gpu, 1 + inner % 9, columns, seed);
        global_gates_case(&gpu, 1 + inner % 9, 1 + columns, seed);
    }
}

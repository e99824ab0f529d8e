//! The kernels of residual networks against their CPU twins on random values: maps of one position, odd sides and channels, steps
//! that leave the edge out, every ending in every tile.

use finegrain::engine::kernels::{
    self, ClassActivationUniforms, ConvolutionUniforms, GroupMomentsUniforms, GroupNormUniforms, MaxPoolUniforms,
    NormaliseUniforms, PatchEmbedUniforms,
};
use finegrain::engine::{BufferId, Gpu};
use finegrain::tensors::Precision;
use proptest::prelude::*;

use crate::case::{Case, PRECISIONS};
use crate::support::gpu;

/// A kernel: side, stride, dilation, padding. A planar map has all of one channel, then all of the next, as an image.
fn convolution_case(
    gpu: &Gpu,
    [height, width]: [usize; 2],
    [channels, outputs]: [usize; 2],
    kernel: [usize; 4],
    planar: bool,
    seed: u64,
) {
    let [side, stride, dilation, padding] = kernel;
    let reach = |size: usize| (size + 2 * padding).checked_sub(dilation * (side - 1) + 1).map(|room| room / stride + 1);
    let (Some(rows), Some(across)) = (reach(height), reach(width)) else { return };
    // Steps and padding may leave out the whole map: then all is zero, and nothing is tested.
    let sees = |size: usize, positions: usize| {
        let mut taps = (0..positions).flat_map(|at| (0..side).map(move |tap| at * stride + tap * dilation));
        taps.any(|at| (padding..padding + size).contains(&at))
    };
    if !sees(height, rows) || !sees(width, across) {
        return;
    }
    let inner = channels * side * side;
    let [h, w, c, n, m, k, a] = [height, width, channels, outputs, rows * across, inner, across].map(|n| n as u32);
    let [side4, stride, dilation, padding] = kernel.map(|n| n as u32);
    let (x_position, x_channel) = if planar { (1, h * w) } else { (c, 1) };
    let plain = ConvolutionUniforms {
        rows: m,
        inner: k,
        columns: n,
        height: h,
        width: w,
        channels: c,
        side: side4,
        stride,
        dilation,
        padding,
        across: a,
        x_offset: c,
        x_position,
        x_channel,
        normed: 0,
        adds: 0,
        relu: 0,
    };
    for precision in [Precision::F32, Precision::F16] {
        let mut case = Case::new(seed);
        let x = case.random("x", &[channels + height * width * channels], 1.0);
        let shape = [outputs, channels, side, side];
        case.values.insert("weight", case.random.tensor(&shape, 2.0 / (inner as f32).sqrt()));
        let weight = case.recording.convolution("weight", shape, precision);
        let scale = case.random("scale", &[outputs], 1.0);
        let mut shift: Vec<f32> = (0..outputs).map(|_| case.random.real(1.0)).collect();
        shift[0] = 5.0; // something is above 0
        let shift = case.given("shift", &[outputs], shift);
        let mut outputs_seen = Vec::new();
        for (tile, kernel) in kernels::tiles(kernels::linear(precision).convolution).iter().copied().enumerate() {
            let name = kernel.shader.name;
            let y = case.output(name, &[rows * across, outputs]);
            // Each ending somewhere; ADDS adds to what the first left.
            case.run(kernel, ConvolutionUniforms { normed: 1, ..plain }, &[x, weight, scale, shift, y]);
            let (normed, relu) = (u32::from(tile != 1), u32::from(tile != 2));
            let ending = ConvolutionUniforms { normed, adds: 1, relu, ..plain };
            let [scale, shift] = if normed == 1 { [scale, shift] } else { [x, x] };
            case.run(kernel, ending, &[x, weight, scale, shift, y]);
            outputs_seen.push((name, y));
        }
        // Alone, as Attend and Rectify has it.
        let y = case.output("plain", &[rows * across, outputs]);
        case.run(kernels::linear(precision).convolution, plain, &[x, weight, x, x, y]);
        outputs_seen.push(("plain", y));
        let what = format!("{height} x {width}, {channels} to {outputs}, {kernel:?}, planar: {planar}");
        let found = case.compare(gpu, &what, &outputs_seen);
        let [first, ..] = outputs_seen.as_slice() else { return };
        assert!(found.reals(first.0).unwrap().iter().all(|&v| v >= 0.0), "{what}: relu");
    }
}

#[test]
fn convolution() {
    let gpu = gpu();
    for (size, channels, kernel, planar) in [
        ([8, 8], [32, 4], [3, 1, 1, 1], false),
        ([7, 5], [3, 6], [3, 2, 1, 1], false),
        ([29, 30], [3, 65], [7, 2, 1, 3], true),
        ([14, 14], [6, 5], [3, 1, 2, 2], false),
        ([1, 1], [3, 2], [3, 1, 1, 1], false),
        ([5, 6], [70, 33], [1, 1, 1, 0], false),
        ([6, 7], [4, 4], [1, 2, 1, 0], false),
        ([9, 4], [5, 9], [3, 2, 3, 3], true),
        ([3, 3], [2, 70], [3, 1, 1, 0], false),
        ([13, 11], [16, 130], [3, 2, 1, 1], false),
        ([10, 9], [17, 64], [3, 3, 1, 1], false),
        ([33, 2], [1, 1], [5, 1, 1, 2], false),
    ] {
        convolution_case(&gpu, size, channels, kernel, planar, 8);
    }
}

fn max_pool_case(gpu: &Gpu, [height, width]: [usize; 2], channels: usize, padding: u32, seed: u64) {
    let mut case = Case::new(seed);
    let (rows, columns) = (height.div_ceil(2), width.div_ceil(2));
    let x = case.random("x", &[height * width, channels], 1.0);
    let y = case.output("y", &[rows * columns, channels]);
    let [height4, width4, c, r, k] = [height, width, channels, rows, columns].map(|n| n as u32);
    let uniforms = MaxPoolUniforms { height: height4, width: width4, channels: c, rows: r, columns: k, padding };
    case.run(&kernels::MAX_POOL, uniforms, &[x, y]);
    case.compare(gpu, &format!("{height} x {width}, {channels} channels, padding {padding}"), &[("y", y)]);
}

#[test]
fn max_pool() {
    let gpu = gpu();
    for (size, channels) in [([16, 12], 64), ([7, 9], 65), ([1, 1], 3), ([2, 1], 1), ([5, 112], 33)] {
        max_pool_case(&gpu, size, channels, 1, 12);
        max_pool_case(&gpu, size, channels, 0, 14);
    }
}

fn normalise_case(gpu: &Gpu, [height, width]: [usize; 2], channels: usize, seed: u64) {
    let mut case = Case::new(seed);
    let x = case.random("x", &[height * width, channels], 1.0);
    let scale = case.random("scale", &[channels], 2.0);
    let mut shift: Vec<f32> = (0..channels).map(|_| case.random.real(2.0)).collect();
    shift[0] = 3.0; // something is above 0
    let shift = case.given("shift", &[channels], shift);
    let y = case.output("y", &[height * width, channels]);
    let [h, w, c] = [height, width, channels].map(|n| n as u32);
    let plain = NormaliseUniforms { height: h, width: w, channels: c, adds: 0, relu: 0 };
    let relu = case.output("relu", &[height * width, channels]);
    case.run(&kernels::NORMALISE, NormaliseUniforms { relu: 1, ..plain }, &[x, scale, shift, relu]);
    // Adds to what the first one left.
    case.run(&kernels::NORMALISE, plain, &[x, scale, shift, y]);
    case.run(&kernels::NORMALISE, NormaliseUniforms { adds: 1, relu: 1, ..plain }, &[x, scale, shift, y]);
    case.compare(gpu, &format!("{height} x {width}, {channels} channels"), &[("y", y), ("relu", relu)]);
}

#[test]
fn normalise() {
    let gpu = gpu();
    for (size, channels) in [([32, 32], 16), ([7, 5], 65), ([1, 3], 640), ([9, 1], 3)] {
        normalise_case(&gpu, size, channels, 13);
    }
}

/// `best` has the highest logit, shared with the class behind it.
fn class_activation_case(gpu: &Gpu, [positions, dim, classes]: [usize; 3], precision: Precision, seed: u64) {
    let best = classes / 2;
    let mut case = Case::new(seed);
    let f = case.random("f", &[positions, dim], 1.0);
    let (weight, scales) = case.linear("weight", [dim, classes], 1.0, precision);
    let mut logits: Vec<f32> = (0..classes).map(|_| case.random.real(3.0)).collect();
    logits[best] = 4.0;
    logits[(best + 1).min(classes - 1)] = 4.0;
    let logits = case.given("logits", &[classes], logits);
    let y = case.output("y", &[positions + 1]);
    let [n, d, c] = [positions, dim, classes].map(|n| n as u32);
    let uniforms = ClassActivationUniforms { positions: n, dim: d, classes: c };
    let bindings: Vec<BufferId> = [f, weight, logits, y].into_iter().chain(scales).collect();
    case.run(kernels::linear(precision).class_activation, uniforms, &bindings);
    let what = format!("{positions} positions, {dim} channels, {classes} classes, {precision:?}");
    let found = case.compare(gpu, &what, &[("y", y)]);
    let y = found.reals("y").unwrap();
    assert_eq!(y[0], 0.0);
    assert!((y.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{what}");
}

#[test]
fn class_activation() {
    let gpu = gpu();
    for shape in [[49, 512, 196], [65, 30, 1], [196, 65, 1000], [3, 7, 6], [64, 2048, 67]] {
        PRECISIONS.into_iter().for_each(|precision| class_activation_case(&gpu, shape, precision, 14));
    }
}

/// Where no position speaks for the class, nothing is divided by nothing.
#[test]
fn class_activation_of_nothing() {
    let gpu = gpu();
    let mut case = Case::new(15);
    let f = case.given("f", &[2, 3], vec![1.0; 6]);
    case.values.insert("weight", finegrain::tensors::Tensor::f32([1, 3], vec![-1.0; 3]));
    let weight = case.recording.linear("weight", &[1, 3], 0..1, Precision::F32);
    let logits = case.given("logits", &[1], vec![-3.0]);
    let y = case.output("y", &[3]);
    let uniforms = ClassActivationUniforms { positions: 2, dim: 3, classes: 1 };
    case.run(&kernels::CLASS_ACTIVATION, uniforms, &[f, weight, logits, y]);
    case.recording.read_back("y", y);
    let found = pollster::block_on(finegrain::engine::run(&gpu, case.recording, &case.values, &[])).unwrap();
    assert_eq!(found.reals("y").unwrap(), [0.0; 3]);
}

fn group_norm_case(gpu: &Gpu, positions: usize, [channels, groups]: [usize; 2], span: usize, seed: u64) {
    let mut case = Case::new(seed);
    let x = case.random("x", &[positions, channels], 3.0);
    let weight = case.random("weight", &[channels], 1.0);
    let bias = case.random("bias", &[channels], 1.0);
    let [scale, shift] = ["scale", "shift"].map(|name| case.output(name, &[channels]));
    let moments = case.output("moments", &[positions.div_ceil(span), groups, 2]);
    let [p, c, g, s] = [positions, channels, groups, span].map(|n| n as u32);
    let uniforms = GroupMomentsUniforms { positions: p, channels: c, groups: g, span: s };
    case.run(&kernels::GROUP_MOMENTS, uniforms, &[x, moments]);
    let uniforms = GroupNormUniforms { positions: p, channels: c, groups: g, span: s, eps: 1e-5 };
    case.run(&kernels::GROUP_NORM, uniforms, &[moments, weight, bias, scale, shift]);
    let what = format!("{positions} positions in parts of {span}, {channels} channels in {groups} groups");
    case.compare(gpu, &what, &[("moments", moments), ("scale", scale), ("shift", shift)]);
}

#[test]
fn group_norm() {
    let gpu = gpu();
    for (positions, channels) in
        [(784, [64, 32]), (197, [96, 32]), (50, [130, 2]), (1, [6, 3]), (3, [70, 1]), (7, [5, 5]), (3136, [256, 32])]
    {
        for span in [256, 50, positions] {
            group_norm_case(&gpu, positions, channels, span, 15);
        }
    }
}

#[test]
fn patch_embed() {
    let gpu = gpu();
    [Precision::F32, Precision::F16].into_iter().for_each(|precision| patch_embed_cases(&gpu, precision));
}

fn patch_embed_cases(gpu: &Gpu, precision: Precision) {
    // The last ones as a hybrid has it: one position a patch, channels last.
    for (height, width, side, dim, channels) in [
        (32, 32, 8, 32usize, 3),
        (21, 35, 7, 25, 3),
        (5, 5, 5, 3, 3),
        (96, 64, 16, 66, 3),
        (14, 14, 1, 40, 70),
        (3, 5, 1, 33, 16),
        (6, 4, 2, 9, 5),
    ] {
        let mut case = Case::new(1);
        let tokens = 1 + (height / side) * (width / side);
        let inner = channels * side * side;
        let x = case.random("x", &[channels * height * width], 2.0);
        let (weight, _) = case.linear("weight", [inner, dim], 0.1, precision);
        let bias = case.random("bias", &[dim], 1.0);
        let class_token = case.random("class_token", &[dim], 1.0);
        let position = case.random("position", &[tokens, dim], 1.0);
        let y = case.output("tokens", &[tokens, dim]);
        let [h, w, s, d] = [height, width, side, dim].map(|n| n as u32);
        let [x_position, x_channel] = if channels == 3 { [1, h * w] } else { [channels as u32, 1] };
        let channels = channels as u32;
        let uniforms = PatchEmbedUniforms { height: h, width: w, channels, side: s, dim: d, x_position, x_channel };
        let kernel = kernels::linear(precision).patch_embed;
        case.run(kernel, uniforms, &[x, weight, bias, class_token, position, y]);
        case.compare(gpu, &format!("{height} x {width}, {side}, {dim}, {precision:?}"), &[("tokens", y)]);
    }
}

proptest! {
    // Each case compiles its pipelines, so there are few of them.
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_map(
        map in (1usize..20, 1usize..20), channels in 1usize..40, outputs in 1usize..140,
        kernel in (1usize..5, 1usize..4, 1usize..3, 0usize..3), planar in any::<bool>(), seed in any::<u64>(),
    ) {
        let gpu = gpu();
        let kernel = [kernel.0, kernel.1, kernel.2, kernel.3];
        convolution_case(&gpu, [map.0, map.1], [channels, outputs], kernel, planar, seed);
        max_pool_case(&gpu, [map.0, map.1], outputs, seed as u32 % 2, seed);
        normalise_case(&gpu, [map.0, map.1], outputs, seed);
        group_norm_case(&gpu, map.0 * map.1, [channels * kernel[0], channels], outputs, seed);
    }
}

// From marginals to the cumulative sums that say where the sampler's rows and columns lie (TASN, section 3.2; clipping as in
// the authors' code): each axis is divided by its mean, clipped a few times over, what is cut off spread evenly, and summed up.
// Kept is by how much the sum c exceeds an even grid's, c[i] - i: c itself, as large as the photo, would round away what places
// a row between two others. One workgroup, each thread a run of neighbours.

struct CumulativeUniforms {
    height: u32,    // H
    width: u32,     // W
    rounds: u32,
    dense: f32,     // the bound of the first round, as a multiple of the mean
}

@group(0) @binding(0) var<uniform> u: CumulativeUniforms;
@group(0) @binding(1) var<storage, read> marginal: array<f32>;          // [H + W], rows first, not negative
@group(0) @binding(2) var<storage, read_write> density: array<f32>;     // [H + W], of mean 1
@group(0) @binding(3) var<storage, read_write> excess: array<f32>;      // [H + W], c[i] - i; c[0] = 0, c[i] = c[i - 1] + density[i]

#import reduce

// The thread's own part of an axis that starts at `start` and has `size` values.
fn own(lane: Lane, start: u32, size: u32) -> vec2<u32> {
    let run = (size + 63u) / 64u;
    return start + min(vec2(lane.thread * run, (lane.thread + 1u) * run), vec2(size));
}

fn divide_by_mean(lane: Lane, start: u32, size: u32) {
    let part = own(lane, start, size);
    var sum = 0.0;
    for (var i = part.x; i < part.y; i++) {
        sum += marginal[i];
    }
    let mean = total(lane, sum) / f32(size);
    for (var i = part.x; i < part.y; i++) {
        // A map without anything in it: evenly.
        density[i] = 1.0;
        if mean > 0.0 {
            density[i] = marginal[i] / mean;
        }
    }
}

fn largest(lane: Lane, start: u32, size: u32) -> f32 {
    let part = own(lane, start, size);
    var high = 0.0;
    for (var i = part.x; i < part.y; i++) {
        high = max(high, density[i]);
    }
    return highest(lane, high);
}

fn clip(lane: Lane, start: u32, size: u32, bound: f32) {
    let part = own(lane, start, size);
    var sum = 0.0;
    for (var i = part.x; i < part.y; i++) {
        density[i] = min(density[i], bound);
        sum += density[i];
    }
    let missing = 1.0 - total(lane, sum) / f32(size);
    for (var i = part.x; i < part.y; i++) {
        density[i] += missing;
    }
}

fn sum_up(lane: Lane, start: u32, size: u32) {
    let part = own(lane, start, size);
    var sum = 0.0;
    for (var i = part.x; i < part.y; i++) {
        sum += select(density[i] - 1.0, 0.0, i == start);
    }
    partial[lane.thread] = sum;
    workgroupBarrier();
    sum = 0.0;
    for (var earlier = 0u; earlier < lane.thread; earlier++) {
        sum += partial[earlier];
    }
    workgroupBarrier();
    for (var i = part.x; i < part.y; i++) {
        sum += select(density[i] - 1.0, 0.0, i == start);
        excess[i] = sum;
    }
}

@compute @workgroup_size(64)
fn main(lane: Lane) {
    divide_by_mean(lane, 0u, u.height);
    divide_by_mean(lane, u.height, u.width);
    for (var round = 0u; round < u.rounds; round++) {
        var bound = min(largest(lane, 0u, u.height), largest(lane, u.height, u.width));
        if round == 0u {
            bound = min(bound, u.dense);
        }
        clip(lane, 0u, u.height, bound);
        clip(lane, u.height, u.width, bound);
    }
    sum_up(lane, 0u, u.height);
    sum_up(lane, u.height, u.width);
}

// What a group norm multiplies each channel of a map with and adds: mean and variance are those of a group of channels over all
// positions. One workgroup a group; the variance is taken around the mean in a second pass, as in layer_norm. The map is then
// changed by `normalise`.

struct GroupNormUniforms {
    positions: u32, // P
    channels: u32,  // C
    groups: u32,    // G, divides C
    eps: f32,
}

@group(0) @binding(0) var<uniform> u: GroupNormUniforms;
@group(0) @binding(1) var<storage, read> x: array<f32>;             // [P, C]
@group(0) @binding(2) var<storage, read> weight: array<f32>;        // [C]
@group(0) @binding(3) var<storage, read> bias: array<f32>;          // [C]
@group(0) @binding(4) var<storage, read_write> scale: array<f32>;   // [C]
@group(0) @binding(5) var<storage, read_write> shift: array<f32>;   // [C]

#import reduce

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, lane: Lane) {
    let thread = lane.thread;
    let across = u.channels / u.groups;
    let count = u.positions * across;
    let start = group.x * across;
    var sum = 0.0;
    for (var i = thread; i < count; i += 64u) {
        sum += x[i / across * u.channels + start + i % across];
    }
    let mean = total(lane, sum) / f32(count);
    var squares = 0.0;
    for (var i = thread; i < count; i += 64u) {
        let d = x[i / across * u.channels + start + i % across] - mean;
        squares += d * d;
    }
    let factor = 1.0 / sqrt(total(lane, squares) / f32(count) + u.eps);
    for (var i = thread; i < across; i += 64u) {
        let channel = start + i;
        scale[channel] = factor * weight[channel];
        shift[channel] = bias[channel] - mean * factor * weight[channel];
    }
}

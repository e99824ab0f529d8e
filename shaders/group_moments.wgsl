// What some positions of a map say of each group of its channels: the mean, and the sum of squared differences from it, in a second pass
// around the mean as in layer_norm. One workgroup a group and part of the positions; `group_norm` puts the parts together.

struct GroupMomentsUniforms {
    positions: u32, // P
    channels: u32,  // C
    groups: u32,    // G, divides C
    span: u32,      // positions of a part; there are P / span parts, rounded up
}

@group(0) @binding(0) var<uniform> u: GroupMomentsUniforms;
@group(0) @binding(1) var<storage, read> x: array<f32>;                 // [P, C]
@group(0) @binding(2) var<storage, read_write> moments: array<f32>;     // [parts, G, 2]

#import reduce

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, lane: Lane) {
    let thread = lane.thread;
    let across = u.channels / u.groups;
    let first = group.y * u.span;
    let count = min(u.span, u.positions - first) * across;
    let start = first * u.channels + group.x * across;
    var sum = 0.0;
    for (var i = thread; i < count; i += 64u) {
        sum += x[start + i / across * u.channels + i % across];
    }
    let mean = total(lane, sum) / f32(count);
    var squares = 0.0;
    for (var i = thread; i < count; i += 64u) {
        let d = x[start + i / across * u.channels + i % across] - mean;
        squares += d * d;
    }
    squares = total(lane, squares);
    if thread == 0u {
        let at = 2u * (group.y * u.groups + group.x);
        moments[at] = mean;
        moments[at + 1u] = squares;
    }
}

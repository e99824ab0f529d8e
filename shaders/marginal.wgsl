// The marginals of an attention map resized bilinearly to the photo's size (TASN, section 3.2): for each row and column of
// pixels the largest value in it, squared where `square` says so (the structure map), and at least 0. The resized map is
// never written. One workgroup a row or column.

struct MarginalUniforms {
    map_height: u32,    // h
    map_width: u32,     // w
    height: u32,        // H
    width: u32,         // W
    square: u32,        // 1: of the squares
}

@group(0) @binding(0) var<uniform> u: MarginalUniforms;
@group(0) @binding(1) var<storage, read> map: array<f32>;           // [h, w]
@group(0) @binding(2) var<storage, read_write> marginal: array<f32>; // [H + W], rows first

#import reduce

// Where pixel `i` of `to` lies among `size` values: corners are those of the pixels, not of their centres.
fn position(i: u32, to: u32, size: u32) -> f32 {
    return clamp((f32(i) + 0.5) * f32(size) / f32(to) - 0.5, 0.0, f32(size - 1u));
}

fn resized(row: u32, column: u32) -> f32 {
    let y = position(row, u.height, u.map_height);
    let x = position(column, u.width, u.map_width);
    let top = u32(y) * u.map_width;
    let bottom = min(u32(y) + 1u, u.map_height - 1u) * u.map_width;
    let left = u32(x);
    let right = min(left + 1u, u.map_width - 1u);
    let upper = mix(map[top + left], map[top + right], fract(x));
    let lower = mix(map[bottom + left], map[bottom + right], fract(x));
    return mix(upper, lower, fract(y));
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, lane: Lane) {
    let thread = lane.thread;
    let is_row = group.x < u.height;
    let length = select(u.height, u.width, is_row);
    var high = 0.0;
    for (var i = thread; i < length; i += 64u) {
        var value: f32;
        if is_row {
            value = resized(group.x, i);
        } else {
            value = resized(i, group.x - u.height);
        }
        if u.square == 1u {
            value *= value;
        }
        high = max(high, value);
    }
    high = highest(lane, high);
    if thread == 0u {
        marginal[group.x] = high;
    }
}

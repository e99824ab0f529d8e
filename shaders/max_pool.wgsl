// The highest of 3 x 3 positions of a map, every other one in each direction; those outside do not count. They are about the even
// positions, or from them on. One thread a value.

struct MaxPoolUniforms {
    height: u32,    // H
    width: u32,     // W
    channels: u32,  // C
    rows: u32,      // H' = H / 2, rounded up
    columns: u32,   // W' likewise
    padding: u32,   // 1: the first of the 3 is before the even position; 0: it is the even position
}

@group(0) @binding(0) var<uniform> u: MaxPoolUniforms;
@group(0) @binding(1) var<storage, read> x: array<f32>;         // [H W, C]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;   // [H' W', C]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= u.channels {
        return;
    }
    let even = 2u * id.yz;
    let end = even + 3u - u.padding;
    var high = x[(even.y * u.width + even.x) * u.channels + id.x];
    for (var row = max(even.y, u.padding) - u.padding; row < min(end.y, u.height); row++) {
        for (var column = max(even.x, u.padding) - u.padding; column < min(end.x, u.width); column++) {
            high = max(high, x[(row * u.width + column) * u.channels + id.x]);
        }
    }
    y[(id.z * u.columns + id.y) * u.channels + id.x] = high;
}

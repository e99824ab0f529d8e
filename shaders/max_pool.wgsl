// The highest of 3 x 3 positions of a map, every other one in each direction; those outside do not count. One thread a value.

struct MaxPoolUniforms {
    height: u32,    // H
    width: u32,     // W
    channels: u32,  // C
    rows: u32,      // H' = H / 2, rounded up
    columns: u32,   // W' likewise
}

@group(0) @binding(0) var<uniform> u: MaxPoolUniforms;
@group(0) @binding(1) var<storage, read> x: array<f32>;         // [H W, C]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;   // [H' W', C]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= u.channels {
        return;
    }
    let centre = 2u * id.yz;
    var high = x[(centre.y * u.width + centre.x) * u.channels + id.x];
    for (var row = max(centre.y, 1u) - 1u; row < min(centre.y + 2u, u.height); row++) {
        for (var column = max(centre.x, 1u) - 1u; column < min(centre.x + 2u, u.width); column++) {
            high = max(high, x[(row * u.width + column) * u.channels + id.x]);
        }
    }
    y[(id.z * u.columns + id.y) * u.channels + id.x] = high;
}

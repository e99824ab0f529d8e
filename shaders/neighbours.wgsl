// What each head of a module of Attend and Rectify sees: under each tap of a 3x3 kernel the map, summed over positions by the
// head's mask; zero outside. A convolution summed over positions is its weight times this. One thread a channel, head and tap.

struct NeighboursUniforms {
    height: u32,    // H
    width: u32,     // W
    channels: u32,  // C
    heads: u32,     // K
    x_offset: u32,  // where the map starts in its buffer
}

@group(0) @binding(0) var<uniform> u: NeighboursUniforms;
@group(0) @binding(1) var<storage, read> masks: array<f32>;     // [K, H W]
@group(0) @binding(2) var<storage, read> x: array<f32>;         // [H W, C]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;   // [K, C 3 3]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= u.channels {
        return;
    }
    // Row and column that the tap sees, plus one, because these numbers have no sign.
    let down = id.z / 3u;
    let along = id.z % 3u;
    var sum = 0.0;
    for (var row = max(1u, down); row < min(u.height + 1u, u.height + down); row++) {
        for (var column = max(1u, along); column < min(u.width + 1u, u.width + along); column++) {
            let mask = masks[(id.y * u.height + row - down) * u.width + column - along];
            sum += mask * x[u.x_offset + ((row - 1u) * u.width + column - 1u) * u.channels + id.x];
        }
    }
    y[(id.y * u.channels + id.x) * 9u + id.z] = sum;
}

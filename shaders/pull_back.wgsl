// A direction behind a linear layer as the direction before it: y = W g, for x W . g = x . (W g). One thread a row.

struct PullBackUniforms {
    rows: u32,      // K, the layer's inputs
    columns: u32,   // N, its outputs
}

@group(0) @binding(0) var<uniform> u: PullBackUniforms;
@group(0) @binding(1) var<storage, read> weight: array<f32>;    // [K, N], rows padded to a multiple of four
@group(0) @binding(2) var<storage, read> g: array<f32>;         // [N]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;   // [K]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= u.rows {
        return;
    }
    let start = id.x * ((u.columns + 3u) / 4u * 4u);
    var sum = 0.0;
    for (var column = 0u; column < u.columns; column++) {
        sum += weight[start + column] * g[column];
    }
    y[id.x] = sum;
}

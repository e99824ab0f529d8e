// A direction behind a linear layer as the direction before it: y = W g, for x W . g = x . (W g). One thread a row. F16,
// INT8: how W is stored.
#import weight

struct PullBackUniforms {
    rows: u32,      // K, the layer's inputs
    columns: u32,   // N, its outputs
}

@group(0) @binding(0) var<uniform> u: PullBackUniforms;
@group(0) @binding(1) var<storage, read> weight: array<Four>;   // [K, N / 4], rows padded with zeros
@group(0) @binding(2) var<storage, read> g: array<f32>;         // [N]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;   // [K]
#ifdef INT8
@group(0) @binding(4) var<storage, read> scale: array<f32>;     // [N]
#endif

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= u.rows {
        return;
    }
    let width4 = (u.columns + 3u) / 4u;
    var sum = 0.0;
    for (var column4 = 0u; column4 < width4; column4++) {
        let four = widen(weight[id.x * width4 + column4]);
        for (var j = 0u; j < min(4u, u.columns - 4u * column4); j++) {
            let column = 4u * column4 + j;
#ifdef INT8
            sum += four[j] * scale[column] * g[column];
#else
            sum += four[j] * g[column];
#endif
        }
    }
    y[id.x] = sum;
}

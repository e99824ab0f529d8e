// Layer norm of each row: y = (x - mean) / sqrt(variance + eps) * weight + bias. One workgroup a row; the variance is
// taken around the mean in a second pass, because the mean of squares cancels when the mean is large.

struct LayerNormUniforms {
    rows: u32,      // M
    dim: u32,       // D
    eps: f32,
}

@group(0) @binding(0) var<uniform> u: LayerNormUniforms;
@group(0) @binding(1) var<storage, read> x: array<f32>;         // [M, D]
@group(0) @binding(2) var<storage, read> weight: array<f32>;    // [D]
@group(0) @binding(3) var<storage, read> bias: array<f32>;      // [D]
@group(0) @binding(4) var<storage, read_write> y: array<f32>;   // [M, D]

#import reduce

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, lane: Lane) {
    let thread = lane.thread;
    let start = group.x * u.dim;
    var sum = 0.0;
    for (var i = thread; i < u.dim; i += 64u) {
        sum += x[start + i];
    }
    let mean = total(lane, sum) / f32(u.dim);
    var squares = 0.0;
    for (var i = thread; i < u.dim; i += 64u) {
        let d = x[start + i] - mean;
        squares += d * d;
    }
    let scale = 1.0 / sqrt(total(lane, squares) / f32(u.dim) + u.eps);
    for (var i = thread; i < u.dim; i += 64u) {
        y[start + i] = (x[start + i] - mean) * scale * weight[i] + bias[i];
    }
}

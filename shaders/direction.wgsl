// The direction in the residual stream in which the logit of one class grows against that of another, with the deviation of
// the branch's norm held (src/look.rs, `Difference`): g = (c - mean(c)) / s, c = gamma (w_a - w_b), s the deviation of
// the class token x. One workgroup.

struct DirectionUniforms {
    dim: u32,       // D
    classes: u32,   // C
    first: u32,     // class a
    second: u32,    // class b
    eps: f32,       // of the norm
}

@group(0) @binding(0) var<uniform> u: DirectionUniforms;
@group(0) @binding(1) var<storage, read> x: array<f32>;         // [M, D], the class token is row 0
@group(0) @binding(2) var<storage, read> gamma: array<f32>;     // [D]
@group(0) @binding(3) var<storage, read> weight: array<f32>;    // [D, C], rows padded to a multiple of four
@group(0) @binding(4) var<storage, read_write> g: array<f32>;   // [D]

#import reduce

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) thread: u32) {
    let stride = (u.classes + 3u) / 4u * 4u;
    var sum = 0.0;
    var both = 0.0;
    for (var d = thread; d < u.dim; d += 64u) {
        sum += x[d];
        both += gamma[d] * (weight[d * stride + u.first] - weight[d * stride + u.second]);
    }
    let mean = total(thread, sum) / f32(u.dim);
    let centre = total(thread, both) / f32(u.dim);
    var squares = 0.0;
    for (var d = thread; d < u.dim; d += 64u) {
        squares += (x[d] - mean) * (x[d] - mean);
    }
    let scale = 1.0 / sqrt(total(thread, squares) / f32(u.dim) + u.eps);
    for (var d = thread; d < u.dim; d += 64u) {
        let c = gamma[d] * (weight[d * stride + u.first] - weight[d * stride + u.second]);
        g[d] = (c - centre) * scale;
    }
}

// The direction in the residual stream in which the logit of one class grows against that of another, with the deviation of
// the branch's norm held (src/look.rs, `Difference`): g = (c - mean(c)) / s, c = gamma (w_a - w_b), s the deviation of
// the class token x. One workgroup. F16, INT8: how W is stored.
#import weight

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
@group(0) @binding(3) var<storage, read> weight: array<Four>;   // [D, C / 4], rows padded with zeros
@group(0) @binding(4) var<storage, read_write> g: array<f32>;   // [D]
#ifdef INT8
@group(0) @binding(5) var<storage, read> scale: array<f32>;     // [C]
#endif

#import reduce

// w_a - w_b at one dimension.
fn apart(d: u32) -> f32 {
    let row = d * ((u.classes + 3u) / 4u);
    let first = widen(weight[row + u.first / 4u])[u.first % 4u];
    let second = widen(weight[row + u.second / 4u])[u.second % 4u];
#ifdef INT8
    return first * scale[u.first] - second * scale[u.second];
#else
    return first - second;
#endif
}

@compute @workgroup_size(64)
fn main(lane: Lane) {
    let thread = lane.thread;
    var sum = 0.0;
    var both = 0.0;
    for (var d = thread; d < u.dim; d += 64u) {
        sum += x[d];
        both += gamma[d] * apart(d);
    }
    let mean = total(lane, sum) / f32(u.dim);
    let centre = total(lane, both) / f32(u.dim);
    var squares = 0.0;
    for (var d = thread; d < u.dim; d += 64u) {
        squares += (x[d] - mean) * (x[d] - mean);
    }
    let inverse = 1.0 / sqrt(total(lane, squares) / f32(u.dim) + u.eps);
    for (var d = thread; d < u.dim; d += 64u) {
        g[d] = (gamma[d] * apart(d) - centre) * inverse;
    }
}

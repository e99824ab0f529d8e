// Where a residual network saw its most probable class c, the first of equals (Zhou et al., CVPR 2016): a_p = max(0, w_c . f_p)
// for each position, divided by their sum, all zero where that is 0; before them a zero, as rollout has a class token. One
// workgroup. F16, INT8: how W is stored.
#import weight

struct ClassActivationUniforms {
    positions: u32, // N
    dim: u32,       // D
    classes: u32,   // C
}

@group(0) @binding(0) var<uniform> u: ClassActivationUniforms;
@group(0) @binding(1) var<storage, read> f: array<f32>;         // [N, D]
@group(0) @binding(2) var<storage, read> weight: array<Four>;   // [D, C / 4], rows padded with zeros
@group(0) @binding(3) var<storage, read> logits: array<f32>;    // [C]
@group(0) @binding(4) var<storage, read_write> y: array<f32>;   // [N + 1]
#ifdef INT8
@group(0) @binding(5) var<storage, read> scale: array<f32>;     // [C]
#endif

#import reduce

@compute @workgroup_size(64)
fn main(lane: Lane) {
    let thread = lane.thread;
    var high = -1e30;
    for (var i = thread; i < u.classes; i += 64u) {
        high = max(high, logits[i]);
    }
    high = highest(lane, high);
    var before = -1e30; // minus the index of the most probable class
    for (var i = thread; i < u.classes; i += 64u) {
        before = max(before, select(-1e30, -f32(i), logits[i] == high));
    }
    let c = u32(-highest(lane, before));
    let width4 = (u.classes + 3u) / 4u;
    var sum = 0.0;
    for (var p = thread; p < u.positions; p += 64u) {
        var value = 0.0;
        for (var d = 0u; d < u.dim; d++) {
            value += f[p * u.dim + d] * widen(weight[d * width4 + c / 4u])[c % 4u];
        }
#ifdef INT8
        value *= scale[c];
#endif
        value = max(value, 0.0);
        sum += value;
        y[1u + p] = value;
    }
    sum = total(lane, sum);
    if thread == 0u {
        y[0] = 0.0;
    }
    if sum > 0.0 {
        for (var p = thread; p < u.positions; p += 64u) {
            y[1u + p] /= sum;
        }
    }
}

// What a module of Attend and Rectify thinks: each head counts by the softmax of tanh(sum over positions of mask x trust), and
// the logits are the heads' opinions so weighted. One workgroup; at most 64 heads.

struct HypothesisUniforms {
    positions: u32, // N
    heads: u32,     // K
    classes: u32,   // C
    y_offset: u32,  // where the logits start among other votes
}

@group(0) @binding(0) var<uniform> u: HypothesisUniforms;
@group(0) @binding(1) var<storage, read> masks: array<f32>;             // [K, N]
@group(0) @binding(2) var<storage, read> trust: array<f32>;             // [N, K]
@group(0) @binding(3) var<storage, read> opinions: array<f32>;          // [K, C]
@group(0) @binding(4) var<storage, read_write> head_gates: array<f32>;  // [K]
@group(0) @binding(5) var<storage, read_write> logits: array<f32>;      // [C], from y_offset on

#import reduce

var<workgroup> weights: array<f32, 64>; // [K], before they are divided by their sum

@compute @workgroup_size(64)
fn main(lane: Lane) {
    let thread = lane.thread;
    for (var head = 0u; head < u.heads; head++) {
        var sum = 0.0;
        for (var i = thread; i < u.positions; i += 64u) {
            sum += masks[head * u.positions + i] * trust[i * u.heads + head];
        }
        sum = total(lane, sum);
        if thread == 0u {
            // tanh lies in -1..1, so exp cannot overflow; some drivers' tanh does, for large numbers.
            weights[head] = exp(tanh(clamp(sum, -30.0, 30.0)));
        }
    }
    workgroupBarrier();
    var divisor = 0.0;
    for (var head = 0u; head < u.heads; head++) {
        divisor += weights[head];
    }
    if thread < u.heads {
        head_gates[thread] = weights[thread] / divisor;
    }
    for (var class_ = thread; class_ < u.classes; class_ += 64u) {
        var sum = 0.0;
        for (var head = 0u; head < u.heads; head++) {
            sum += weights[head] * opinions[head * u.classes + class_];
        }
        logits[u.y_offset + class_] = sum / divisor;
    }
}

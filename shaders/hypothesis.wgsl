// What a module of Attend and Rectify thinks: each head counts by the softmax of tanh(its trust), and the logits are the heads'
// opinions so weighted. One workgroup; at most 64 heads.

struct HypothesisUniforms {
    heads: u32,         // K
    classes: u32,       // C
    trust_head: u32,    // values from one head's trust to the next
    opinion_head: u32,  // values from one head's opinions to the next
    y_offset: u32,      // where the logits start among other votes
}

@group(0) @binding(0) var<uniform> u: HypothesisUniforms;
@group(0) @binding(1) var<storage, read> trust: array<f32>;             // [K], trust_head apart
@group(0) @binding(2) var<storage, read> opinions: array<f32>;          // [K, C], rows opinion_head apart
@group(0) @binding(3) var<storage, read_write> head_gates: array<f32>;  // [K]
@group(0) @binding(4) var<storage, read_write> logits: array<f32>;      // [C], from y_offset on

fn weight(head: u32) -> f32 {
    // tanh lies in -1..1, so exp cannot overflow; some drivers' tanh does, for large numbers.
    return exp(tanh(clamp(trust[head * u.trust_head], -30.0, 30.0)));
}

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) thread: u32) {
    var divisor = 0.0;
    for (var head = 0u; head < u.heads; head++) {
        divisor += weight(head);
    }
    if thread < u.heads {
        head_gates[thread] = weight(thread) / divisor;
    }
    for (var class_ = thread; class_ < u.classes; class_ += 64u) {
        var sum = 0.0;
        for (var head = 0u; head < u.heads; head++) {
            sum += weight(head) * opinions[head * u.opinion_head + class_];
        }
        logits[u.y_offset + class_] = sum / divisor;
    }
}

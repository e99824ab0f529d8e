// The answer at inference (DCAL, section 3.5): softmax of the SA logits and, with GLCA, of the GLCA logits, and their mean.
// One workgroup.

struct ProbabilityUniforms {
    classes: u32,   // C
}

@group(0) @binding(0) var<uniform> u: ProbabilityUniforms;
@group(0) @binding(1) var<storage, read> logits_sa: array<f32>;             // [C]
@group(0) @binding(2) var<storage, read_write> sa: array<f32>;              // [C]
#ifdef GLCA
@group(0) @binding(3) var<storage, read> logits_glca: array<f32>;           // [C]
@group(0) @binding(4) var<storage, read_write> glca: array<f32>;            // [C]
@group(0) @binding(5) var<storage, read_write> probability: array<f32>;     // [C]
#endif

#import reduce

@compute @workgroup_size(64)
fn main(lane: Lane) {
    let thread = lane.thread;
    var high = -1e30;
    for (var i = thread; i < u.classes; i += 64u) {
        high = max(high, logits_sa[i]);
    }
    high = highest(lane, high);
    var sum = 0.0;
    for (var i = thread; i < u.classes; i += 64u) {
        sum += exp(logits_sa[i] - high);
    }
    sum = total(lane, sum);
    for (var i = thread; i < u.classes; i += 64u) {
        sa[i] = exp(logits_sa[i] - high) / sum;
    }
#ifdef GLCA
    high = -1e30;
    for (var i = thread; i < u.classes; i += 64u) {
        high = max(high, logits_glca[i]);
    }
    high = highest(lane, high);
    sum = 0.0;
    for (var i = thread; i < u.classes; i += 64u) {
        sum += exp(logits_glca[i] - high);
    }
    sum = total(lane, sum);
    for (var i = thread; i < u.classes; i += 64u) {
        glca[i] = exp(logits_glca[i] - high) / sum;
        probability[i] = 0.5 * sa[i] + 0.5 * glca[i]; // this thread wrote sa[i] above
    }
#endif
}

// Early exit of Attend and Rectify: where its modules so far name the same class, and their mean is sure enough of it, they answer, and
// the dispatches that follow are left out: on the device they have no workgroups then. The modules count alike, for the gates that
// would weigh them look at the last block. One workgroup.

struct AgreementUniforms {
    votes: u32,     // M, of the modules so far
    classes: u32,   // C
    blocks: u32,    // computed so far
    depth: u32,     // of the network
    first: u32,     // row of the first dispatch behind this one
    exit: u32,      // which of the E places this is
}

@group(0) @binding(0) var<uniform> u: AgreementUniforms;
@group(0) @binding(1) var<storage, read> votes: array<f32>;             // [M, C], logits
@group(0) @binding(2) var<storage, read> sure: array<f32>;              // [2], least probability; temperature, 0: never
@group(0) @binding(3) var<storage, read_write> early: array<f32>;       // [E, C], the answer where it comes here
@group(0) @binding(4) var<storage, read_write> blocks: array<u32>;      // [E], computed for the answer
@group(0) @binding(5) var<storage, read_write> workgroups: array<u32>;  // [W, 3]

#import reduce

@compute @workgroup_size(64)
fn main(lane: Lane) {
    let thread = lane.thread;
    let place = u.exit * u.classes;
    for (var i = thread; i < u.classes; i += 64u) {
        early[place + i] = 0.0;
    }
    var named = 0.0;
    var agree = true;
    for (var vote = 0u; vote < u.votes; vote++) {
        let start = vote * u.classes;
        var high = -3e38;
        for (var i = thread; i < u.classes; i += 64u) {
            high = max(high, votes[start + i]);
        }
        high = highest(lane, high);
        // Of equals the first class: the highest of the negative numbers.
        var first = -3e38;
        var sum = 0.0;
        for (var i = thread; i < u.classes; i += 64u) {
            let logit = votes[start + i];
            sum += exp(logit - high);
            first = max(first, select(-3e38, -f32(i), logit == high));
        }
        first = highest(lane, first);
        sum = total(lane, sum);
        agree = agree && (vote == 0u || first == named);
        named = first;
        for (var i = thread; i < u.classes; i += 64u) {
            early[place + i] += (votes[start + i] - high - log(sum)) / f32(u.votes); // its own element each time
        }
    }
    let temperature = max(sure[1], 1e-6);
    var high = -3e38;
    for (var i = thread; i < u.classes; i += 64u) {
        high = max(high, early[place + i] / temperature);
    }
    high = highest(lane, high);
    var sum = 0.0;
    for (var i = thread; i < u.classes; i += 64u) {
        sum += exp(early[place + i] / temperature - high);
    }
    sum = total(lane, sum);
    for (var i = thread; i < u.classes; i += 64u) {
        early[place + i] = exp(early[place + i] / temperature - high) / sum;
    }
    // The class that all name is the mean's, and so the most probable one.
    let stop = agree && sure[1] > 0.0 && 1.0 / sum >= sure[0];
    if thread == 0u {
        blocks[u.exit] = select(u.depth, u.blocks, stop);
    }
    if stop {
        for (var i = 3u * u.first + thread; i < arrayLength(&workgroups); i += 64u) {
            workgroups[i] = 0u;
        }
    }
}

// The result of Attend and Rectify: the votes' log-probabilities, weighted by gates t = tanh(.): by their softmax or, with
// SIGMOID, by their sigmoids over 1e-6 plus the sum of them. One workgroup.

struct GlobalGatesUniforms {
    votes: u32,     // M
    classes: u32,   // C
}

@group(0) @binding(0) var<uniform> u: GlobalGatesUniforms;
@group(0) @binding(1) var<storage, read> votes: array<f32>;     // [M, C], logits
@group(0) @binding(2) var<storage, read> gates: array<f32>;     // [M], before the tanh
@group(0) @binding(3) var<storage, read_write> y: array<f32>;   // [C], log-probabilities

#import reduce

fn openness(vote: u32) -> f32 {
    let gate = tanh(clamp(gates[vote], -30.0, 30.0));
#ifdef SIGMOID
    return 1.0 / (1.0 + exp(-gate));
#else
    return exp(gate);
#endif
}

@compute @workgroup_size(64)
fn main(lane: Lane) {
    let thread = lane.thread;
#ifdef SIGMOID
    var divisor = 1e-6;
#else
    var divisor = 0.0;
#endif
    for (var vote = 0u; vote < u.votes; vote++) {
        divisor += openness(vote);
    }
    for (var i = thread; i < u.classes; i += 64u) {
        y[i] = 0.0;
    }
    for (var vote = 0u; vote < u.votes; vote++) {
        let start = vote * u.classes;
        var high = -3e38;
        for (var i = thread; i < u.classes; i += 64u) {
            high = max(high, votes[start + i]);
        }
        high = highest(lane, high);
        var sum = 0.0;
        for (var i = thread; i < u.classes; i += 64u) {
            sum += exp(votes[start + i] - high);
        }
        sum = total(lane, sum);
        for (var i = thread; i < u.classes; i += 64u) {
            y[i] += openness(vote) / divisor * (votes[start + i] - high - log(sum)); // its own element each time
        }
    }
}

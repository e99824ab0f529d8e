//! Twin of `shaders/global_gates.wgsl` and its specialisation.

use crate::engine::kernels::GlobalGatesUniforms;

/// By softmax: votes `[M, C]`, gates `[M]`, y `[C]`.
pub fn global_gates(u: &GlobalGatesUniforms, bindings: &mut [Vec<f32>]) {
    each(u, bindings, 0.0, f64::exp);
}

/// By sigmoids over 1e-6 plus the sum of them.
pub fn global_gates_sigmoid(u: &GlobalGatesUniforms, bindings: &mut [Vec<f32>]) {
    each(u, bindings, 1e-6, |gate| 1.0 / (1.0 + (-gate).exp()));
}

fn each(u: &GlobalGatesUniforms, bindings: &mut [Vec<f32>], least: f64, openness: impl Fn(f64) -> f64) {
    let [votes, gates, y] = bindings else { return };
    let [count, classes] = [u.votes, u.classes].map(|n| n as usize);
    let open: Vec<f64> = gates.iter().take(count).map(|&gate| openness(f64::from(gate).tanh())).collect();
    let divisor = least + open.iter().sum::<f64>();
    let mut mixed = vec![0.0f64; classes];
    for (open, vote) in open.iter().zip(votes.chunks(classes)) {
        let high = vote.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = vote.iter().map(|&v| (f64::from(v) - f64::from(high)).exp()).sum();
        for (mixed, &v) in mixed.iter_mut().zip(vote) {
            *mixed += open / divisor * (f64::from(v) - f64::from(high) - sum.ln());
        }
    }
    y.iter_mut().zip(mixed).for_each(|(y, mixed)| *y = mixed as f32);
}

//! Twin of `shaders/rollout.wgsl`.

use super::shared::Scores;
use crate::engine::kernels::RolloutUniforms;

/// q `[N + 1, q_stride]`, kv `[N + 1, kv_stride]`, lse `[heads, N + 1]`, r `[N + 1]`, y `[N + 1]`.
pub fn rollout(u: &RolloutUniforms, bindings: &mut [Vec<f32>]) {
    let [q, kv, lse, r, y] = bindings else { return };
    let [queries, keys, heads, head_dim] = [u.queries, u.keys, u.heads, u.head_dim].map(|n| n as usize);
    let [q_stride, kv_stride, k_offset] = [u.q_stride, u.kv_stride, u.k_offset].map(|n| n as usize);
    let scores = Scores { q, kv, head_dim, q_stride, kv_stride, k_offset, scale: u.scale };
    let weight = |token: usize| match (u.first, token) {
        (1, 0) => 1.0,
        (1, _) => 0.0,
        _ => f64::from(r[token]),
    };
    for (key, y) in y.iter_mut().enumerate().take(keys) {
        let mut sum = 0.0;
        for head in 0..heads {
            for token in 0..queries {
                sum += weight(token) * (scores.at(head, token, key) - f64::from(lse[head * keys + token])).exp();
            }
        }
        *y = (0.5 * weight(key) + 0.5 * sum / heads as f64) as f32;
    }
}

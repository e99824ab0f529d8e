//! Twin of `shaders/rollout.wgsl`.

use super::shared::Scores;
use crate::engine::kernels::RolloutUniforms;

/// q `[N + 1, q_stride]`, kv `[N + 1, kv_stride]`, lse `[heads, N + 1]`, r `[P, N + 1]`, y `[spans * heads, N + 1]`.
pub fn rollout(u: &RolloutUniforms, bindings: &mut [Vec<f32>]) {
    let [q, kv, lse, r, y] = bindings else { return };
    let [queries, keys, heads, head_dim] = [u.queries, u.keys, u.heads, u.head_dim].map(|n| n as usize);
    let [q_stride, kv_stride, k_offset] = [u.q_stride, u.kv_stride, u.k_offset].map(|n| n as usize);
    let [parts, span] = [u.parts, u.span].map(|n| n as usize);
    let scores = Scores { q, kv, head_dim, q_stride, kv_stride, k_offset, scale: u.scale };
    let weight = |token: usize| match (parts, token) {
        (0, 0) => 1.0,
        (0, _) => 0.0,
        _ => (0..parts).map(|part| f64::from(r[part * keys + token])).sum::<f64>(),
    };
    for (part, y) in y.chunks_mut(keys).enumerate().take(queries.div_ceil(span).max(1) * heads) {
        let (head, begin) = (part % heads, part / heads * span);
        for (key, y) in y.iter_mut().enumerate() {
            let mut sum = 0.0;
            for token in begin..queries.min(begin + span) {
                sum += weight(token) * (scores.at(head, token, key) - f64::from(lse[head * keys + token])).exp();
            }
            let kept = if part == 0 { f64::from(u.keep) * weight(key) } else { 0.0 };
            *y = (kept + 0.5 * sum / heads as f64) as f32;
        }
    }
}

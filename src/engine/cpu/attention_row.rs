//! Twin of `shaders/attention_row.wgsl`.

use super::shared::Scores;
use crate::engine::kernels::AttentionRowUniforms;

/// q `[M, q_stride]`, kv `[T, kv_stride]`, lse `[heads, M]`, y `[heads, T]`.
pub fn attention_row(u: &AttentionRowUniforms, bindings: &mut [Vec<f32>]) {
    let [q, kv, lse, y] = bindings else { return };
    let [query, queries, keys] = [u.query, u.queries, u.keys].map(|n| n as usize);
    let [head_dim, q_stride, kv_stride, k_offset] =
        [u.head_dim, u.q_stride, u.kv_stride, u.k_offset].map(|n| n as usize);
    let scores = Scores { q, kv, head_dim, q_stride, kv_stride, k_offset, scale: u.scale };
    for head in 0..u.heads as usize {
        for key in 0..keys {
            let weight = (scores.at(head, query, key) - f64::from(lse[head * queries + query])).exp();
            y[head * keys + key] = weight as f32;
        }
    }
}

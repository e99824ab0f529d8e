//! Twin of `shaders/attention.wgsl`: a plain softmax over all keys, where the shader goes tile by tile.

use super::shared::Scores;
use crate::engine::kernels::AttentionUniforms;

/// q `[M, q_stride]`, kv `[T, kv_stride]`, y `[M, heads * d]`, lse `[heads, M]`.
pub fn attention(u: &AttentionUniforms, bindings: &mut [Vec<f32>]) {
    let [q, kv, y, lse] = bindings else { return };
    let [queries, keys, heads, head_dim] = [u.queries, u.keys, u.heads, u.head_dim].map(|n| n as usize);
    let [q_stride, kv_stride, k_offset, v_offset] =
        [u.q_stride, u.kv_stride, u.k_offset, u.v_offset].map(|n| n as usize);
    let scores = Scores { q, kv, head_dim, q_stride, kv_stride, k_offset, scale: u.scale };
    for head in 0..heads {
        for query in 0..queries {
            let row: Vec<f64> = (0..keys).map(|key| scores.at(head, query, key)).collect();
            let high = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = row.iter().map(|score| (score - high).exp()).sum();
            for d in 0..head_dim {
                let value = |key: usize| f64::from(kv[key * kv_stride + v_offset + head * head_dim + d]);
                let mixed: f64 = row.iter().enumerate().map(|(key, score)| (score - high).exp() * value(key)).sum();
                y[(query * heads + head) * head_dim + d] = (mixed / sum) as f32;
            }
            lse[head * queries + query] = (high + sum.ln()) as f32;
        }
    }
}

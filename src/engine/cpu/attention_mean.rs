//! Twin of `shaders/attention_mean.wgsl` and its specialisation for single heads.

use super::shared::Scores;
use crate::engine::kernels::AttentionMeanUniforms;

/// q `[M, q_stride]`, kv `[T, kv_stride]`, lse `[heads, M]`, y `[M, T]`.
pub fn attention_mean(u: &AttentionMeanUniforms, bindings: &mut [Vec<f32>]) {
    let (queries, keys, heads) = (u.queries as usize, u.keys as usize, u.heads as usize);
    let mut sums = vec![0.0; queries * keys];
    each(u, bindings, |_, query, key, weight, _| sums[query * keys + key] += weight);
    if let Some(y) = bindings.last_mut() {
        y.iter_mut().zip(sums).for_each(|(y, sum)| *y = (sum / heads as f64) as f32);
    }
}

/// As [`attention_mean`], each head by itself: y `[heads, M, T]`.
pub fn attention_heads(u: &AttentionMeanUniforms, bindings: &mut [Vec<f32>]) {
    let (queries, keys) = (u.queries as usize, u.keys as usize);
    each(u, bindings, |head, query, key, weight, y| y[(head * queries + query) * keys + key] = weight as f32);
}

fn each(
    u: &AttentionMeanUniforms,
    bindings: &mut [Vec<f32>],
    mut take: impl FnMut(usize, usize, usize, f64, &mut [f32]),
) {
    let [q, kv, lse, y] = bindings else { return };
    let [queries, keys, heads, head_dim] = [u.queries, u.keys, u.heads, u.head_dim].map(|n| n as usize);
    let [q_stride, kv_stride, k_offset] = [u.q_stride, u.kv_stride, u.k_offset].map(|n| n as usize);
    let scores = Scores { q, kv, head_dim, q_stride, kv_stride, k_offset, scale: u.scale };
    for head in 0..heads {
        for query in 0..queries {
            for key in 0..keys {
                let weight = (scores.at(head, query, key) - f64::from(lse[head * queries + query])).exp();
                take(head, query, key, weight, y);
            }
        }
    }
}

//! Twin of `shaders/contribution.wgsl`.

use super::shared::Scores;
use crate::engine::kernels::ContributionUniforms;

/// q `[M, q_stride]`, kv `[T, kv_stride]`, lse `[heads, M]`, direction `[heads * d]`, y `[T]`.
pub fn contribution(u: &ContributionUniforms, bindings: &mut [Vec<f32>]) {
    let [q, kv, lse, direction, y] = bindings else { return };
    let [query, queries, heads, head_dim] = [u.query, u.queries, u.heads, u.head_dim].map(|n| n as usize);
    let [q_stride, kv_stride, k_offset, v_offset] =
        [u.q_stride, u.kv_stride, u.k_offset, u.v_offset].map(|n| n as usize);
    let scores = Scores { q, kv, head_dim, q_stride, kv_stride, k_offset, scale: u.scale };
    for (key, y) in y.iter_mut().enumerate().take(u.keys as usize) {
        let mut sum = if u.first == 1 { 0.0 } else { f64::from(*y) };
        for head in 0..heads {
            let weight = (scores.at(head, query, key) - f64::from(lse[head * queries + query])).exp();
            let value = |d: usize| f64::from(kv[key * kv_stride + v_offset + head * head_dim + d]);
            let along = |d: usize| f64::from(direction[head * head_dim + d]);
            sum += weight * (0..head_dim).map(|d| value(d) * along(d)).sum::<f64>();
        }
        *y = sum as f32;
    }
}

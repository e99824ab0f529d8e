// The attention weight of one query token over one key, recomputed from Q, K and the row's log-sum-exp. The importing kernel
// declares `u` (query, queries, head_dim, q_stride, kv_stride, k_offset, scale), `q`, `kv` and `lse`.
fn row_weight(head: u32, key: u32) -> f32 {
    let a = u.query * u.q_stride + head * u.head_dim;
    let b = key * u.kv_stride + u.k_offset + head * u.head_dim;
    var score = 0.0;
    for (var d = 0u; d < u.head_dim; d++) {
        score += q[a + d] * kv[b + d];
    }
    return exp(score * u.scale - lse[head * u.queries + u.query]);
}

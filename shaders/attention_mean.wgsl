// The attention maps themselves, for traces and viewers only: the mean over heads, or each head's with PER_HEAD. Classifying
// never runs this. Weights are recomputed from Q, K and the rows' log-sum-exp, one thread an element.

struct AttentionMeanUniforms {
    queries: u32,   // M
    keys: u32,      // T
    heads: u32,
    head_dim: u32,  // d
    q_stride: u32,  // values from one query token to the next
    kv_stride: u32, // values from one key token to the next
    k_offset: u32,  // where the keys start within a token of `kv`
    scale: f32,     // 1 / sqrt(d)
}

@group(0) @binding(0) var<uniform> u: AttentionMeanUniforms;
@group(0) @binding(1) var<storage, read> q: array<f32>;         // [M, q_stride]: heads * d from 0
@group(0) @binding(2) var<storage, read> kv: array<f32>;        // [T, kv_stride]: heads * d from k_offset
@group(0) @binding(3) var<storage, read> lse: array<f32>;       // [heads, M]
@group(0) @binding(4) var<storage, read_write> y: array<f32>;   // [M, T], with PER_HEAD [heads, M, T]

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let key = id.x;
    let query = id.y;
    if key >= u.keys || query >= u.queries {
        return;
    }
    var sum = 0.0;
    for (var head = 0u; head < u.heads; head++) {
        var score = 0.0;
        let a = query * u.q_stride + head * u.head_dim;
        let b = key * u.kv_stride + u.k_offset + head * u.head_dim;
        for (var d = 0u; d < u.head_dim; d++) {
            score += q[a + d] * kv[b + d];
        }
        let weight = exp(score * u.scale - lse[head * u.queries + query]);
#ifdef PER_HEAD
        y[(head * u.queries + query) * u.keys + key] = weight;
#else
        sum += weight;
#endif
    }
#ifndef PER_HEAD
    y[query * u.keys + key] = sum / f32(u.heads);
#endif
}

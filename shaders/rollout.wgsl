// One step of attention rollout as a vector recursion (DCAL, section 3.2): r' = 0.5 r + 0.5 r S, S the mean over heads of
// this layer's attention. S is recomputed tile by tile from Q, K and the rows' log-sum-exp and never stored. One
// workgroup takes 32 keys (columns of S) and runs over all heads and queries (rows of S).
//
// The first step, at the last layer, starts from the class token's row r = e_0, so it looks at one row only.

struct RolloutUniforms {
    queries: u32,   // rows of S that r reaches: 1 in the first step, N + 1 afterwards
    keys: u32,      // N + 1
    heads: u32,
    head_dim: u32,  // d
    q_stride: u32,  // values from one token to the next
    kv_stride: u32,
    k_offset: u32,  // where the keys start within a token
    scale: f32,     // 1 / sqrt(d)
    first: u32,     // 1 in the first step: r is e_0 and `r` is not read
}

@group(0) @binding(0) var<uniform> u: RolloutUniforms;
@group(0) @binding(1) var<storage, read> q: array<f32>;         // [N + 1, q_stride]: heads * d from 0
@group(0) @binding(2) var<storage, read> kv: array<f32>;        // [N + 1, kv_stride]: heads * d from k_offset
@group(0) @binding(3) var<storage, read> lse: array<f32>;       // [heads, N + 1]
@group(0) @binding(4) var<storage, read> r: array<f32>;         // [N + 1]
@group(0) @binding(5) var<storage, read_write> y: array<f32>;   // [N + 1]

#import score_tile

var<workgroup> partial: array<vec4<f32>, 64>; // [8 threads along queries, 8 along keys]

fn weight(token: u32) -> f32 {
    if u.first == 1u {
        return select(0.0, 1.0, token == 0u);
    }
    return r[token];
}

// What one row of S gives to four keys.
fn row(score: vec4<f32>, head: u32, token: u32) -> vec4<f32> {
    if token >= u.queries {
        return vec4(0.0);
    }
    return weight(token) * exp(score - lse[head * u.keys + token]);
}

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let key = group.x * 32u;
    var sum = vec4(0.0);
    for (var head = 0u; head < u.heads; head++) {
        for (var query = 0u; query < u.queries; query += 32u) {
            let score = score_tile(local.xy, head, query, key);
            let token = query + 4u * local.y;
            sum += row(score[0], head, token) + row(score[1], head, token + 1u)
                + row(score[2], head, token + 2u) + row(score[3], head, token + 3u);
        }
    }
    partial[local.y * 8u + local.x] = sum;
    workgroupBarrier();
    if local.y == 0u {
        for (var i = 1u; i < 8u; i++) {
            sum += partial[i * 8u + local.x];
        }
        for (var j = 0u; j < 4u; j++) {
            let token = key + 4u * local.x + j;
            if token < u.keys {
                y[token] = 0.5 * weight(token) + 0.5 * sum[j] / f32(u.heads);
            }
        }
    }
}

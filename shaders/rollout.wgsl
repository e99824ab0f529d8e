// One step of attention rollout as a vector recursion (DCAL, section 3.2): r' = 0.5 r + 0.5 r S, S the mean over heads of
// this layer's attention. S is recomputed tile by tile from Q, K and the rows' log-sum-exp and never stored. One
// workgroup takes 32 keys (columns of S), a head and `span` queries (rows of S), because a GPU has room for many: r' is the
// sum of the parts that they write, and so is the r that the next step reads.
//
// The first step, at the last layer, starts from the class token's row r = e_0, so it looks at one row only. The last one has
// no queries and keeps all of r: it adds up the parts.

struct RolloutUniforms {
    queries: u32,   // rows of S that r reaches: 1 in the first step, N + 1 afterwards, 0 in the last one
    keys: u32,      // N + 1
    heads: u32,
    head_dim: u32,  // d
    q_stride: u32,  // values from one token to the next
    kv_stride: u32,
    k_offset: u32,  // where the keys start within a token
    scale: f32,     // 1 / sqrt(d)
    parts: u32,     // P, what r is the sum of; 0 in the first step: r is e_0 and `r` is not read
    span: u32,      // queries of a workgroup, a multiple of 32
    keep: f32,      // what r is multiplied by: 0.5, and 1 in the last step
}

@group(0) @binding(0) var<uniform> u: RolloutUniforms;
@group(0) @binding(1) var<storage, read> q: array<f32>;         // [N + 1, q_stride]: heads * d from 0
@group(0) @binding(2) var<storage, read> kv: array<f32>;        // [N + 1, kv_stride]: heads * d from k_offset
@group(0) @binding(3) var<storage, read> lse: array<f32>;       // [heads, N + 1]
@group(0) @binding(4) var<storage, read> r: array<f32>;         // [P, N + 1]
@group(0) @binding(5) var<storage, read_write> y: array<f32>;   // [spans * heads, N + 1]

#import score_tile

var<workgroup> partial: array<vec4<f32>, 64>;   // [8 threads along queries, 8 along keys]
var<workgroup> weights: array<f32, 64>;         // [2, 32]: r of a tile's queries, and of the tile before

fn weight(token: u32) -> f32 {
    if u.parts == 0u {
        return select(0.0, 1.0, token == 0u);
    }
    var sum = 0.0;
    for (var part = 0u; part < u.parts; part++) {
        sum += r[part * u.keys + token];
    }
    return sum;
}

// What one row of S gives to four keys.
fn row(score: vec4<f32>, head: u32, token: u32) -> vec4<f32> {
    if token >= u.queries {
        return vec4(0.0);
    }
    return weights[token % 64u] * exp(score - lse[head * u.keys + token]);
}

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let key = group.x * 32u;
    let head = group.y;
    let begin = group.z * u.span;
    let thread = local.y * 8u + local.x;
    var sum = vec4(0.0);
    for (var query = begin; query < min(begin + u.span, u.queries); query += 32u) {
        // Threads that are still busy with the tile before read the other half.
        if thread < 32u && query + thread < u.queries {
            weights[(query + thread) % 64u] = weight(query + thread);
        }
        let score = score_tile(local.xy, head, query, key); // waits for all threads
        let token = query + 4u * local.y;
        sum += row(score[0], head, token) + row(score[1], head, token + 1u)
            + row(score[2], head, token + 2u) + row(score[3], head, token + 3u);
    }
    partial[local.y * 8u + local.x] = sum;
    workgroupBarrier();
    if local.y == 0u {
        for (var i = 1u; i < 8u; i++) {
            sum += partial[i * 8u + local.x];
        }
        let part = group.z * u.heads + head;
        for (var j = 0u; j < 4u; j++) {
            let token = key + 4u * local.x + j;
            if token < u.keys {
                var value = 0.5 * sum[j] / f32(u.heads);
                if part == 0u {
                    value += u.keep * weight(token);
                }
                y[part * u.keys + token] = value;
            }
        }
    }
}

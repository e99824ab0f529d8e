// Multi-head attention softmax(Q K^T / sqrt(d)) V, tiled over keys with an online softmax: no [heads, M, N] map in memory.
// Beside the output it keeps each row's log-sum-exp, from which rollout and attention_mean recompute any weight as
// exp(q k / sqrt(d) - lse). One workgroup takes 32 queries of one head.
//
// Self-attention binds one [N + 1, 3, heads, d] buffer as both `q` and `kv`; GLCA (DCAL, section 3.3) binds the local
// queries' Q and the keys and values of all tokens. A thread keeps a 4 x 4 block of the output in registers for every 32
// dimensions of a head: one, with TWO_SLABS two, with FOUR_SLABS four. They are single variables, because an array that a
// loop indexes leaves the registers.

struct AttentionUniforms {
    queries: u32,   // M
    keys: u32,      // T
    heads: u32,
    head_dim: u32,  // d
    q_stride: u32,  // values from one query token to the next
    kv_stride: u32, // values from one key token to the next
    k_offset: u32,  // where the keys start within a token of `kv`
    v_offset: u32,  // where the values start
    scale: f32,     // 1 / sqrt(d)
}

@group(0) @binding(0) var<uniform> u: AttentionUniforms;
@group(0) @binding(1) var<storage, read> q: array<f32>;             // [M, q_stride]: heads * d from 0
@group(0) @binding(2) var<storage, read> kv: array<f32>;            // [T, kv_stride]: heads * d from k_offset and v_offset
@group(0) @binding(3) var<storage, read_write> y: array<f32>;       // [M, heads * d]
@group(0) @binding(4) var<storage, read_write> lse: array<f32>;     // [heads, M]

#import score_tile

var<workgroup> tile_p: array<vec4<f32>, 256>;   // [32 keys, 8], four queries each: scores, then weights
var<workgroup> decay: array<vec4<f32>, 8>;      // four queries each: what the earlier keys' weights shrink by
var<workgroup> divisor: array<vec4<f32>, 8>;    // four queries each: the sum of the weights

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let thread = local.y * 8u + local.x;
    let head = group.y;
    let query = group.x * 32u;
    var output0 = mat4x4<f32>();
#ifdef TWO_SLABS
    var output1 = mat4x4<f32>();
#endif
#ifdef FOUR_SLABS
    var output2 = mat4x4<f32>();
    var output3 = mat4x4<f32>();
#endif
    // The first eight threads keep the statistics of four queries each.
    var high = vec4(-1e30);
    var sum = vec4(0.0);
    for (var key = 0u; key < u.keys; key += 32u) {
        let score = transpose(score_tile(local.xy, head, query, key));
        let at = 32u * local.x + local.y;
        tile_p[at] = score[0];
        tile_p[at + 8u] = score[1];
        tile_p[at + 16u] = score[2];
        tile_p[at + 24u] = score[3];
        workgroupBarrier();
        if thread < 8u {
            let count = min(32u, u.keys - key);
            let before = high;
            for (var j = 0u; j < count; j++) {
                high = max(high, tile_p[j * 8u + thread]);
            }
            let shrink = exp(before - high);
            sum *= shrink;
            decay[thread] = shrink;
            for (var j = 0u; j < 32u; j++) {
                var weight = vec4(0.0);
                if j < count {
                    weight = exp(tile_p[j * 8u + thread] - high);
                }
                tile_p[j * 8u + thread] = weight;
                sum += weight;
            }
        }
        workgroupBarrier();
        output0 = mix_values(output0, 0u, local.xy, head, key);
#ifdef TWO_SLABS
        output1 = mix_values(output1, 32u, local.xy, head, key);
#endif
#ifdef FOUR_SLABS
        output2 = mix_values(output2, 64u, local.xy, head, key);
        output3 = mix_values(output3, 96u, local.xy, head, key);
#endif
    }
    if thread < 8u {
        divisor[thread] = sum;
        for (var i = 0u; i < 4u; i++) {
            let row = query + 4u * thread + i;
            if row < u.queries {
                lse[head * u.queries + row] = high[i] + log(sum[i]);
            }
        }
    }
    workgroupBarrier();
    store(output0, 0u, local.xy, head, query);
#ifdef TWO_SLABS
    store(output1, 32u, local.xy, head, query);
#endif
#ifdef FOUR_SLABS
    store(output2, 64u, local.xy, head, query);
    store(output3, 96u, local.xy, head, query);
#endif
}

// Shrinks what the earlier keys gave and adds P V of this tile, for the 32 dimensions from `slab`.
fn mix_values(output: mat4x4<f32>, slab: u32, local: vec2<u32>, head: u32, key: u32) -> mat4x4<f32> {
    // The keys' tile makes room for the values': [32 keys, 32 dimensions], four dimensions an element.
    for (var e = local.y * 8u + local.x; e < 256u; e += 64u) {
        let token = key + e / 8u;
        let d = slab + e % 8u * 4u;
        tile_k[e] = vec4(value_at(token, head, d), value_at(token, head, d + 1u),
            value_at(token, head, d + 2u), value_at(token, head, d + 3u));
    }
    workgroupBarrier();
    let shrink = decay[local.y];
    var sum = mat4x4<f32>(output[0] * shrink.x, output[1] * shrink.y, output[2] * shrink.z, output[3] * shrink.w);
    for (var j = 0u; j < 32u; j++) {
        let weight = tile_p[j * 8u + local.y];
        let value = tile_k[j * 8u + local.x];
        sum += mat4x4<f32>(weight.x * value, weight.y * value, weight.z * value, weight.w * value);
    }
    workgroupBarrier();
    return sum;
}

fn store(output: mat4x4<f32>, slab: u32, local: vec2<u32>, head: u32, query: u32) {
    let row = query + 4u * local.y;
    let d = slab + 4u * local.x;
    let sum = divisor[local.y];
    store_row(row, head, d, output[0] / sum.x);
    store_row(row + 1u, head, d, output[1] / sum.y);
    store_row(row + 2u, head, d, output[2] / sum.z);
    store_row(row + 3u, head, d, output[3] / sum.w);
}

fn store_row(row: u32, head: u32, d: u32, values: vec4<f32>) {
    for (var j = 0u; j < 4u; j++) {
        if row < u.queries && d + j < u.head_dim {
            y[(row * u.heads + head) * u.head_dim + d + j] = values[j];
        }
    }
}

fn value_at(token: u32, head: u32, d: u32) -> f32 {
    if token >= u.keys || d >= u.head_dim {
        return 0.0;
    }
    return kv[token * u.kv_stride + u.v_offset + head * u.head_dim + d];
}

// What each token gave to the class token through one attention, along a direction: y[j] += sum over heads of
// A[class, j] (v_j . direction) (src/look.rs, `Difference`). The weights are recomputed. One thread a token.

struct ContributionUniforms {
    query: u32,     // which token looks: 0, the class token
    queries: u32,   // M
    keys: u32,      // T
    heads: u32,
    head_dim: u32,  // d
    q_stride: u32,  // values from one query token to the next
    kv_stride: u32, // values from one key token to the next
    k_offset: u32,  // where the keys start within a token of `kv`
    v_offset: u32,  // where the values start
    scale: f32,     // 1 / sqrt(d)
    first: u32,     // 1: y is overwritten
}

@group(0) @binding(0) var<uniform> u: ContributionUniforms;
@group(0) @binding(1) var<storage, read> q: array<f32>;         // [M, q_stride]: heads * d from 0
@group(0) @binding(2) var<storage, read> kv: array<f32>;        // [T, kv_stride]: heads * d from k_offset and from v_offset
@group(0) @binding(3) var<storage, read> lse: array<f32>;       // [heads, M]
@group(0) @binding(4) var<storage, read> direction: array<f32>; // [heads * d]
@group(0) @binding(5) var<storage, read_write> y: array<f32>;   // [T]

#import row_weight

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let key = id.x;
    if key >= u.keys {
        return;
    }
    var sum = 0.0;
    if u.first == 0u {
        sum = y[key];
    }
    for (var head = 0u; head < u.heads; head++) {
        let at = key * u.kv_stride + u.v_offset + head * u.head_dim;
        var along = 0.0;
        for (var d = 0u; d < u.head_dim; d++) {
            along += kv[at + d] * direction[head * u.head_dim + d];
        }
        sum += row_weight(head, key) * along;
    }
    y[key] = sum;
}

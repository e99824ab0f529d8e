// The attention of one token over all tokens, each head by itself, for looking into a photo that was classified: one row of
// a map that is never written as a whole. One thread an element.

struct AttentionRowUniforms {
    query: u32,     // which token looks
    queries: u32,   // M
    keys: u32,      // T
    heads: u32,
    head_dim: u32,  // d
    q_stride: u32,  // values from one query token to the next
    kv_stride: u32, // values from one key token to the next
    k_offset: u32,  // where the keys start within a token of `kv`
    scale: f32,     // 1 / sqrt(d)
}

@group(0) @binding(0) var<uniform> u: AttentionRowUniforms;
@group(0) @binding(1) var<storage, read> q: array<f32>;         // [M, q_stride]: heads * d from 0
@group(0) @binding(2) var<storage, read> kv: array<f32>;        // [T, kv_stride]: heads * d from k_offset
@group(0) @binding(3) var<storage, read> lse: array<f32>;       // [heads, M]
@group(0) @binding(4) var<storage, read_write> y: array<f32>;   // [heads, T]

#import row_weight

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= u.keys || id.y >= u.heads {
        return;
    }
    y[id.y * u.keys + id.x] = row_weight(id.y, id.x);
}

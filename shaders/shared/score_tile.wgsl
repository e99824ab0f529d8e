// A 32 x 32 tile of scores q k / sqrt(d) of one head: 8 x 8 threads, four queries by four keys each, d in slabs of 32
// through workgroup memory. The importing kernel declares `u` (queries, keys, head_dim, q_stride, kv_stride, k_offset,
// scale), `q` and `kv`. Rows and columns outside are scores of zero vectors: the importer masks them.
var<workgroup> tile_q: array<vec4<f32>, 256>; // [32 dimensions, 8], four queries each
var<workgroup> tile_k: array<vec4<f32>, 256>; // [32 dimensions, 8], four keys each

fn query_at(token: u32, head: u32, d: u32) -> f32 {
    if token >= u.queries || d >= u.head_dim {
        return 0.0;
    }
    return q[token * u.q_stride + head * u.head_dim + d];
}

fn key_at(token: u32, head: u32, d: u32) -> f32 {
    if token >= u.keys || d >= u.head_dim {
        return 0.0;
    }
    return kv[token * u.kv_stride + u.k_offset + head * u.head_dim + d];
}

// Row i of the result is query `query + 4 local.y + i`, its elements are keys `key + 4 local.x ...`.
fn score_tile(local: vec2<u32>, head: u32, query: u32, key: u32) -> mat4x4<f32> {
    let thread = local.y * 8u + local.x;
    var sum = mat4x4<f32>();
    for (var slab = 0u; slab < u.head_dim; slab += 32u) {
        for (var e = thread; e < 256u; e += 64u) {
            let d = slab + e % 32u;
            let four = e / 32u;
            let at = e % 32u * 8u + four;
            let a = query + 4u * four;
            tile_q[at] = vec4(query_at(a, head, d), query_at(a + 1u, head, d),
                query_at(a + 2u, head, d), query_at(a + 3u, head, d));
            let b = key + 4u * four;
            tile_k[at] = vec4(key_at(b, head, d), key_at(b + 1u, head, d),
                key_at(b + 2u, head, d), key_at(b + 3u, head, d));
        }
        workgroupBarrier();
        let depth = min(32u, u.head_dim - slab);
        for (var d = 0u; d < depth; d++) {
            let a = tile_q[d * 8u + local.y];
            let b = tile_k[d * 8u + local.x];
            sum += mat4x4<f32>(a.x * b, a.y * b, a.z * b, a.w * b);
        }
        workgroupBarrier();
    }
    return sum * u.scale;
}

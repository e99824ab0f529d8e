// The local queries (DCAL, section 3.3): the k patches with the highest rollout, highest first, ties to the lower index. A
// patch's place is the number of patches that come before it; each thread counts for one patch, so nothing is sorted.

struct SelectUniforms {
    tokens: u32,    // N + 1
    selected: u32,  // k
}

@group(0) @binding(0) var<uniform> u: SelectUniforms;
@group(0) @binding(1) var<storage, read> r: array<f32>;                 // [N + 1], rollout, class token first
@group(0) @binding(2) var<storage, read_write> selected: array<u32>;    // [k], token indices

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let token = id.x + 1u; // the class token is always a local query and is not listed
    if token >= u.tokens {
        return;
    }
    let own = r[token];
    var place = 0u;
    for (var other = 1u; other < u.tokens; other++) {
        let value = r[other];
        place += select(0u, 1u, value > own || (value == own && other < token));
    }
    if place < u.selected {
        selected[place] = token;
    }
}

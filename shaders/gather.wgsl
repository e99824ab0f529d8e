// Rows of the class token and of the local queries, in the order GLCA sees them: y[0] = x[0], y[1 + i] = x[selected[i]].

struct GatherUniforms {
    rows: u32,  // 1 + k
    dim: u32,   // D
}

@group(0) @binding(0) var<uniform> u: GatherUniforms;
@group(0) @binding(1) var<storage, read> x: array<f32>;         // [N + 1, D]
@group(0) @binding(2) var<storage, read> selected: array<u32>;  // [k], token indices
@group(0) @binding(3) var<storage, read_write> y: array<f32>;   // [1 + k, D]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= u.dim || id.y >= u.rows {
        return;
    }
    var token = 0u;
    if id.y > 0u {
        token = selected[id.y - 1u];
    }
    y[id.y * u.dim + id.x] = x[token * u.dim + id.x];
}

// How fast the adapter's memory is (the profiler's roofline): y = a x, four values a thread, neighbours beside neighbours.

struct ProbeCopyUniforms {
    count: u32, // V, vectors of four values
    a: f32,
}

@group(0) @binding(0) var<uniform> u: ProbeCopyUniforms;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;       // [V]
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>; // [V]

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < u.count {
        y[id.x] = u.a * x[id.x];
    }
}

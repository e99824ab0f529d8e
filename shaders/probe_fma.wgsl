// How many multiply-adds the adapter does (the profiler's roofline): each thread runs eight independent chains x = x a + b
// in registers, four steps a turn of the loop, so that neither the latency of one nor the loop counts. y is the chains'
// sum; `a` and `b` come from outside, so that no compiler can do it beforehand.

struct ProbeFmaUniforms {
    threads: u32,   // T
    steps: u32,     // turns of the loop
    a: f32,
    b: f32,
}

@group(0) @binding(0) var<uniform> u: ProbeFmaUniforms;
@group(0) @binding(1) var<storage, read> x: array<f32>;         // [T], where the chains start: x, x + 1, ... x + 7
@group(0) @binding(2) var<storage, read_write> y: array<f32>;   // [T]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= u.threads {
        return;
    }
    let a = vec4(u.a);
    let b = vec4(u.b);
    var low = vec4(0.0, 1.0, 2.0, 3.0) + x[id.x];
    var high = low + 4.0;
    for (var step = 0u; step < u.steps; step++) {
        low = fma(low, a, b);
        high = fma(high, a, b);
        low = fma(low, a, b);
        high = fma(high, a, b);
        low = fma(low, a, b);
        high = fma(high, a, b);
        low = fma(low, a, b);
        high = fma(high, a, b);
    }
    let sum = low + high;
    y[id.x] = sum.x + sum.y + sum.z + sum.w;
}

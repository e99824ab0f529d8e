// How many multiply-adds the adapter's matrix units do (the profiler's roofline): each subgroup adds the product of two matrices of
// halves to four sums in turn, in registers. All elements of the factors are `a` and `b`, from outside, so that no compiler can do
// it beforehand; y is what became of x, 4 SIDE a b larger for each turn of the loop.
enable f16;
enable wgpu_cooperative_matrix;
#import matrix

struct ProbeMatrixUniforms {
    subgroups: u32, // S, a multiple of four
    steps: u32,     // turns of the loop
    a: f32,
    b: f32,
}

@group(0) @binding(0) var<uniform> u: ProbeMatrixUniforms;
@group(0) @binding(1) var<storage, read> x: array<f32>;         // [S], each of which fills four matrices a quarter each
@group(0) @binding(2) var<storage, read_write> y: array<f32>;   // [S], the sum of the four at one place

const COUNT = SIDE * SIDE;

var<workgroup> factor_a: array<f16, COUNT>;     // [SIDE, SIDE]
var<workgroup> factor_b: array<f16, COUNT>;     // [SIDE, SIDE]
var<workgroup> sums: array<f32, 4u * COUNT>;    // [4, SIDE, SIDE]

@compute @workgroup_size(LANES, 4)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let subgroup = 4u * group.x + local.y;
    for (var e = local.x; e < COUNT; e += LANES) {
        factor_a[e] = f16(u.a);
        factor_b[e] = f16(u.b);
        sums[COUNT * local.y + e] = 0.25 * x[min(subgroup, u.subgroups - 1u)];
    }
    workgroupBarrier();
    let a = coopLoadT<Left>(&factor_a[0], SIDE);
    let b = coopLoadT<Right>(&factor_b[0], SIDE);
    var c0 = coopLoadT<Sum>(&sums[COUNT * local.y], SIDE);
    var c1 = c0;
    var c2 = c0;
    var c3 = c0;
    for (var step = 0u; step < u.steps; step++) {
        c0 = coopMultiplyAdd(a, b, c0);
        c1 = coopMultiplyAdd(a, b, c1);
        c2 = coopMultiplyAdd(a, b, c2);
        c3 = coopMultiplyAdd(a, b, c3);
    }
    coopStoreT(c0 + c1 + c2 + c3, &sums[COUNT * local.y], SIDE);
    workgroupBarrier();
    if local.x == 0u && subgroup < u.subgroups {
        y[subgroup] = sums[COUNT * local.y];
    }
}

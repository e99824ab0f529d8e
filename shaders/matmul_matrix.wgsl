// The linear layer of matmul.wgsl on a device's matrix units: the subgroups of a workgroup multiply matrices of 16 x 16 halves
// and sum in f32; EIGHT: of 8 x 8. x is rounded to halves, W is stored as halves (F16) or bytes (INT8), which halves hold
// exactly. GELU and RESIDUAL are as there. K must be a multiple of 32 and N of 4, and a subgroup have 32 threads, or EIGHT
// (kernels.rs and gpu.rs see to it). The tile is 4 x 4 matrices by 4 subgroups, LARGE 8 x 8 by 8.
enable f16;
enable wgpu_cooperative_matrix;
#import matrix
#ifdef GELU
#import erf
#endif

struct MatmulUniforms {
    rows: u32,      // M
    inner: u32,     // K
    columns: u32,   // N
}

#ifdef INT8
alias Stored = u32;
fn widen(stored: Stored) -> vec4<f16> {
    return vec4<f16>(vec4<f32>(unpack4xI8(stored)));
}
#else
alias Stored = vec4<f16>;
fn widen(stored: Stored) -> vec4<f16> {
    return stored;
}
#endif

@group(0) @binding(0) var<uniform> u: MatmulUniforms;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;       // [M, K / 4]
@group(0) @binding(2) var<storage, read> weight: array<Stored>;     // [K, N / 4]
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;    // [N / 4]
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>; // [M, N / 4]
#ifdef INT8
@group(0) @binding(5) var<storage, read> scale: array<vec4<f32>>;   // [N / 4]
#endif

// A subgroup computes HIGH matrices by two; ACROSS of them lie beside each other.
#ifdef LARGE
const SUBGROUPS = 8u;
const ACROSS = 4u;
const HIGH = 4u;
const TILE_ROWS = 8u * SIDE;    // build.rs reads these two
const TILE_COLUMNS = 8u * SIDE;
const STEP = SIDE;
#else
const SUBGROUPS = 4u;
const ACROSS = 2u;
const HIGH = 2u;
const TILE_ROWS = 4u * SIDE;
const TILE_COLUMNS = 4u * SIDE;
const STEP = 2u * SIDE;
#endif
const THREADS = LANES * SUBGROUPS;
const SIDE4 = SIDE / 4u;
const STEP4 = STEP / 4u;
const COLUMNS4 = TILE_COLUMNS / 4u;
// Two more than are used, so that rows begin in different banks.
const X_STRIDE = STEP4 + 2u;
const W_STRIDE = COLUMNS4 + 2u;
const LARGEST = 65504.0;        // half

var<workgroup> tile_x: array<vec4<f16>, TILE_ROWS * X_STRIDE>;  // [TILE_ROWS, X_STRIDE]
var<workgroup> tile_w: array<vec4<f16>, STEP * W_STRIDE>;       // [STEP, W_STRIDE]
var<workgroup> sums: array<vec4<f32>, 4u * SIDE * SIDE4>;       // [4, SIDE, SIDE4]: a matrix for each of four subgroups

// Element e of the tile of x, [TILE_ROWS, STEP4], that begins at column `start`.
fn load_x(e: u32, row: u32, start: u32) -> vec4<f16> {
    let at = row + e / STEP4;
    if at >= u.rows {
        return vec4<f16>();
    }
    return vec4<f16>(clamp(x[(at * u.inner + start) / 4u + e % STEP4], vec4(-LARGEST), vec4(LARGEST)));
}

// Element e of the tile of W, [STEP, COLUMNS4], that begins at row `start`.
fn load_w(e: u32, column4: u32, start: u32) -> vec4<f16> {
    let at = column4 + e % COLUMNS4;
    if 4u * at >= u.columns {
        return vec4<f16>();
    }
    return widen(weight[(start + e / COLUMNS4) * (u.columns / 4u) + at]);
}

fn keep_x(e: u32, value: vec4<f16>) {
    tile_x[e / STEP4 * X_STRIDE + e % STEP4] = value;
}

fn keep_w(e: u32, value: vec4<f16>) {
    tile_w[e / COLUMNS4 * W_STRIDE + e % COLUMNS4] = value;
}

// A subgroup's matrix, four columns at a time.
fn store(slot: u32, lane: u32, row: u32, column4: u32) {
    for (var e = lane; e < SIDE * SIDE4; e += LANES) {
        let at_row = row + e / SIDE4;
        let at_column = column4 + e % SIDE4;
        if at_row < u.rows && 4u * at_column < u.columns {
            let at = at_row * (u.columns / 4u) + at_column;
#ifdef INT8
            var value = sums[SIDE * SIDE4 * slot + e] * scale[at_column] + bias[at_column];
#else
            var value = sums[SIDE * SIDE4 * slot + e] + bias[at_column];
#endif
#ifdef GELU
            value = vec4(gelu(value.x), gelu(value.y), gelu(value.z), gelu(value.w));
#endif
#ifdef RESIDUAL
            value += y[at];
#endif
            y[at] = value;
        }
    }
}

@compute @workgroup_size(LANES, SUBGROUPS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let lane = local.x;
    let subgroup = local.y;
    let thread = subgroup * LANES + lane;
    let row = group.y * TILE_ROWS;
    let column4 = group.x * COLUMNS4;
    let down = subgroup / ACROSS * HIGH * SIDE;     // of the tile's rows
    let left4 = subgroup % ACROSS * 2u * SIDE4;     // of the tile's columns, four each

    for (var e = thread; e < SIDE * SIDE4; e += THREADS) {
        sums[e] = vec4<f32>();
    }
    var x0 = load_x(thread, row, 0u);
    var x1 = load_x(thread + THREADS, row, 0u);
    var w0 = load_w(thread, column4, 0u);
    var w1 = load_w(thread + THREADS, column4, 0u);
#ifndef LARGE
    var x2 = load_x(thread + 2u * THREADS, row, 0u);
    var x3 = load_x(thread + 3u * THREADS, row, 0u);
    var w2 = load_w(thread + 2u * THREADS, column4, 0u);
    var w3 = load_w(thread + 3u * THREADS, column4, 0u);
#endif
    workgroupBarrier();
    let zero = coopLoadT<Sum>(&sums[0], SIDE4);
    var c00 = zero;
    var c01 = zero;
    var c10 = zero;
    var c11 = zero;
#ifdef LARGE
    var c20 = zero;
    var c21 = zero;
    var c30 = zero;
    var c31 = zero;
#endif
    for (var start = 0u; start < u.inner; start += STEP) {
        keep_x(thread, x0);
        keep_x(thread + THREADS, x1);
        keep_w(thread, w0);
        keep_w(thread + THREADS, w1);
#ifndef LARGE
        keep_x(thread + 2u * THREADS, x2);
        keep_x(thread + 3u * THREADS, x3);
        keep_w(thread + 2u * THREADS, w2);
        keep_w(thread + 3u * THREADS, w3);
#endif
        workgroupBarrier();
        // The next step's elements are on their way while this one's are multiplied.
        let next = start + STEP;
        if next < u.inner {
            x0 = load_x(thread, row, next);
            x1 = load_x(thread + THREADS, row, next);
            w0 = load_w(thread, column4, next);
            w1 = load_w(thread + THREADS, column4, next);
#ifndef LARGE
            x2 = load_x(thread + 2u * THREADS, row, next);
            x3 = load_x(thread + 3u * THREADS, row, next);
            w2 = load_w(thread + 2u * THREADS, column4, next);
            w3 = load_w(thread + 3u * THREADS, column4, next);
#endif
        }
        for (var k = 0u; k < STEP; k += SIDE) {
            let b0 = coopLoadT<Right>(&tile_w[k * W_STRIDE + left4], W_STRIDE);
            let b1 = coopLoadT<Right>(&tile_w[k * W_STRIDE + left4 + SIDE4], W_STRIDE);
            let a0 = coopLoadT<Left>(&tile_x[down * X_STRIDE + k / 4u], X_STRIDE);
            c00 = coopMultiplyAdd(a0, b0, c00);
            c01 = coopMultiplyAdd(a0, b1, c01);
            let a1 = coopLoadT<Left>(&tile_x[(down + SIDE) * X_STRIDE + k / 4u], X_STRIDE);
            c10 = coopMultiplyAdd(a1, b0, c10);
            c11 = coopMultiplyAdd(a1, b1, c11);
#ifdef LARGE
            let a2 = coopLoadT<Left>(&tile_x[(down + 2u * SIDE) * X_STRIDE + k / 4u], X_STRIDE);
            c20 = coopMultiplyAdd(a2, b0, c20);
            c21 = coopMultiplyAdd(a2, b1, c21);
            let a3 = coopLoadT<Left>(&tile_x[(down + 3u * SIDE) * X_STRIDE + k / 4u], X_STRIDE);
            c30 = coopMultiplyAdd(a3, b0, c30);
            c31 = coopMultiplyAdd(a3, b1, c31);
#endif
        }
        workgroupBarrier();
    }
    // Matrix by matrix through workgroup memory, which has room for four at a time.
    let slot = subgroup % 4u;
    for (var matrix = 0u; matrix < 2u * HIGH; matrix++) {
        for (var turn = 0u; turn < SUBGROUPS / 4u; turn++) {
            if subgroup / 4u == turn {
                switch matrix {
                    case 0u: { coopStoreT(c00, &sums[SIDE * SIDE4 * slot], SIDE4); }
                    case 1u: { coopStoreT(c01, &sums[SIDE * SIDE4 * slot], SIDE4); }
                    case 2u: { coopStoreT(c10, &sums[SIDE * SIDE4 * slot], SIDE4); }
                    case 3u: { coopStoreT(c11, &sums[SIDE * SIDE4 * slot], SIDE4); }
#ifdef LARGE
                    case 4u: { coopStoreT(c20, &sums[SIDE * SIDE4 * slot], SIDE4); }
                    case 5u: { coopStoreT(c21, &sums[SIDE * SIDE4 * slot], SIDE4); }
                    case 6u: { coopStoreT(c30, &sums[SIDE * SIDE4 * slot], SIDE4); }
                    case 7u: { coopStoreT(c31, &sums[SIDE * SIDE4 * slot], SIDE4); }
#endif
                    default: {}
                }
            }
            workgroupBarrier();
            if subgroup / 4u == turn {
                store(slot, lane, row + down + matrix / 2u * SIDE, column4 + left4 + matrix % 2u * SIDE4);
            }
            workgroupBarrier();
        }
    }
}

// A 32 x 32 tile of X W: 8 x 8 threads, four rows by four columns each in registers, the inner dimension in steps of 16
// through workgroup memory. The kernel that imports this defines where the factors come from, zero outside of them:
//   fn load_x(row: u32, k: u32) -> f32
//   fn load_w(k: u32, column4: u32) -> vec4<f32>     four columns from 4 * column4
const TILE = 32u;
const STEP = 16u;

var<workgroup> tile_x: array<vec4<f32>, 128>; // [STEP, TILE / 4], four rows each
var<workgroup> tile_w: array<vec4<f32>, 128>; // [STEP, TILE / 4], four columns each

// Row i of the result is the thread's row i, its elements are the thread's four columns. `group` and `local` are
// (column, row), as in the dispatch.
fn tile_product(group: vec2<u32>, local: vec2<u32>, inner: u32) -> mat4x4<f32> {
    let thread = local.y * 8u + local.x;
    let row = group.y * TILE;
    let column4 = group.x * (TILE / 4u);
    var sum = mat4x4<f32>();
    for (var start = 0u; start < inner; start += STEP) {
        for (var e = thread; e < 128u; e += 64u) {
            // Neighbouring threads read neighbouring addresses: k runs along a row of X, columns along a row of W.
            let kx = e % STEP;
            let r = e / STEP;
            let first = row + 4u * r;
            let k = start + kx;
            tile_x[kx * 8u + r] =
                vec4(load_x(first, k), load_x(first + 1u, k), load_x(first + 2u, k), load_x(first + 3u, k));
            tile_w[e] = load_w(start + e / 8u, column4 + e % 8u);
        }
        workgroupBarrier();
        for (var k = 0u; k < STEP; k++) {
            let x = tile_x[k * 8u + local.y];
            let w = tile_w[k * 8u + local.x];
            sum += mat4x4<f32>(x.x * w, x.y * w, x.z * w, x.w * w);
        }
        workgroupBarrier();
    }
    return sum;
}

// A tile of 32 rows by 64 columns of X W: 8 x 4 threads, eight rows by eight columns each in registers (an element loaded
// serves eight products), the inner dimension in steps of 16 through workgroup memory. The kernel that imports this says
// where the factors come from, zero outside of them, and where the product goes:
//   fn load_x(row: u32, k: u32) -> f32
//   fn load_w(k: u32, column4: u32) -> vec4<f32>                 four columns from 4 * column4
//   fn store(row: u32, column4: u32, product: vec4<f32>)        called for rows and columns outside, too
const STEP = 16u;

var<workgroup> tile_x: array<vec4<f32>, 128>; // [STEP, 32 / 4], four rows each
var<workgroup> tile_w: array<vec4<f32>, 256>; // [STEP, 64 / 4], four columns each

// Element i of the result is column i of the outer product of a (rows) and b (columns): the four columns of row i.
fn outer(a: vec4<f32>, b: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(a.x * b, a.y * b, a.z * b, a.w * b);
}

// `group` and `local` are (column, row), as in the dispatch.
fn tile_product(group: vec2<u32>, local: vec2<u32>, inner: u32) {
    let thread = local.y * 8u + local.x;
    let row = group.y * 32u;
    let column4 = group.x * 16u;
    // Rows 4 y and 16 + 4 y of the tile by columns 4 x and 32 + 4 x: neighbours in x read neighbours in memory.
    var near_near = mat4x4<f32>();
    var near_far = mat4x4<f32>();
    var far_near = mat4x4<f32>();
    var far_far = mat4x4<f32>();
    for (var start = 0u; start < inner; start += STEP) {
        for (var e = thread; e < 128u; e += 32u) {
            let k = start + e % STEP;
            let first = row + 4u * (e / STEP);
            tile_x[e % STEP * 8u + e / STEP] =
                vec4(load_x(first, k), load_x(first + 1u, k), load_x(first + 2u, k), load_x(first + 3u, k));
        }
        for (var e = thread; e < 256u; e += 32u) {
            tile_w[e] = load_w(start + e / 16u, column4 + e % 16u);
        }
        workgroupBarrier();
        for (var k = 0u; k < STEP; k++) {
            let x_near = tile_x[k * 8u + local.y];
            let x_far = tile_x[k * 8u + local.y + 4u];
            let w_near = tile_w[k * 16u + local.x];
            let w_far = tile_w[k * 16u + local.x + 8u];
            near_near += outer(x_near, w_near);
            near_far += outer(x_near, w_far);
            far_near += outer(x_far, w_near);
            far_far += outer(x_far, w_far);
        }
        workgroupBarrier();
    }
    let near = row + 4u * local.y;
    let left = column4 + local.x;
    // Written out: a matrix that a loop indexes leaves the registers (measured on lavapipe: twice the time).
    store(near, left, near_near[0]);
    store(near, left + 8u, near_far[0]);
    store(near + 16u, left, far_near[0]);
    store(near + 16u, left + 8u, far_far[0]);
    store(near + 1u, left, near_near[1]);
    store(near + 1u, left + 8u, near_far[1]);
    store(near + 17u, left, far_near[1]);
    store(near + 17u, left + 8u, far_far[1]);
    store(near + 2u, left, near_near[2]);
    store(near + 2u, left + 8u, near_far[2]);
    store(near + 18u, left, far_near[2]);
    store(near + 18u, left + 8u, far_far[2]);
    store(near + 3u, left, near_near[3]);
    store(near + 3u, left + 8u, near_far[3]);
    store(near + 19u, left, far_near[3]);
    store(near + 19u, left + 8u, far_far[3]);
}

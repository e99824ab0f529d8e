// A tile of X W: ACROSS x DOWN threads, SIDE rows by SIDE columns each in registers (an element loaded serves SIDE
// products), the inner dimension in steps of 16 through workgroup memory. The three are constants of a specialisation
// (shaders/permutations), SIDE 4 or 8; whatever they are, an element of the product is summed in the same order. The kernel
// that imports this says where the factors come from, zero outside of them, and where the product goes:
//   fn load_x(row: u32, k: u32) -> f32
//   fn load_w(k: u32, column4: u32) -> vec4<f32>                 four columns from 4 * column4
//   fn store(row: u32, column4: u32, product: vec4<f32>)        called for rows and columns outside, too
// and with SEEK
//   fn seek(k: u32)                                             before load_x with this k and whatever rows; k never falls
const STEP = 16u;
const TILE_ROWS = SIDE * DOWN;          // build.rs reads these two
const TILE_COLUMNS = SIDE * ACROSS;
const ROWS4 = TILE_ROWS / 4u;
const COLUMNS4 = TILE_COLUMNS / 4u;

var<workgroup> tile_x: array<vec4<f32>, STEP * ROWS4>;      // [STEP, ROWS4], four rows each
var<workgroup> tile_w: array<vec4<f32>, STEP * COLUMNS4>;   // [STEP, COLUMNS4], four columns each

// Element i of the result is column i of the outer product of a (rows) and b (columns): the four columns of row i.
fn outer(a: vec4<f32>, b: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(a.x * b, a.y * b, a.z * b, a.w * b);
}

// `group` and `local` are (column, row), as in the dispatch.
fn tile_product(group: vec2<u32>, local: vec2<u32>, inner: u32) {
    let thread = local.y * ACROSS + local.x;
    let row = group.y * TILE_ROWS;
    let column4 = group.x * COLUMNS4;
    // Rows 4 y, and with SIDE 8 as many from the middle of the tile on, by columns 4 x and likewise: neighbours in x read
    // neighbours in memory. With SIDE 4 only the first matrix is used, and a compiler drops the others.
    var near_near = mat4x4<f32>();
    var near_far = mat4x4<f32>();
    var far_near = mat4x4<f32>();
    var far_far = mat4x4<f32>();
    for (var start = 0u; start < inner; start += STEP) {
#ifdef SEEK
        seek(start + thread % STEP); // as many threads as make whole steps
#endif
        for (var e = thread; e < STEP * ROWS4; e += ACROSS * DOWN) {
            let k = start + e % STEP;
            let first = row + 4u * (e / STEP);
            tile_x[e % STEP * ROWS4 + e / STEP] =
                vec4(load_x(first, k), load_x(first + 1u, k), load_x(first + 2u, k), load_x(first + 3u, k));
        }
        for (var e = thread; e < STEP * COLUMNS4; e += ACROSS * DOWN) {
            tile_w[e] = load_w(start + e / COLUMNS4, column4 + e % COLUMNS4);
        }
        workgroupBarrier();
        for (var k = 0u; k < STEP; k++) {
            let x_near = tile_x[k * ROWS4 + local.y];
            let w_near = tile_w[k * COLUMNS4 + local.x];
            near_near += outer(x_near, w_near);
            if SIDE == 8u {
                let x_far = tile_x[k * ROWS4 + local.y + DOWN];
                let w_far = tile_w[k * COLUMNS4 + local.x + ACROSS];
                near_far += outer(x_near, w_far);
                far_near += outer(x_far, w_near);
                far_far += outer(x_far, w_far);
            }
        }
        workgroupBarrier();
    }
    let near = row + 4u * local.y;
    let left = column4 + local.x;
    // Written out: a matrix that a loop indexes leaves the registers (measured on lavapipe: twice the time).
    store(near, left, near_near[0]);
    store(near + 1u, left, near_near[1]);
    store(near + 2u, left, near_near[2]);
    store(near + 3u, left, near_near[3]);
    if SIDE == 8u {
        let far = near + TILE_ROWS / 2u;
        let right = left + ACROSS;
        store(near, right, near_far[0]);
        store(near + 1u, right, near_far[1]);
        store(near + 2u, right, near_far[2]);
        store(near + 3u, right, near_far[3]);
        store(far, left, far_near[0]);
        store(far + 1u, left, far_near[1]);
        store(far + 2u, left, far_near[2]);
        store(far + 3u, left, far_near[3]);
        store(far, right, far_far[0]);
        store(far + 1u, right, far_far[1]);
        store(far + 2u, right, far_far[2]);
        store(far + 3u, right, far_far[3]);
    }
}

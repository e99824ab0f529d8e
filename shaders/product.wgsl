// The product of two activations, or of one and a weight: Y = X W, with any strides, so that a factor may be transposed or a
// part of its buffer, and Y the columns of a wider matrix. BIAS adds one; RELU or SIGMOID follows.
#import tile

struct ProductUniforms {
    rows: u32,      // M
    inner: u32,     // K
    columns: u32,   // N
    x_offset: u32,  // where X starts in its buffer
    x_row: u32,     // values from one row of X to the next
    x_inner: u32,   // values from one column of X to the next
    w_offset: u32,  // where W starts in its buffer
    w_inner: u32,   // values from one row of W to the next
    w_column: u32,  // values from one column of W to the next
    y_offset: u32,  // where Y starts in its buffer
    y_row: u32,     // values from one row of Y to the next
}

@group(0) @binding(0) var<uniform> u: ProductUniforms;
@group(0) @binding(1) var<storage, read> x: array<f32>;         // [M, K], strided
@group(0) @binding(2) var<storage, read> w: array<f32>;         // [K, N], strided
#ifdef BIAS
@group(0) @binding(3) var<storage, read> bias: array<f32>;      // [N]
@group(0) @binding(4) var<storage, read_write> y: array<f32>;   // [M, N], rows y_row apart
#else
@group(0) @binding(3) var<storage, read_write> y: array<f32>;   // [M, N], rows y_row apart
#endif

fn load_x(row: u32, k: u32) -> f32 {
    if row >= u.rows || k >= u.inner {
        return 0.0;
    }
    return x[u.x_offset + row * u.x_row + k * u.x_inner];
}

fn w_at(k: u32, column: u32) -> f32 {
    if k >= u.inner || column >= u.columns {
        return 0.0;
    }
    return w[u.w_offset + k * u.w_inner + column * u.w_column];
}

fn load_w(k: u32, column4: u32) -> vec4<f32> {
    let column = 4u * column4;
    return vec4(w_at(k, column), w_at(k, column + 1u), w_at(k, column + 2u), w_at(k, column + 3u));
}

fn store(row: u32, column4: u32, product: vec4<f32>) {
    for (var j = 0u; j < 4u; j++) {
        let column = 4u * column4 + j;
        if row < u.rows && column < u.columns {
            var value = product[j];
#ifdef BIAS
            value += bias[column];
#endif
#ifdef RELU
            value = max(value, 0.0);
#endif
#ifdef SIGMOID
            value = 1.0 / (1.0 + exp(-clamp(value, -80.0, 80.0))); // exp of more may overflow
#endif
            y[u.y_offset + row * u.y_row + column] = value;
        }
    }
}

@compute @workgroup_size(ACROSS, DOWN)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    tile_product(group.xy, local.xy, u.inner);
}

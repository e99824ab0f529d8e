// Scaled sums of rows: y[row] = scale (x[row, 0] + x[row, 1] + ...). Rows of x may be columns of what lies in its buffer, and
// y a column of a wider matrix; a sum of one element is a copy. RELU: nothing below 0. One thread a row.

struct SumUniforms {
    rows: u32,      // M
    length: u32,    // L
    x_offset: u32,  // where x starts in its buffer
    x_row: u32,     // values from one row of x to the next
    x_inner: u32,   // values from one element of a row to the next
    y_offset: u32,  // where y starts in its buffer
    y_row: u32,     // values from one element of y to the next
    scale: f32,
}

@group(0) @binding(0) var<uniform> u: SumUniforms;
@group(0) @binding(1) var<storage, read> x: array<f32>;         // [M, L], strided
@group(0) @binding(2) var<storage, read_write> y: array<f32>;   // [M], strided

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= u.rows {
        return;
    }
    let start = u.x_offset + id.x * u.x_row;
    var sum = 0.0;
    for (var i = 0u; i < u.length; i++) {
        sum += x[start + i * u.x_inner];
    }
#ifdef RELU
    sum = max(sum, 0.0);
#endif
    y[u.y_offset + id.x * u.y_row] = u.scale * sum;
}

// Softmax of scaled rows: y[row, i] = exp(scale x[row, i]) / sum over the row. Rows of x may be columns of what lies in its
// buffer. One workgroup a row; the row's maximum is subtracted first.

struct SoftmaxUniforms {
    rows: u32,      // M
    length: u32,    // L
    x_offset: u32,  // where x starts in its buffer
    x_row: u32,     // values from one row of x to the next
    x_inner: u32,   // values from one element of a row to the next
    scale: f32,
}

@group(0) @binding(0) var<uniform> u: SoftmaxUniforms;
@group(0) @binding(1) var<storage, read> x: array<f32>;         // [M, L], strided
@group(0) @binding(2) var<storage, read_write> y: array<f32>;   // [M, L]

#import reduce

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, lane: Lane) {
    let thread = lane.thread;
    let start = u.x_offset + group.x * u.x_row;
    var high = -3e38;
    for (var i = thread; i < u.length; i += 64u) {
        high = max(high, u.scale * x[start + i * u.x_inner]);
    }
    high = highest(lane, high);
    var sum = 0.0;
    for (var i = thread; i < u.length; i += 64u) {
        let weight = exp(u.scale * x[start + i * u.x_inner] - high);
        y[group.x * u.length + i] = weight;
        sum += weight;
    }
    sum = total(lane, sum);
    for (var i = thread; i < u.length; i += 64u) {
        y[group.x * u.length + i] /= sum; // this thread wrote it above
    }
}

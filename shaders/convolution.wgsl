// A convolution over a map as a matrix product: a row of X is what the kernel sees from one position, read straight from
// the map (no unfolded matrix in memory), zero outside. Any square kernel, stride, dilation and padding.
#import tile

struct ConvolutionUniforms {
    height: u32,        // H
    width: u32,         // W
    channels: u32,      // C
    outputs: u32,       // O
    side: u32,          // k, of the kernel
    stride: u32,
    dilation: u32,
    padding: u32,
    rows: u32,          // H' of the result
    columns: u32,       // W' of the result
    x_offset: u32,      // where the map starts in its buffer
}

@group(0) @binding(0) var<uniform> u: ConvolutionUniforms;
@group(0) @binding(1) var<storage, read> x: array<f32>;             // [H W, C]
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;  // [C k k, O / 4], rows padded with zeros
@group(0) @binding(3) var<storage, read_write> y: array<f32>;       // [H' W', O]

// What tap k (channel, row, column) of the kernel sees from position `row` of the result.
fn load_x(row: u32, k: u32) -> f32 {
    let area = u.side * u.side;
    if row >= u.rows * u.columns || k >= u.channels * area {
        return 0.0;
    }
    let down = row / u.columns * u.stride + k % area / u.side * u.dilation;
    let along = row % u.columns * u.stride + k % u.side * u.dilation;
    // Padding is subtracted last, because these numbers have no sign.
    if down < u.padding || down >= u.height + u.padding || along < u.padding || along >= u.width + u.padding {
        return 0.0;
    }
    let position = (down - u.padding) * u.width + along - u.padding;
    return x[u.x_offset + position * u.channels + k / area];
}

fn load_w(k: u32, column4: u32) -> vec4<f32> {
    let width4 = (u.outputs + 3u) / 4u;
    if k >= u.channels * u.side * u.side || column4 >= width4 {
        return vec4(0.0);
    }
    return weight[k * width4 + column4];
}

fn store(row: u32, column4: u32, product: vec4<f32>) {
    for (var j = 0u; j < 4u; j++) {
        let column = 4u * column4 + j;
        if row < u.rows * u.columns && column < u.outputs {
            y[row * u.outputs + column] = product[j];
        }
    }
}

@compute @workgroup_size(ACROSS, DOWN)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    tile_product(group.xy, local.xy, u.channels * u.side * u.side);
}

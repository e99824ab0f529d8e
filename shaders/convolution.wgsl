// A convolution as a matrix product: a row of X is what the kernel sees from one position, tap by tap and of each tap all
// channels, read straight from the map (no unfolded matrix in memory), zero outside. Any square kernel, stride, dilation and
// padding. F16: how W is stored; sums are in f32. A batch norm behind it is not folded into W, whose values would be rounded anew.
#import tile
#import weight

struct ConvolutionUniforms {
    rows: u32,          // M, positions of the result
    inner: u32,         // K = k k C
    columns: u32,       // N, channels of the result
    height: u32,        // H
    width: u32,         // W
    channels: u32,      // C
    side: u32,          // k, of the kernel
    stride: u32,
    dilation: u32,
    padding: u32,
    across: u32,        // positions in a row of the result
    x_offset: u32,      // where the map starts in its buffer
    x_position: u32,    // values from one position of the map to the next
    x_channel: u32,     // values from one channel to the next
    normed: u32,        // 1: a batch norm follows, times scale plus shift; 0: these are not read
    adds: u32,          // 1: what y held is added
    relu: u32,          // 1: then nothing is below 0
}

@group(0) @binding(0) var<uniform> u: ConvolutionUniforms;
@group(0) @binding(1) var<storage, read> x: array<f32>;             // [H W, C], strided
@group(0) @binding(2) var<storage, read> weight: array<Four>;       // [k k C, N / 4], rows padded with zeros
@group(0) @binding(3) var<storage, read> scale: array<f32>;         // [N]
@group(0) @binding(4) var<storage, read> shift: array<f32>;         // [N]
@group(0) @binding(5) var<storage, read_write> y: array<f32>;       // [M, N]

// Row and column of the map that each row of the tile sees first; outside, they count down from 2^32.
var<workgroup> corner: array<vec2<u32>, TILE_ROWS>;

// Tap and channel that k is, found from the k before: a division would cost more than all else.
var<private> known: u32;
var<private> tap: vec2<u32>;
var<private> channel: u32;

fn seek(k: u32) {
    channel += k - known;
    known = k;
    while channel >= u.channels {
        channel -= u.channels;
        tap.y++;
        if tap.y == u.side {
            tap = vec2(tap.x + 1u, 0u);
        }
    }
}

fn load_x(row: u32, k: u32) -> f32 {
    let at = corner[row % TILE_ROWS] + u.dilation * tap;
    if k >= u.inner || at.x >= u.height || at.y >= u.width {
        return 0.0;
    }
    return x[u.x_offset + (at.x * u.width + at.y) * u.x_position + channel * u.x_channel];
}

fn load_w(k: u32, column4: u32) -> vec4<f32> {
    let width4 = (u.columns + 3u) / 4u;
    if k >= u.inner || column4 >= width4 {
        return vec4(0.0);
    }
    return widen(weight[k * width4 + column4]);
}

fn store(row: u32, column4: u32, product: vec4<f32>) {
    for (var j = 0u; j < 4u; j++) {
        let column = 4u * column4 + j;
        if row < u.rows && column < u.columns {
            let at = row * u.columns + column;
            var value = product[j];
            if u.normed == 1u {
                value = value * scale[column] + shift[column];
            }
            if u.adds == 1u {
                value += y[at];
            }
            if u.relu == 1u {
                value = max(value, 0.0);
            }
            y[at] = value;
        }
    }
}

@compute @workgroup_size(ACROSS, DOWN)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    for (var i = local.y * ACROSS + local.x; i < TILE_ROWS; i += ACROSS * DOWN) {
        let row = group.y * TILE_ROWS + i;
        let first = vec2(row / u.across, row % u.across) * u.stride - u.padding;
        corner[i] = select(vec2(1u << 31u), first, row < u.rows);
    }
    workgroupBarrier();
    tile_product(group.xy, local.xy, u.inner);
}

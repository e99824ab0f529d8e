// Cuts a map into patches and embeds them: tokens[1 + p] = W patch_p + bias + pos[1 + p], tokens[0] = class token + pos[0]. The map
// is the image, or of a hybrid what its convolutions made of it. A matrix product whose left factor is read straight from the map
// (no patch matrix in memory). F16: W is stored in packed halves.
#import tile
#import weight

struct PatchEmbedUniforms {
    height: u32,        // H
    width: u32,         // W
    channels: u32,      // C
    side: u32,          // p, side of a patch, in positions of the map
    dim: u32,           // D
    x_position: u32,    // values from one position of the map to the next
    x_channel: u32,     // values from one channel to the next
}

@group(0) @binding(0) var<uniform> u: PatchEmbedUniforms;
@group(0) @binding(1) var<storage, read> x: array<f32>;             // [C, H, W] or [H W, C], as the strides say
@group(0) @binding(2) var<storage, read> weight: array<Four>;       // [C p p, D / 4], rows padded with zeros
@group(0) @binding(3) var<storage, read> bias: array<f32>;          // [D]
@group(0) @binding(4) var<storage, read> class_token: array<f32>;   // [D]
@group(0) @binding(5) var<storage, read> position: array<f32>;      // [N + 1, D]
@group(0) @binding(6) var<storage, read_write> tokens: array<f32>;  // [N + 1, D]

// Value k of the patch of token `row`, in the order channel, row, column.
fn load_x(row: u32, k: u32) -> f32 {
    let columns = u.width / u.side;
    let patches = columns * (u.height / u.side);
    let area = u.side * u.side;
    if row == 0u || row > patches || k >= u.channels * area {
        return 0.0;
    }
    let channel = k / area;
    let down = (row - 1u) / columns * u.side + k % area / u.side;
    let along = (row - 1u) % columns * u.side + k % u.side;
    return x[(down * u.width + along) * u.x_position + channel * u.x_channel];
}

fn load_w(k: u32, column4: u32) -> vec4<f32> {
    let width4 = (u.dim + 3u) / 4u;
    if k >= u.channels * u.side * u.side || column4 >= width4 {
        return vec4(0.0);
    }
    return widen(weight[k * width4 + column4]);
}

fn store(row: u32, column4: u32, product: vec4<f32>) {
    let rows = 1u + (u.width / u.side) * (u.height / u.side);
    for (var j = 0u; j < 4u; j++) {
        let column = 4u * column4 + j;
        if row < rows && column < u.dim {
            let at = row * u.dim + column;
            let own = select(product[j] + bias[column], class_token[column], row == 0u);
            tokens[at] = own + position[at];
        }
    }
}

@compute @workgroup_size(ACROSS, DOWN)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    tile_product(group.xy, local.xy, u.channels * u.side * u.side);
}

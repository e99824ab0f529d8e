// A norm as scale and shift of each channel, where no convolution ends with it (wide residual networks; the group norms of hybrids):
// y = x scale + shift, then the sum with what y held and the ReLU, where they are wanted. One thread a value.

struct NormaliseUniforms {
    height: u32,    // H
    width: u32,     // W
    channels: u32,  // C
    adds: u32,      // 1: what y held is added
    relu: u32,      // 1: then nothing is below 0
}

@group(0) @binding(0) var<uniform> u: NormaliseUniforms;
@group(0) @binding(1) var<storage, read> x: array<f32>;         // [H W, C]
@group(0) @binding(2) var<storage, read> scale: array<f32>;     // [C]
@group(0) @binding(3) var<storage, read> shift: array<f32>;     // [C]
@group(0) @binding(4) var<storage, read_write> y: array<f32>;   // [H W, C]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= u.channels {
        return;
    }
    let at = (id.z * u.width + id.y) * u.channels + id.x;
    var value = x[at] * scale[id.x] + shift[id.x];
    if u.adds == 1u {
        value += y[at];
    }
    if u.relu == 1u {
        value = max(value, 0.0);
    }
    y[at] = value;
}

// A batch norm at inference and its ReLU, where no convolution ends with it (wide residual networks):
// y = max(0, x scale + shift), both for each channel. One thread a value.

struct NormaliseUniforms {
    height: u32,    // H
    width: u32,     // W
    channels: u32,  // C
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
    y[at] = max(x[at] * scale[id.x] + shift[id.x], 0.0);
}

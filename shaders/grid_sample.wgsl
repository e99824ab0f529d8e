// The photo as the attention resamples it (TASN, section 3.2): bilinear, at the grid that rows and columns of coordinates
// span; -1 and 1 are the centres of the first and the last pixel. One thread a value.

struct GridSampleUniforms {
    channels: u32,  // C
    height: u32,    // H
    width: u32,     // W
    rows: u32,      // h
    columns: u32,   // w
}

@group(0) @binding(0) var<uniform> u: GridSampleUniforms;
@group(0) @binding(1) var<storage, read> image: array<f32>;         // [C, H, W]
@group(0) @binding(2) var<storage, read> coordinates: array<f32>;   // [h + w], vertical first
@group(0) @binding(3) var<storage, read_write> y: array<f32>;       // [C, h, w]

fn position(coordinate: f32, size: u32) -> f32 {
    let last = f32(size - 1u);
    return clamp((coordinate + 1.0) * 0.5 * last, 0.0, last);
}

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= u.columns || id.y >= u.rows || id.z >= u.channels {
        return;
    }
    let down = position(coordinates[id.y], u.height);
    let along = position(coordinates[u.rows + id.x], u.width);
    let plane = id.z * u.height * u.width;
    let top = plane + u32(down) * u.width;
    let bottom = plane + min(u32(down) + 1u, u.height - 1u) * u.width;
    let left = u32(along);
    let right = min(left + 1u, u.width - 1u);
    let upper = mix(image[top + left], image[top + right], fract(along));
    let lower = mix(image[bottom + left], image[bottom + right], fract(along));
    y[(id.z * u.rows + id.y) * u.columns + id.x] = mix(upper, lower, fract(down));
}

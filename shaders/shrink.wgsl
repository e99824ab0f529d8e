// A photo made small (TASN, section 3: what its attention net sees): the mean of each box of `zoom` x `zoom` pixels. One thread
// a value.

struct ShrinkUniforms {
    channels: u32,  // C
    rows: u32,      // h
    columns: u32,   // w
    zoom: u32,
}

@group(0) @binding(0) var<uniform> u: ShrinkUniforms;
@group(0) @binding(1) var<storage, read> image: array<f32>;     // [C, zoom h, zoom w]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;   // [C, h, w]

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= u.columns || id.y >= u.rows {
        return;
    }
    let row = id.z * u.rows + id.y;
    let start = (row * u.zoom * u.columns + id.x) * u.zoom;
    var sum = 0.0;
    for (var down = 0u; down < u.zoom; down++) {
        for (var along = 0u; along < u.zoom; along++) {
            sum += image[start + down * u.zoom * u.columns + along];
        }
    }
    y[row * u.columns + id.x] = sum / f32(u.zoom * u.zoom);
}

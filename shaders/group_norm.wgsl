// What a group norm multiplies each channel of a map with and adds, from what parts of the positions say of each group of channels
// (`group_moments`). The map is then changed by `normalise`. One thread a channel.

struct GroupNormUniforms {
    positions: u32, // P
    channels: u32,  // C
    groups: u32,    // G, divides C
    span: u32,      // positions of a part
    eps: f32,
}

@group(0) @binding(0) var<uniform> u: GroupNormUniforms;
@group(0) @binding(1) var<storage, read> moments: array<f32>;       // [parts, G, 2], mean and sum of squared differences from it
@group(0) @binding(2) var<storage, read> weight: array<f32>;        // [C]
@group(0) @binding(3) var<storage, read> bias: array<f32>;          // [C]
@group(0) @binding(4) var<storage, read_write> scale: array<f32>;   // [C]
@group(0) @binding(5) var<storage, read_write> shift: array<f32>;   // [C]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let channel = id.x;
    if channel >= u.channels {
        return;
    }
    let across = u.channels / u.groups;
    let group = channel / across;
    let parts = (u.positions + u.span - 1u) / u.span;
    var mean = 0.0;
    for (var part = 0u; part < parts; part++) {
        let share = f32(min(u.span, u.positions - part * u.span)) / f32(u.positions);
        mean += share * moments[2u * (part * u.groups + group)];
    }
    var squares = 0.0;
    for (var part = 0u; part < parts; part++) {
        let count = f32(min(u.span, u.positions - part * u.span) * across);
        let at = 2u * (part * u.groups + group);
        let d = moments[at] - mean;
        squares += moments[at + 1u] + count * d * d;
    }
    let factor = weight[channel] / sqrt(squares / f32(u.positions * across) + u.eps);
    scale[channel] = factor;
    shift[channel] = bias[channel] - mean * factor;
}

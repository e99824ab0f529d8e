// A gate in front of a map (RGA): y[position, channel] *= gate, one value for each position or for each channel. One thread a
// value.

struct GateUniforms {
    positions: u32,     // N
    channels: u32,      // C
    y_offset: u32,      // where the map starts in its buffer
    gate_position: u32, // values from one position's gate to the next: 1, or 0 where channels have gates
    gate_channel: u32,  // values from one channel's gate to the next: 1, or 0 where positions have gates
}

@group(0) @binding(0) var<uniform> u: GateUniforms;
@group(0) @binding(1) var<storage, read> gate: array<f32>;      // [N] or [C]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;   // [N, C]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= u.channels || id.y >= u.positions {
        return;
    }
    y[u.y_offset + id.y * u.channels + id.x] *= gate[id.y * u.gate_position + id.x * u.gate_channel];
}

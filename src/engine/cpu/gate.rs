//! Twin of `shaders/gate.wgsl`.

use crate::engine::kernels::GateUniforms;

/// gate `[N]` or `[C]`, y `[N, C]`.
pub fn gate(u: &GateUniforms, bindings: &mut [Vec<f32>]) {
    let [gate, y] = bindings else { return };
    let (channels, offset) = (u.channels as usize, u.y_offset as usize);
    for position in 0..u.positions as usize {
        for channel in 0..channels {
            let at = position * u.gate_position as usize + channel * u.gate_channel as usize;
            y[offset + position * channels + channel] *= gate[at];
        }
    }
}

//! Twin of `shaders/normalise.wgsl`.

use crate::engine::kernels::NormaliseUniforms;

/// x `[H W, C]`, scale `[C]`, shift `[C]`, y `[H W, C]`.
pub fn normalise(u: &NormaliseUniforms, bindings: &mut [Vec<f32>]) {
    let [x, scale, shift, y] = bindings else { return };
    let [height, width, channels] = [u.height, u.width, u.channels].map(|n| n as usize);
    for at in 0..height * width * channels {
        let [x, scale, shift] = [x[at], scale[at % channels], shift[at % channels]].map(f64::from);
        y[at] = (x * scale + shift).max(0.0) as f32;
    }
}

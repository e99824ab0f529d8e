//! Twin of `shaders/normalise.wgsl`.

use crate::engine::kernels::NormaliseUniforms;

/// x `[H W, C]`, scale `[C]`, shift `[C]`, y `[H W, C]`.
pub fn normalise(u: &NormaliseUniforms, bindings: &mut [Vec<f32>]) {
    let [x, scale, shift, y] = bindings else { return };
    let [height, width, channels] = [u.height, u.width, u.channels].map(|n| n as usize);
    for at in 0..height * width * channels {
        let [x, scale, shift] = [x[at], scale[at % channels], shift[at % channels]].map(f64::from);
        let mut value = x * scale + shift;
        if u.adds == 1 {
            value += f64::from(y[at]);
        }
        y[at] = if u.relu == 1 { value.max(0.0) } else { value } as f32;
    }
}

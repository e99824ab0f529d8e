//! Twin of `shaders/probe_copy.wgsl`.

use crate::engine::kernels::ProbeCopyUniforms;

/// y = a x, both `[V]` vectors of four values.
pub fn probe_copy(u: &ProbeCopyUniforms, bindings: &mut [Vec<f32>]) {
    let [x, y] = bindings else { return };
    for (x, y) in x.iter().zip(y.iter_mut()).take(4 * u.count as usize) {
        *y = u.a * x;
    }
}

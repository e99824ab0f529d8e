//! Twin of `shaders/probe_fma.wgsl`.

use crate::engine::kernels::ProbeFmaUniforms;

/// Eight chains x = x a + b from x `[T]` on, four steps a turn; y `[T]` is their sum.
pub fn probe_fma(u: &ProbeFmaUniforms, bindings: &mut [Vec<f32>]) {
    let [x, y] = bindings else { return };
    for (x, y) in x.iter().zip(y.iter_mut()).take(u.threads as usize) {
        let chain = |start: f64| (0..4 * u.steps).fold(start, |x, _| x * f64::from(u.a) + f64::from(u.b));
        *y = (0..8).map(|i| chain(f64::from(*x) + f64::from(i))).sum::<f64>() as f32;
    }
}

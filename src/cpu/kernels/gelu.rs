//! Exact GELU and its gradient (Hendrycks and Gimpel, 2016).

#[cfg(feature = "autodiff")]
use super::lanes::exp;
use super::lanes::{erf, vectorised};

/// `x` becomes `x P(x)` with the normal distribution function `P`.
pub(crate) fn forward(x: &mut [f32]) {
    vectorised(|| {
        for x in x {
            *x *= distribution(*x);
        }
    });
}

/// `dx = dy (P(x) + x p(x))` with the normal density `p`.
#[cfg(feature = "autodiff")]
pub(crate) fn backward(x: &[f32], dy: &[f32]) -> Vec<f32> {
    let mut dx = vec![0.0; x.len()];
    vectorised(|| {
        for ((dx, &x), &dy) in dx.iter_mut().zip(x).zip(dy) {
            let density = 0.398_942_3 * exp(-0.5 * x * x);
            *dx = dy * (distribution(x) + x * density);
        }
    });
    dx
}

#[inline(always)]
fn distribution(x: f32) -> f32 {
    0.5 + 0.5 * erf(x * std::f32::consts::FRAC_1_SQRT_2)
}

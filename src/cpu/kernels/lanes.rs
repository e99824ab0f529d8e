//! Arithmetic that the compiler turns into vectors: no branches, no calls, sums in sixteen lanes.
//!
//! `vectorised` compiles a kernel for each vector width that the processor may have and picks at run time; in the
//! browser there is one width, chosen when the module is built.

/// Partial sums kept side by side: enough for AVX-512, and a fixed order of additions on every machine.
const LANES: usize = 16;

/// Runs `kernel` with the widest vectors of this processor.
#[inline(always)]
pub(crate) fn vectorised<R>(kernel: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(kernel)
}

/// `e^x` within 2 units in the last place (Cephes' polynomial); 0 below -87, NaN stays NaN.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Adding 1.5 * 2^23 rounds to the nearest integer and leaves it in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let bounded = if x > 88.0 { 88.0 } else { x };
    let shifted = bounded * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = bounded - n * 0.693_359_4 - n * -2.121_944_4e-4;
    let mut p = 1.987_569_2e-4;
    p = p * r + 1.398_2e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let mantissa = p * r * r + r + 1.0;
    let exponent = (shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127)) << 23;
    let value = mantissa * f32::from_bits(exponent);
    if x < -87.0 { 0.0 } else { value }
}

/// The error function within 1.5 units in the last place (N. Juffa's two minimax polynomials, as in
/// `shaders/shared/erf.wgsl`).
#[inline(always)]
pub(crate) fn erf(a: f32) -> f32 {
    let (t, s) = (a.abs(), a * a);
    let mut far = -1.728_534_7e-5 * t + 3.831_972e-4;
    let odd = -3.883_964_4e-3 * t + 2.425_462_2e-2;
    far = far * s + odd;
    far = far * t - 1.067_778_8e-1;
    far = far * t - 6.348_468_7e-1;
    far = far * t - 1.287_175_1e-1;
    far = far * t - t;
    let far = (1.0 - exp(far)).copysign(a);
    let mut near = -5.967_617e-4;
    near = near * s + 4.991_194_2e-3;
    near = near * s - 2.676_813_5e-2;
    near = near * s + 1.128_199_25e-1;
    near = near * s - 3.761_253_4e-1;
    near = near * s + 1.283_791_7e-1;
    let near = near * a + a;
    if t > 0.927_734_4 { far } else { near }
}

/// Sum of `term(a, b)` over the pairs of two rows of equal length.
#[inline(always)]
pub(crate) fn sum_of(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let (a_lanes, a_rest) = a.as_chunks::<LANES>();
    let (b_lanes, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0f32; LANES];
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for i in 0..LANES {
            sums[i] += term(a[i], b[i]);
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(&a, &b)| term(a, b)).sum();
    sums.iter().sum::<f32>() + rest
}

/// Sum of a row.
#[inline(always)]
pub(crate) fn sum(row: &[f32]) -> f32 {
    sum_of(row, row, |a, _| a)
}

/// Largest value of a row; negative infinity for an empty one. NaN is passed over: the sum that follows finds it.
#[inline(always)]
pub(crate) fn maximum(row: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let (lanes, rest) = row.as_chunks::<LANES>();
    let mut most = [f32::NEG_INFINITY; LANES];
    for lane in lanes {
        for i in 0..LANES {
            most[i] = larger(most[i], lane[i]);
        }
    }
    rest.iter().chain(&most).copied().fold(f32::NEG_INFINITY, larger)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_exact_to_a_few_units() {
        for i in -86_900..88_000 {
            let x = i as f32 * 0.001;
            let truth = f64::from(x).exp();
            assert!((f64::from(exp(x)) - truth).abs() <= 3e-7 * truth, "exp({x}) = {}", exp(x));
        }
        assert!(exp(f32::NAN).is_nan() && exp(-1e9) == 0.0 && exp(f32::NEG_INFINITY) == 0.0 && exp(0.0) == 1.0);
    }

    #[test]
    fn erf_matches_known_values() {
        // Abramowitz and Stegun, table 7.1.
        let table = [(0.0, 0.0), (0.1, 0.112_462_92), (0.5, 0.520_499_9), (1.0, 0.842_700_8), (2.0, 0.995_322_3)];
        for (x, y) in table {
            assert!((erf(x) - y).abs() < 2e-7 && (erf(-x) + y).abs() < 2e-7, "erf({x}) = {}", erf(x));
        }
        assert!(erf(9.0) == 1.0 && erf(-9.0) == -1.0 && erf(f32::NAN).is_nan());
    }

    #[test]
    fn rows_of_any_length_are_summed_whole() {
        for count in [0, 1, 15, 16, 17, 197] {
            let row: Vec<f32> = (0..count).map(|i| i as f32 - 5.0).collect();
            assert_eq!(sum(&row), row.iter().sum::<f32>());
            assert_eq!(maximum(&row), row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        }
    }
}

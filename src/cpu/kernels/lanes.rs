//! Arithmetic that the compiler turns into vectors: no branches, no calls, sums in sixteen lanes.
//!
//! `vectorised` compiles a kernel for each vector width that the processor may have and picks at run time; in the
//! browser there is one width.

/// Partial sums kept side by side: enough for AVX-512, and a fixed order of additions on every machine.
const LANES: usize = 16;

/// Runs `kernel` with the widest vectors of this processor.
#[inline(always)]
pub(crate) fn vectorised<R>(kernel: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "wasm32")]
    return kernel();
    #[cfg(not(target_arch = "wasm32"))]
    pulp::Arch::new().dispatch(kernel)
}

/// `yes` or `no`, both of which are there: of an `if` LLVM may make a branch, and then it leaves the loop scalar.
#[inline(always)]
fn chosen(condition: bool, yes: f32, no: f32) -> f32 {
    let mask = u32::from(condition).wrapping_neg();
    f32::from_bits((yes.to_bits() & mask) | (no.to_bits() & !mask))
}

/// `e^x` within 2 units in the last place (Cephes' polynomial); 0 below -87, NaN stays NaN.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Adding 1.5 * 2^23 rounds to the nearest integer and leaves it in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let bounded = chosen(x > 88.0, 88.0, x);
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
    chosen(x < -87.0, 0.0, value)
}

/// The error function within 5e-7: a quotient of two polynomials on `[-4, 4]`, beyond which it is 1 in `f32` (the minimax
/// coefficients of Eigen's and XLA's `erf` for `f32`). A third of the work of the two polynomials in
/// `shaders/shared/erf.wgsl`, one of which needs an `exp`.
#[inline(always)]
pub(crate) fn erf(a: f32) -> f32 {
    let x = chosen(a > 4.0, 4.0, chosen(a < -4.0, -4.0, a));
    let s = x * x;
    let mut over = -2.726_142_4e-10;
    over = over * s + 2.770_681_5e-8;
    over = over * s - 2.101_024e-6;
    over = over * s - 5.692_506_2e-5;
    over = over * s - 7.349_906_4e-4;
    over = over * s - 2.954_6e-3;
    over = over * s - 1.609_603_3e-2;
    let mut under = -1.456_607_15e-5;
    under = under * s - 2.133_740_5e-4;
    under = under * s - 1.682_827e-3;
    under = under * s - 7.373_329_3e-3;
    under = under * s - 1.426_473_9e-2;
    x * over / under
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
    fn erf_matches_its_series() {
        for i in 0..4000 {
            let x = i as f32 * 0.001;
            // Abramowitz and Stegun, 7.1.6: no cancellation.
            let square = f64::from(x).powi(2);
            let (mut term, mut sum) = (1.0, 1.0);
            for n in 1..120 {
                term *= 2.0 * square / f64::from(2 * n + 1);
                sum += term;
            }
            let y = std::f64::consts::FRAC_2_SQRT_PI * f64::from(x) * (-square).exp() * sum;
            let (above, below) = (f64::from(erf(x)), f64::from(erf(-x)));
            assert!((above - y).abs() < 5e-7 && (below + y).abs() < 5e-7, "erf({x}) = {above}, not {y}");
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

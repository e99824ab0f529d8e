//! The self-test: does a device give what the golden trace of the bundle says?
//!
//! Drivers compile our kernels, and some compile them wrongly: the result is finite, plausible and false. Every bundle
//! holds what the reference makes of one generated image, so that whoever runs the network can compare before it trusts.

use serde::Serialize;

use crate::answer::{Answer, order};
use crate::compare::reals;
use crate::tensors::{Precision, TensorError, TensorMap};

/// What f32 may differ from the reference, as relative norm. A right GPU stays below 1e-4 (WGSL lets `exp` err by a few
/// units in the last place); one kernel that is wrong anywhere gives more than 1e-2.
pub const TOLERANCE: f64 = 1e-3;

/// What may differ where the bundle holds its weights in `stored` and they lie on the device in `used`: [`TOLERANCE`], and
/// where they were rounded once more, about three times what that does to the logits of the shipped bundles (0.035 in eight
/// bits). A wrong kernel that does less than that is not found then.
pub fn tolerance(stored: Precision, used: Precision) -> f64 {
    match used {
        Precision::F32 => TOLERANCE,
        _ if used == stored => TOLERANCE,
        Precision::F16 => 1e-2,
        Precision::Int8 => 0.1,
    }
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SelfTest {
    /// Everything is near enough.
    pub passed: bool,
    /// What was allowed.
    pub tolerance: f64,
    /// Every result, in the order in which the network computes them: the first beyond the tolerance tells where to look.
    pub results: Vec<Checked>,
}

/// One result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Checked {
    /// Its name in the trace: "out.logits.sa".
    pub name: &'static str,
    /// Norm of the difference over the norm of the truth; infinite where shapes differ or a value is no number.
    pub difference: f64,
}

impl SelfTest {
    /// Compares an answer to the trace's image with the trace.
    ///
    /// # Errors
    /// [`TensorError`] for a trace that lacks a tensor (`bundle::check_trace` refuses it before).
    pub fn new(answer: &Answer, trace: &TensorMap, tolerance: f64) -> Result<Self, TensorError> {
        let mut results = Vec::new();
        let mut check = |name, found: &[f32]| -> Result<(), TensorError> {
            results.push(Checked { name, difference: reals(found, trace.reals(name)?).rel_norm });
            Ok(())
        };
        check("out.logits.sa", &answer.logits_sa)?;
        let (logits, rollout) = (trace.reals("out.logits.sa")?, trace.reals("out.rollout")?);
        let named = |logits: &[f32]| order(logits).first().copied();
        // A residual network's map, in which no class token has a share, is that of the class it names: where two of them tie, that
        // of the other one is as right.
        if rollout.first() != Some(&0.0) || named(&answer.logits_sa) == named(logits) {
            check("out.rollout", &answer.rollout)?;
        }
        if trace.get("out.selected").is_some() {
            let difference = selection(answer, trace)?;
            results.push(Checked { name: "out.selected", difference });
            // The second look depends on which patches it looks at: where two of them tie, another choice is as right.
            if difference <= tolerance && same_tokens(answer, trace)? {
                let mut check = |name, found: &[f32]| -> Result<(), TensorError> {
                    results.push(Checked { name, difference: reals(found, trace.reals(name)?).rel_norm });
                    Ok(())
                };
                check("out.logits.glca", &answer.logits_glca)?;
                check("out.probability", &answer.probability)?;
            }
        } else {
            results.push(Checked {
                name: "out.probability",
                difference: reals(&answer.probability, trace.reals("out.probability")?).rel_norm,
            });
        }
        // A NaN is not within any tolerance.
        let passed = results.iter().all(|result| result.difference <= tolerance);
        Ok(Self { passed, tolerance, results })
    }
}

/// By how much the true scores of the chosen patches differ from those of the patches that should have been chosen, over
/// the largest score: 0 for the same list, small where scores tie.
fn selection(answer: &Answer, trace: &TensorMap) -> Result<f64, TensorError> {
    let (truth, scores) = (trace.integers("out.selected")?, trace.reals("out.rollout")?);
    let score = |token: usize| scores.get(token).copied().map_or(f64::INFINITY, f64::from);
    let largest = scores.iter().skip(1).fold(f64::MIN_POSITIVE, |largest, &score| largest.max(f64::from(score)));
    if answer.selected.len() != truth.len() {
        return Ok(f64::INFINITY);
    }
    let differences = answer.selected.iter().zip(truth).map(|(&found, &truth)| {
        let truth = usize::try_from(truth).unwrap_or(usize::MAX);
        let found = found as usize;
        if found == truth { 0.0 } else { (score(found) - score(truth)).abs() / largest }
    });
    Ok(differences.fold(0.0, f64::max))
}

fn same_tokens(answer: &Answer, trace: &TensorMap) -> Result<bool, TensorError> {
    let truth = trace.integers("out.selected")?;
    Ok(truth.iter().all(|&token| answer.selected.contains(&token.cast_unsigned())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensors::Tensor;

    #[test]
    fn only_rounding_once_more_is_allowed_for() {
        let all = [Precision::F32, Precision::F16, Precision::Int8];
        for stored in all {
            assert_eq!([tolerance(stored, stored), tolerance(stored, Precision::F32)], [TOLERANCE; 2]);
        }
        assert!(tolerance(Precision::F32, Precision::F16) > TOLERANCE);
        // Bytes times their scale are no halves.
        assert!(tolerance(Precision::Int8, Precision::F16) > TOLERANCE);
        assert!(tolerance(Precision::F16, Precision::Int8) < 1.0);
    }

    fn trace() -> TensorMap {
        let mut trace = TensorMap::default();
        trace.insert("out.logits.sa", Tensor::f32([1, 2], vec![1.0, 2.0]));
        trace.insert("out.logits.glca", Tensor::f32([1, 2], vec![2.0, 1.0]));
        trace.insert("out.probability", Tensor::f32([1, 2], vec![0.5, 0.5]));
        trace.insert("out.rollout", Tensor::f32([1, 5], vec![0.4, 0.1, 0.2, 0.2, 0.1]));
        trace.insert("out.selected", Tensor::i32([1, 1], vec![2]));
        trace
    }

    fn answer() -> Answer {
        Answer {
            logits_sa: vec![1.0, 2.0],
            logits_glca: vec![2.0, 1.0],
            logits_mixed: Vec::new(),
            sa: vec![0.3, 0.7],
            glca: vec![0.7, 0.3],
            probability: vec![0.5, 0.5],
            rollout: vec![0.4, 0.1, 0.2, 0.2, 0.1],
            selected: vec![2],
            sampling: Vec::new(),
        }
    }

    fn test(answer: &Answer) -> SelfTest {
        SelfTest::new(answer, &trace(), TOLERANCE).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn what_the_trace_says_passes() {
        let test = test(&answer());
        assert!(test.passed, "{test:?}");
        assert_eq!(test.results.len(), 5);
    }

    #[test]
    fn the_first_result_that_is_off_is_the_first_that_fails() {
        let found = test(&Answer { rollout: vec![0.4, 0.11, 0.2, 0.2, 0.1], ..answer() });
        let first = found.results.iter().find(|result| result.difference > found.tolerance);
        assert_eq!((found.passed, first.map(|result| result.name)), (false, Some("out.rollout")));
        assert!(!test(&Answer { logits_sa: vec![f32::NAN, 2.0], ..answer() }).passed);
        assert!(!test(&Answer { selected: vec![1], ..answer() }).passed);
        assert!(!test(&Answer { selected: vec![99], ..answer() }).passed);
        assert!(!test(&Answer { selected: Vec::new(), ..answer() }).passed);
    }

    #[test]
    fn a_tie_may_be_chosen_otherwise() {
        // The other token of the tie gives another second look, which says nothing about the device.
        let found = test(&Answer { selected: vec![3], logits_glca: vec![9.0, 9.0], ..answer() });
        assert!(found.passed, "{found:?}");
    }

    #[test]
    fn a_residual_networks_map_is_that_of_the_class_it_names() {
        let mut truth = trace();
        for name in ["out.selected", "out.logits.glca"] {
            truth.remove(name);
        }
        truth.insert("out.logits.sa", Tensor::f32([1, 2], vec![2.0, 2.0001]));
        truth.insert("out.rollout", Tensor::f32([1, 5], vec![0.0, 0.5, 0.5, 0.0, 0.0]));
        let passed = |logits_sa: [f32; 2]| {
            let rollout = vec![0.0, 0.0, 0.0, 0.5, 0.5];
            let answer = Answer { logits_sa: logits_sa.into(), rollout, ..answer() };
            SelfTest::new(&answer, &truth, TOLERANCE).is_ok_and(|test| test.passed)
        };
        assert!(passed([2.0001, 2.0]), "the other class of a tie");
        assert!(!passed([2.0, 2.0001]), "another map of the same class");
        assert!(!passed([2.1, 2.0]), "no tie");
    }
}

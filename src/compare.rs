//! How far a computed trace is from the truth: the measure behind `finegrain verify` and the tests of both back ends.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::tensors::{TensorMap, Values};

/// Scores closer than this are a tie: floating point may order the local queries either way.
const TIE: f32 = 1e-5;

/// The distance of one tensor from the truth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Difference {
    /// Largest absolute difference of any element; infinite when shapes differ or a value is no number.
    pub max_abs: f64,
    /// Norm of the difference over the norm of the truth (over 1 where the truth is all zero).
    pub rel_norm: f64,
}

impl Difference {
    const NONE: Self = Self { max_abs: 0.0, rel_norm: 0.0 };
    const INFINITE: Self = Self { max_abs: f64::INFINITY, rel_norm: f64::INFINITY };

    /// What is held to a tolerance: the relative norm, and of coordinates (`out.*_coords`), which may all be near 0, the largest
    /// difference.
    pub fn judged(&self, name: &str) -> f64 {
        if name.ends_with("_coords") { self.max_abs } else { self.rel_norm }
    }
}

/// Compares every tensor of `truth` whose name starts with `prefix` and that `found` has too.
///
/// `out.selected` is a list of tokens, so its difference is 0 or infinite; another order of tokens whose true
/// `out.rollout` scores are closer than 1e-5 is no error.
pub fn compare(found: &TensorMap, truth: &TensorMap, prefix: &str) -> BTreeMap<String, Difference> {
    let mut differences = BTreeMap::new();
    for (name, expected) in truth.iter().filter(|(name, _)| name.starts_with(prefix)) {
        let Some(tensor) = found.get(name) else { continue };
        let difference = match (&tensor.values, &expected.values) {
            _ if tensor.shape != expected.shape => Difference::INFINITE,
            (Values::F32(a), Values::F32(b)) => reals(a, b),
            (Values::I32(a), Values::I32(b)) if same_selection(a, b, &expected.shape, truth) => Difference::NONE,
            _ => Difference::INFINITE,
        };
        differences.insert(name.to_owned(), difference);
    }
    differences
}

/// The distance of `found` from `truth`, element by element.
pub fn reals(found: &[f32], truth: &[f32]) -> Difference {
    if found.len() != truth.len() || found.iter().any(|v| !v.is_finite()) {
        return Difference::INFINITE;
    }
    let (mut max_abs, mut distance, mut norm) = (0.0f64, 0.0f64, 0.0f64);
    for (&a, &b) in found.iter().zip(truth) {
        let difference = (f64::from(a) - f64::from(b)).abs();
        max_abs = max_abs.max(difference);
        distance += difference * difference;
        norm += f64::from(b) * f64::from(b);
    }
    let norm = if norm > 0.0 { norm.sqrt() } else { 1.0 };
    Difference { max_abs, rel_norm: distance.sqrt() / norm }
}

/// Are both `[B, k]` lists of tokens the same, ties of the true rollout aside?
fn same_selection(found: &[i32], truth: &[i32], shape: &[usize], traced: &TensorMap) -> bool {
    let (Some(&k), Some(&batch)) = (shape.last(), shape.first()) else { return found == truth };
    let Ok(rollout) = traced.reals("out.rollout") else { return found == truth };
    if found == truth || k == 0 || batch == 0 {
        return found == truth;
    }
    let tokens = rollout.len() / batch;
    if tokens == 0 {
        return false;
    }
    found.chunks(k).zip(truth.chunks(k)).zip(rollout.chunks(tokens)).all(|((found, truth), scores)| {
        let unique: std::collections::BTreeSet<_> = found.iter().collect();
        let score = |token: i32| usize::try_from(token).ok().and_then(|t| scores.get(t)).copied();
        unique.len() == k
            && found
                .iter()
                .zip(truth)
                .all(|(&a, &b)| a == b || matches!((score(a), score(b)), (Some(a), Some(b)) if (a - b).abs() < TIE))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensors::Tensor;

    #[test]
    fn a_rollout_that_was_cut_selects_nothing() {
        let mut traced = TensorMap::default();
        traced.insert("out.rollout", Tensor::f32([1], vec![1.0]));
        assert!(!same_selection(&[1, 2, 3, 4], &[2, 1, 4, 3], &[2, 2], &traced));
    }

    #[test]
    fn distances_are_relative_to_the_truth() {
        let difference = reals(&[3.0, 4.5], &[3.0, 4.0]);
        assert_eq!((difference.max_abs, difference.rel_norm), (0.5, 0.1));
        assert_eq!(reals(&[f32::NAN], &[1.0]).rel_norm, f64::INFINITY);
        assert_eq!(reals(&[0.5], &[0.0]).rel_norm, 0.5);
        assert_eq!((difference.judged("out.structure"), difference.judged("out.structure_coords")), (0.1, 0.5));
    }

    #[test]
    fn only_ties_may_be_ordered_otherwise() {
        let mut truth = TensorMap::default();
        truth.insert("out.rollout", Tensor::f32([1, 4], vec![0.1, 0.3, 0.300001, 0.2]));
        truth.insert("out.selected", Tensor::i32([1, 2], vec![2, 1]));
        let found = |tokens: [i32; 2]| {
            let mut found = TensorMap::default();
            found.insert("out.selected", Tensor::i32([1, 2], tokens.to_vec()));
            compare(&found, &truth, "out.")["out.selected"].max_abs
        };
        assert_eq!(found([2, 1]), 0.0);
        assert_eq!(found([1, 2]), 0.0, "a tie");
        assert_eq!(found([2, 3]), f64::INFINITY);
        assert_eq!(found([2, 2]), f64::INFINITY, "a token twice");
    }
}

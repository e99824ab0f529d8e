//! Temperature and threshold, both from photos that were held out of training; test photos have no say.
//!
//! The temperature is that of Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2, fitted to
//! what the network answers: the mean of both branches' softmax, each at the temperature ([`Answer::calibrated`]).
//!
//! The threshold for "not recognised" keeps a stated share ([`KEPT`]) of the right answers: it is the highest value
//! that at least so many of the rightly named held-out photos reach with their calibrated probability. It says nothing
//! of photos that show none of the classes: no such photo is in a data set.

use finegrain::answer::{Answer, softmax};
use finegrain::bundle::Calibration;

use super::first;

/// The share of right answers that the threshold keeps.
pub const KEPT: f64 = 0.95;

/// The range in which a temperature is searched.
const RANGE: [f64; 2] = [0.05, 20.0];

/// Steps of the search's first, even look over the logarithm of the range.
const STEPS: usize = 24;

/// Mean negative log-likelihood of the right classes at a temperature, in nats; 0 without photos.
///
/// A probability of zero counts as the smallest positive one, so that one photo cannot make the mean infinite.
pub fn log_likelihood<'a>(answers: impl IntoIterator<Item = (&'a Answer, usize)>, temperature: f64) -> f64 {
    let (mut sum, mut photos) = (0.0, 0usize);
    for (answer, class) in answers {
        let of = |logits: &[f32]| softmax(logits, temperature).get(class).copied();
        let sa = of(&answer.logits_sa).unwrap_or(0.0);
        let p = of(&answer.logits_glca).map_or(sa, |glca| 0.5 * (sa + glca));
        let p = of(&answer.logits_mixed).unwrap_or(p);
        sum -= p.max(f64::MIN_POSITIVE).ln();
        photos += 1;
    }
    sum / photos.max(1) as f64
}

/// The temperature with the least negative log-likelihood, from 0.05 to 20; `None` where there is no such minimum inside
/// that range (no photos, or all of them named rightly however the logits are scaled).
///
/// An even look over `ln T` brackets the minimum (the likelihood of a mean of two softmaxes may have several), golden
/// section finds it to a relative 1e-6.
pub fn temperature(answers: &[(&Answer, usize)]) -> Option<f64> {
    let nll = |log: f64| log_likelihood(answers.iter().copied(), log.exp());
    if answers.is_empty() {
        return None;
    }
    let [low, high] = RANGE.map(f64::ln);
    let at = |step: usize| low + (high - low) * step as f64 / STEPS as f64;
    let looked: Vec<f64> = (0..=STEPS).map(|step| nll(at(step))).collect();
    let best = (0..=STEPS).min_by(|&a, &b| looked[a].total_cmp(&looked[b]))?;
    if best == 0 || best == STEPS {
        return None;
    }
    Some(golden_section(at(best - 1), at(best + 1), nll).exp())
}

/// Where `f` is least between `low` and `high`, to 1e-6.
fn golden_section(mut low: f64, mut high: f64, f: impl Fn(f64) -> f64) -> f64 {
    let ratio = (5f64.sqrt() - 1.0) / 2.0;
    let (mut left, mut right) = (high - ratio * (high - low), low + ratio * (high - low));
    let (mut at_left, mut at_right) = (f(left), f(right));
    while high - low > 1e-6 {
        if at_left <= at_right {
            (high, right, at_right) = (right, left, at_left);
            left = high - ratio * (high - low);
            at_left = f(left);
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = low + ratio * (high - low);
            at_right = f(right);
        }
    }
    0.5 * (low + high)
}

/// The threshold from the calibrated probabilities of the right answers: the highest value that at least `kept` of them
/// reach; 0 without any.
pub fn threshold(right: &[f32], kept: f64) -> f32 {
    let mut sorted = right.to_vec();
    sorted.sort_by(f32::total_cmp);
    // Rounded up: "at least" must hold. The tiny term keeps 0.95 * 20 at 19.
    let needed = (kept * sorted.len() as f64 - 1e-9).ceil().max(1.0) as usize;
    sorted.len().checked_sub(needed).and_then(|below| sorted.get(below)).copied().unwrap_or(0.0)
}

/// Temperature (1 where none can be fitted) and threshold from held-out photos; `None` without photos.
pub fn calibrate(answers: &[(&Answer, usize)]) -> Option<Calibration> {
    if answers.is_empty() {
        return None;
    }
    let temperature = temperature(answers).unwrap_or(1.0) as f32;
    let right: Vec<f32> = answers
        .iter()
        .filter_map(|&(answer, class)| {
            let probability = answer.calibrated(temperature);
            (first(&probability) == Some(class)).then(|| probability[class])
        })
        .collect();
    Some(Calibration { temperature, threshold: threshold(&right, KEPT), photos: answers.len() })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An answer with these logits, and what softmax makes of them.
    pub(in crate::measure) fn answer(sa: &[f32], glca: &[f32]) -> Answer {
        let plain = |logits: &[f32]| softmax(logits, 1.0).into_iter().map(|p| p as f32).collect::<Vec<_>>();
        let mut answer = Answer {
            logits_sa: sa.to_vec(),
            logits_glca: glca.to_vec(),
            logits_mixed: Vec::new(),
            sa: plain(sa),
            glca: plain(glca),
            probability: Vec::new(),
            rollout: Vec::new(),
            selected: Vec::new(),
            sampling: Vec::new(),
        };
        answer.probability = answer.calibrated(1.0);
        answer
    }

    fn borrowed(answers: &[(Answer, usize)]) -> Vec<(&Answer, usize)> {
        answers.iter().map(|(answer, class)| (answer, *class)).collect()
    }

    #[test]
    fn the_temperature_is_what_is_worked_out_by_hand() {
        // Two classes, logits [l, 0], three of four right: the likelihood is best where softmax says 3/4, that is
        // exp(l / T) = 3, T = l / ln 3.
        for logit in [0.3f32, 4.0, 9.0] {
            let answers: Vec<_> = [0, 0, 1, 0].map(|class| (answer(&[logit, 0.0], &[]), class)).into();
            let expected = f64::from(logit) / 3f64.ln();
            let found = temperature(&borrowed(&answers)).unwrap();
            assert!((found / expected - 1.0).abs() < 1e-5, "{found} {expected}");
            // -(3 ln 3/4 + ln 1/4) / 4
            let nll = -(3.0 * 0.75f64.ln() + 0.25f64.ln()) / 4.0;
            assert!((log_likelihood(borrowed(&answers), found) - nll).abs() < 1e-9);
        }
    }

    #[test]
    fn both_branches_share_one_temperature() {
        // SA says [l, 0], GLCA [0, 0] (1/2 at every temperature): the mean is 5/8 where softmax(SA) is 3/4. Five of
        // eight right ask for exactly that: T = l / ln 3 again.
        let answers: Vec<_> = (0..8).map(|i| (answer(&[5.0, 0.0], &[0.0, 0.0]), usize::from(i >= 5))).collect();
        let found = temperature(&borrowed(&answers)).unwrap();
        assert!((found * 3f64.ln() / 5.0 - 1.0).abs() < 1e-5, "{found}");
    }

    #[test]
    fn a_temperature_that_cannot_be_fitted_is_none() {
        assert_eq!(temperature(&[]), None);
        assert_eq!(temperature(&[(&answer(&[2.0, 0.0], &[]), 0)]), None, "the smaller the better");
        assert_eq!(temperature(&[(&answer(&[2.0, 0.0], &[]), 1)]), None, "the larger the better");
        assert_eq!(calibrate(&[]), None);
        let calibration = calibrate(&[(&answer(&[9f32.ln(), 0.0], &[]), 0)]).unwrap();
        assert_eq!((calibration.temperature, calibration.photos), (1.0, 1));
        assert!((calibration.threshold - 0.9).abs() < 1e-6);
    }

    #[test]
    fn the_fitted_temperature_is_the_least_of_all() {
        let answers: Vec<_> = (0..40)
            .map(|i| {
                // Three of four lean towards the right class.
                let lean = |k: usize| if i % 4 > 0 && k % 3 == i % 3 { 8.0 } else { 0.0 };
                let at = |k: usize| lean(k) + ((i * 7 + k * 13) % 11) as f32 - 3.0;
                (answer(&[at(0), at(1), at(2)], &[at(3), at(4), at(5)]), i % 3)
            })
            .collect();
        let best = temperature(&borrowed(&answers)).unwrap();
        let least = log_likelihood(borrowed(&answers), best);
        for step in 1..400 {
            assert!(log_likelihood(borrowed(&answers), 0.05 * f64::from(step)) >= least - 1e-12);
        }
    }

    #[test]
    fn the_threshold_keeps_its_share() {
        let right: Vec<f32> = (1..=20).rev().map(|i| i as f32 / 20.0).collect();
        // 95 % of 20 are 19: only the lowest, 0.05, may fall.
        assert_eq!(threshold(&right, 0.95), 0.1);
        assert_eq!(threshold(&right, 0.94), 0.1, "18.8 are 19 photos");
        assert_eq!(threshold(&right, 0.9), 0.15);
        assert_eq!(threshold(&right, 1.0), 0.05);
        assert_eq!(threshold(&[0.3, 0.8], 0.95), 0.3, "of two, both stay");
        assert_eq!(threshold(&[], 0.95), 0.0);
    }
}

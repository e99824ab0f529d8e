//! Everything that is measured on a list of photos with known classes.

use finegrain::answer::Answer;
use finegrain::bundle::Calibration;
use serde::{Deserialize, Serialize};

use super::calibration::log_likelihood;
use super::{Bin, Confused, Confusion, Reliability, Score, Scores, first};

/// Most confused pairs that are listed.
const PAIRS: usize = 30;

/// The measures of a list of photos.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Photos that were measured.
    pub photos: usize,
    /// The answer: the mean of both branches.
    pub answer: Score,
    /// SA alone.
    pub sa: Score,
    /// GLCA alone, where the network has it.
    pub glca: Option<Score>,
    /// Mean negative log-likelihood of the right classes, in nats, of the answer without a temperature.
    pub nll: f64,
    /// Expected calibration error of the answer without a temperature.
    pub ece: f64,
    /// Its bins.
    pub reliability: Vec<Bin>,
    /// The same with the temperature, and what the threshold does; where there is a calibration.
    pub calibrated: Option<Calibrated>,
    /// `[rightly named, photos]` of each class, by the answer without a temperature.
    pub per_class: Vec<[usize; 2]>,
    /// The most confused pairs, at most 30; places are those in the list that was measured.
    pub confused: Vec<Confused>,
    /// Photos that could not be used.
    pub skipped: Vec<Skipped>,
}

/// Measures of the calibrated answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibrated {
    /// The answer at the temperature; where the branches disagree it may differ from the one without.
    pub answer: Score,
    /// Mean negative log-likelihood, in nats.
    pub nll: f64,
    /// Expected calibration error.
    pub ece: f64,
    /// Its bins.
    pub reliability: Vec<Bin>,
    /// Share of the photos that are recognised: their highest probability reaches the threshold.
    pub recognised: f64,
    /// Share of the recognised photos that were named rightly.
    pub recognised_right: f64,
    /// Share of the right answers that are kept by the threshold.
    pub kept: f64,
}

/// A photo that could not be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Its place in the list.
    pub place: usize,
    /// What is wrong with it.
    pub reason: String,
}

/// Counts photos, one after the other.
#[derive(Debug, Clone)]
pub struct Tally {
    calibration: Option<Calibration>,
    scores: Scores,
    confusion: Confusion,
    plain: Part,
    calibrated: Part,
    calibrated_scores: Scores,
    recognised: usize,
    recognised_right: usize,
    skipped: Vec<Skipped>,
}

#[derive(Debug, Clone, Default)]
struct Part {
    reliability: Reliability,
    nll: f64,
}

impl Tally {
    /// Nothing counted yet, for a network with `classes` classes.
    pub fn new(classes: usize, calibration: Option<Calibration>) -> Self {
        Self {
            calibration,
            scores: Scores::default(),
            confusion: Confusion::new(classes),
            plain: Part::default(),
            calibrated: Part::default(),
            calibrated_scores: Scores::default(),
            recognised: 0,
            recognised_right: 0,
            skipped: Vec::new(),
        }
    }

    /// Counts the photo at `place` in its list, whose right class is `class`.
    pub fn add(&mut self, place: usize, answer: &Answer, class: usize) {
        let Some(named) = first(&answer.probability) else { return };
        self.scores.add(answer, class);
        self.confusion.add(place, class, named);
        self.plain.add(answer, 1.0, answer.probability[named], class, named);
        let Some(calibration) = self.calibration else { return };
        let probability = answer.calibrated(calibration.temperature);
        let Some(named) = first(&probability) else { return };
        let confidence = probability[named];
        self.calibrated.add(answer, f64::from(calibration.temperature), confidence, class, named);
        self.calibrated_scores.add_answer(&probability, class);
        if confidence >= calibration.threshold {
            self.recognised += 1;
            self.recognised_right += usize::from(named == class);
        }
    }

    /// Notes a photo that could not be used.
    pub fn skip(&mut self, place: usize, reason: String) {
        self.skipped.push(Skipped { place, reason });
    }

    /// How many photos were counted.
    pub fn photos(&self) -> usize {
        self.scores.images()
    }

    /// Accuracy of the answer so far.
    pub fn score(&self) -> Score {
        self.scores.answer()
    }

    /// The measures of what was counted.
    pub fn measured(self) -> Measured {
        let photos = self.scores.images();
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let (all, recognised) = (photos as f64, self.recognised as f64);
        let calibrated = self.calibration.map(|_| {
            let answer = self.calibrated_scores.answer();
            Calibrated {
                answer,
                nll: share(self.calibrated.nll, all),
                ece: self.calibrated.reliability.ece(),
                reliability: self.calibrated.reliability.bins(),
                recognised: share(recognised, all),
                recognised_right: share(self.recognised_right as f64, recognised),
                kept: share(self.recognised_right as f64, (answer.top1 * all).round()),
            }
        });
        Measured {
            photos,
            answer: self.scores.answer(),
            sa: self.scores.sa(),
            glca: self.scores.glca(),
            nll: share(self.plain.nll, all),
            ece: self.plain.reliability.ece(),
            reliability: self.plain.reliability.bins(),
            calibrated,
            per_class: self.confusion.per_class(),
            confused: self.confusion.most_confused(PAIRS),
            skipped: self.skipped,
        }
    }
}

impl Part {
    fn add(&mut self, answer: &Answer, temperature: f64, confidence: f32, class: usize, named: usize) {
        self.reliability.add(confidence, class == named);
        self.nll += log_likelihood([(answer, class)], temperature);
    }
}

#[cfg(test)]
mod tests {
    use super::super::calibration::tests::answer;
    use super::*;

    #[test]
    fn a_list_is_measured_by_hand() {
        // Highest probabilities 0.9 (right), 0.9 (wrong), 0.5 (right, a tie that the first class wins); at temperature
        // 2 they are 0.75, 0.75 and 0.5.
        let ninth = 9f32.ln();
        let calibration = Calibration { temperature: 2.0, threshold: 0.6, photos: 9 };
        let mut tally = Tally::new(2, Some(calibration));
        tally.add(0, &answer(&[ninth, 0.0], &[]), 0);
        tally.skip(1, "broken".into());
        tally.add(2, &answer(&[0.0, ninth], &[]), 0);
        tally.add(3, &answer(&[0.0, 0.0], &[]), 0);
        let measured = tally.measured();
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a} {b}");
        assert_eq!((measured.photos, measured.glca, measured.skipped.len()), (3, None, 1));
        near(measured.answer.top1, 2.0 / 3.0);
        // Bin of 0.9: two photos, one right, |1 - 1.8|; bin of 0.5: one, right, |1 - 0.5|.
        near(measured.ece, (0.8 + 0.5) / 3.0);
        near(measured.nll, -(0.9f64.ln() + 0.1f64.ln() + 0.5f64.ln()) / 3.0);
        assert_eq!(measured.per_class, [[2, 3], [0, 0]]);
        let confused = &measured.confused[..];
        assert_eq!(confused, [Confused { right: 0, named: 1, photos: 1, examples: vec![2] }]);
        let calibrated = measured.calibrated.unwrap();
        near(calibrated.ece, (0.5 + 0.5) / 3.0);
        near(calibrated.nll, -(0.75f64.ln() + 0.25f64.ln() + 0.5f64.ln()) / 3.0);
        near(calibrated.recognised, 2.0 / 3.0);
        near(calibrated.recognised_right, 0.5);
        near(calibrated.kept, 0.5);
        near(calibrated.answer.top1, 2.0 / 3.0);
    }

    #[test]
    fn nothing_measured_is_no_division_by_zero() {
        let measured = Tally::new(3, None).measured();
        assert_eq!((measured.photos, measured.ece, measured.nll), (0, 0.0, 0.0));
        assert_eq!(measured.calibrated, None);
    }
}

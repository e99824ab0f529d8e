//! How far confidence is from accuracy: reliability bins and the expected calibration error of Guo et al., "On
//! Calibration of Modern Neural Networks", ICML 2017, section 2.

use serde::{Deserialize, Serialize};

/// Bins of equal width over 0 to 1, as in the paper's experiments.
pub const BINS: usize = 15;

/// One bin: the photos whose highest probability lies in `(m / 15, (m + 1) / 15]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Photos in it.
    pub photos: usize,
    /// Their mean highest probability; 0 without photos.
    pub confidence: f64,
    /// Share of them that was named rightly; 0 without photos.
    pub accuracy: f64,
}

/// Sums for the bins.
#[derive(Debug, Clone, Default)]
pub struct Reliability {
    bins: [Sums; BINS],
}

#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    photos: usize,
    confidence: f64,
    right: usize,
}

impl Reliability {
    /// Counts a photo: its highest probability, and whether that class was the right one.
    pub fn add(&mut self, confidence: f32, right: bool) {
        let confidence = f64::from(confidence).clamp(0.0, 1.0);
        // A bin holds its upper end: 1 belongs to the last one, and 0 (which no softmax gives) to the first.
        let bin = ((confidence * BINS as f64).ceil() as usize).saturating_sub(1).min(BINS - 1);
        let sums = &mut self.bins[bin];
        sums.photos += 1;
        sums.confidence += confidence;
        sums.right += usize::from(right);
    }

    /// The bins, from the least confident.
    pub fn bins(&self) -> Vec<Bin> {
        let share = |part: f64, photos: usize| if photos == 0 { 0.0 } else { part / photos as f64 };
        let bin = |sums: &Sums| Bin {
            photos: sums.photos,
            confidence: share(sums.confidence, sums.photos),
            accuracy: share(sums.right as f64, sums.photos),
        };
        self.bins.iter().map(bin).collect()
    }

    /// Expected calibration error, 0 to 1: the bins' distances between accuracy and confidence, weighted by how many
    /// photos they hold. 0 without photos.
    pub fn ece(&self) -> f64 {
        let photos: usize = self.bins.iter().map(|sums| sums.photos).sum();
        let apart: f64 = self.bins.iter().map(|sums| (sums.right as f64 - sums.confidence).abs()).sum();
        if photos == 0 { 0.0 } else { apart / photos as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_what_is_worked_out_by_hand() {
        // Bin 9 is (0.6, 0.667]: two photos with 0.62 and 0.66, one right: |1 - 1.28| = 0.28.
        // Bin 14 is (0.933, 1]: three photos with 0.95, 0.95 and 1, all right: |3 - 2.9| = 0.1. ECE = 0.38 / 5 = 0.076.
        let mut reliability = Reliability::default();
        for (confidence, right) in [(0.62, true), (0.66, false), (0.95, true), (0.95, true), (1.0, true)] {
            reliability.add(confidence, right);
        }
        assert!((reliability.ece() - 0.076).abs() < 1e-7, "{}", reliability.ece());
        let bins = reliability.bins();
        assert_eq!(bins.len(), 15);
        assert_eq!((bins[9].photos, bins[14].photos), (2, 3));
        assert!((bins[9].confidence - 0.64).abs() < 1e-7 && bins[9].accuracy == 0.5);
        assert!((bins[14].confidence - 2.9 / 3.0).abs() < 1e-7 && bins[14].accuracy == 1.0);
        assert_eq!(bins.iter().map(|bin| bin.photos).sum::<usize>(), 5);
    }

    #[test]
    fn a_bin_holds_its_upper_end() {
        let bin = |confidence| {
            let mut reliability = Reliability::default();
            reliability.add(confidence, true);
            reliability.bins().iter().position(|bin| bin.photos == 1)
        };
        assert_eq!([bin(0.0), bin(1e-6), bin(0.5), bin(0.7), bin(1.0)].map(Option::unwrap), [0, 0, 7, 10, 14]);
    }

    #[test]
    fn confidence_that_is_kept_has_no_error() {
        let mut reliability = Reliability::default();
        // Four photos at 0.75, three of them right.
        for right in [true, true, false, true] {
            reliability.add(0.75, right);
        }
        assert_eq!(reliability.ece(), 0.0);
        assert_eq!(Reliability::default().ece(), 0.0);
    }
}

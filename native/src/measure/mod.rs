//! What a network is worth: accuracy, confusion, calibration, and the ranking measures of re-identification.
//!
//! Everything but [`Pass`] is plain arithmetic on slices. A probability vector is `[classes]`; a tie goes to the class
//! that comes first, as in [`finegrain::answer::top`].

mod calibration;
mod coarser;
mod confusion;
mod exit;
mod measured;
mod pass;
mod paste;
mod reid;
mod reliability;
mod retrieval;
mod run;
mod score;
mod views;
mod zoom;

pub use calibration::{KEPT, calibrate, log_likelihood, temperature, threshold};
pub use coarser::{CoarserScore, CoarserTally};
pub use confusion::{Confused, Confusion};
pub use exit::{Exited, Exits};
pub use measured::{Calibrated, Measured, Skipped, Tally};
pub use pass::{Named, Pass};
pub use paste::paste;
pub use reid::{Distances, Features, FeaturesError, Metric, Photos, Ranking, Rerank, distances, numbers, rank, rerank};
pub use reliability::{BINS, Bin, Reliability};
pub use retrieval::{Branches, Retrieval, retrieve};
pub use run::{Measures, of_run, of_task};
pub use score::{Score, Scores};
pub use views::Views;
pub use zoom::{Zoom, Zoomed};

/// The most probable class; `None` for an empty slice. Ties go to the class that comes first.
pub fn first(probability: &[f32]) -> Option<usize> {
    let mut best: Option<usize> = None;
    for (class, p) in probability.iter().enumerate() {
        if best.is_none_or(|best| *p > probability[best]) {
            best = Some(class);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_first_of_equals_wins() {
        assert_eq!(super::first(&[0.1, 0.4, 0.4, 0.1]), Some(1));
        assert_eq!(super::first(&[]), None);
    }
}

//! The learning rate over a run: linear warm-up, then half a cosine, one value per optimizer step.

/// Warm-up to `peak`, then cosine to `end`.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// Rate after warm-up.
    pub peak: f64,
    /// Rate of the last step.
    pub end: f64,
    /// Steps of warm-up.
    pub warmup: usize,
    /// Steps of the whole run.
    pub total: usize,
}

impl Schedule {
    /// The rate of step `step`, counted from 0.
    pub fn rate(&self, step: usize) -> f64 {
        if step < self.warmup {
            return self.peak * (step + 1) as f64 / self.warmup as f64;
        }
        let span = self.total.saturating_sub(self.warmup + 1).max(1) as f64;
        let position = ((step - self.warmup) as f64 / span).min(1.0);
        self.end + (self.peak - self.end) * 0.5 * (1.0 + (std::f64::consts::PI * position).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_climbs_to_the_peak_and_falls_to_the_end() {
        let schedule = Schedule { peak: 2e-4, end: 1e-6, warmup: 4, total: 105 };
        assert_eq!(schedule.rate(0), 0.5e-4);
        assert_eq!(schedule.rate(3), 2e-4);
        assert_eq!(schedule.rate(4), 2e-4);
        assert!((schedule.rate(54) - (2e-4 + 1e-6) / 2.0).abs() < 1e-12, "half-way down the cosine");
        assert!((schedule.rate(104) - 1e-6).abs() < 1e-12);
        assert!((schedule.rate(500) - 1e-6).abs() < 1e-12, "it does not climb again");
        assert!((4..104).all(|s| schedule.rate(s + 1) < schedule.rate(s)));
    }

    #[test]
    fn no_warm_up_and_a_single_step() {
        assert_eq!(Schedule { peak: 1.0, end: 0.0, warmup: 0, total: 1 }.rate(0), 1.0);
    }
}

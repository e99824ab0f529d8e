//! `log.jsonl` as curves. Lines and fields that are not known are passed over: the log may be of another version, and a
//! run that is writing it may be in the middle of a line.

use std::path::Path;

use serde_json::Value;

/// Points of a curve at most; longer ones are averaged.
const POINTS: usize = 300;

/// What the log says, each as `(step, value)`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct History {
    /// Total loss of each batch.
    pub(super) loss: Vec<(f64, f64)>,
    /// Learning rate of each step.
    pub(super) rate: Vec<(f64, f64)>,
    /// Mean loss of each epoch.
    pub(super) epoch_loss: Vec<(f64, f64)>,
    /// Accuracy on the augmented training photos of each epoch.
    pub(super) epoch_accuracy: Vec<(f64, f64)>,
    /// Accuracy on the held-out photos after each epoch.
    pub(super) held_out: Vec<(f64, f64)>,
    /// Mean negative log-likelihood of their classes.
    pub(super) held_out_loss: Vec<(f64, f64)>,
    /// The most memory that the process has held, in MiB.
    pub(super) peak_mib: Option<f64>,
    /// Mean share of the steps spent waiting for photos.
    pub(super) waiting: Option<f64>,
    /// Epoch of the last line, from 1; 0 before the first.
    pub(super) epoch: u64,
    /// Optimizer steps so far.
    pub(super) step: u64,
}

impl History {
    /// Reads a log; empty where there is none.
    pub(super) fn read(path: &Path) -> Self {
        Self::parse(&std::fs::read_to_string(path).unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let mut history = Self::default();
        let (mut waits, mut peaks) = (Vec::new(), Vec::new());
        for line in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            let Some(step) = line["step"].as_f64() else { continue };
            let note = |list: &mut Vec<(f64, f64)>, value: &Value| {
                if let Some(value) = value.as_f64().filter(|value| value.is_finite()) {
                    list.push((step, value));
                }
            };
            note(&mut history.loss, &line["loss"]);
            note(&mut history.rate, &line["lr"]);
            note(&mut waits, &line["waiting"]);
            note(&mut history.epoch_loss, &line["epoch_loss"]);
            note(&mut history.epoch_accuracy, &line["epoch_accuracy"]);
            note(&mut history.held_out, &line["held_out_top1"]);
            note(&mut history.held_out_loss, &line["held_out_loss"]);
            note(&mut peaks, &line["peak_mib"]);
            history.step = history.step.max(step as u64);
            history.epoch = history.epoch.max(line["epoch"].as_u64().unwrap_or(0));
        }
        history.loss = thinned(&history.loss);
        history.rate = thinned(&history.rate);
        history.peak_mib = peaks.last().map(|peak| peak.1);
        if !waits.is_empty() {
            history.waiting = Some(waits.iter().map(|wait| wait.1).sum::<f64>() / waits.len() as f64);
        }
        history
    }
}

/// Means of neighbours, so that at most [`POINTS`] are left.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let part = points.len().div_ceil(POINTS).max(1);
    let mean =
        |part: &[(f64, f64)], pick: fn(&(f64, f64)) -> f64| part.iter().map(pick).sum::<f64>() / part.len() as f64;
    points.chunks(part).map(|part| (mean(part, |p| p.0), mean(part, |p| p.1))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_read_whatever_else_is_in_it() {
        let history = History::parse(concat!(
            r#"{"step":1,"epoch":1,"loss":2.0,"lr":0.1,"waiting":0.25,"surprise":[1]}"#,
            "\nno json\n",
            r#"{"step":2,"epoch":1,"loss":1.0,"lr":0.2,"waiting":0.75}"#,
            "\n",
            r#"{"step":2,"epoch":1,"epoch_loss":1.5,"epoch_accuracy":0.5,"held_out_top1":0.25,"held_out_loss":3.0,"peak_mib":512.0}"#,
            "\n",
            r#"{"step":3,"epoch":2,"epoch_loss":0.5,"held_out_top1":0.75}"#,
            "\n",
            r#"{"step":4,"epoch":2,"loss":0."#,
        ));
        assert_eq!(history.loss, [(1.0, 2.0), (2.0, 1.0)]);
        assert_eq!(history.rate, [(1.0, 0.1), (2.0, 0.2)]);
        assert_eq!(history.epoch_loss, [(2.0, 1.5), (3.0, 0.5)]);
        assert_eq!(history.epoch_accuracy, [(2.0, 0.5)]);
        assert_eq!(history.held_out, [(2.0, 0.25), (3.0, 0.75)]);
        assert_eq!((history.held_out_loss, history.peak_mib), (vec![(2.0, 3.0)], Some(512.0)));
        assert_eq!((history.waiting, history.epoch, history.step), (Some(0.5), 2, 3));
        assert_eq!(History::parse(""), History::default());
    }

    #[test]
    fn long_curves_are_averaged() {
        let long: Vec<(f64, f64)> = (0..600).map(|i| (f64::from(i), f64::from(i % 2))).collect();
        let short = thinned(&long);
        assert_eq!((short.len(), short[0], short[299]), (300, (0.5, 0.5), (598.5, 0.5)));
        assert_eq!(thinned(&long[..5]), long[..5]);
    }
}

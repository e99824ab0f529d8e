//! What a run says while it runs: `log.jsonl` and the same as CSV, a bar on a terminal, plain lines elsewhere.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::checkpoint::Position;
use super::csv_log::CsvLog;
use crate::say::say;

/// Plain lines come this often.
const LINE_EVERY: Duration = Duration::from_secs(15);

/// One optimizer step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StepLine {
    /// Optimizer steps so far.
    pub step: usize,
    /// From 1.
    pub epoch: usize,
    /// Total loss of the batch.
    pub loss: f64,
    /// Cross-entropy of SA, GLCA, PWCA.
    pub parts: [f64; 3],
    /// Share of the batch that was named rightly.
    pub accuracy: f64,
    /// The body's learning rate.
    pub lr: f64,
    /// Global norm of the gradients before clipping.
    pub gradient_norm: f64,
    /// Photos a second, this step.
    pub images_per_second: f64,
    /// Share of the step spent waiting for the loader.
    pub waiting: f64,
}

/// One epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct EpochLine {
    /// Optimizer steps so far.
    pub step: usize,
    /// From 1.
    pub epoch: usize,
    /// Mean total loss.
    pub epoch_loss: f64,
    /// Mean cross-entropy of SA, GLCA, PWCA.
    pub epoch_parts: [f64; 3],
    /// Share of the augmented photos that were named rightly, before each update.
    pub epoch_accuracy: f64,
    /// Seconds of training so far.
    pub seconds: f64,
    /// Share of the held-out photos that was named rightly, where some are held out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out_top1: Option<f64>,
    /// Mean negative log-likelihood of their classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out_loss: Option<f64>,
    /// The most memory that the process has held so far, in MiB, where the system tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_mib: Option<f64>,
}

/// The log of a run.
pub(super) struct Log {
    file: File,
    csv: CsvLog,
    bar: Option<ProgressBar>,
    last_line: Option<Instant>,
    total_steps: usize,
    rate: Option<f64>,
}

impl Log {
    /// Opens `log.jsonl` and keeps what it says of the run up to `position` (a resumed run repeats what came later).
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn open(run: &Path, position: &Position, total_steps: usize) -> Result<Self> {
        let path = run.join("log.jsonl");
        let former = match std::fs::read(&path) {
            // A line that is damaged goes, the others stay.
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(|| format!("cannot read \"{}\"", path.display())),
        };
        let kept: String = former
            .lines()
            .filter(|line| {
                let Ok(value) = serde_json::from_str::<Value>(line) else { return false };
                let within = |key: &str, limit: usize| value[key].as_u64().is_some_and(|v| v as usize <= limit);
                let epoch_line = !value["epoch_loss"].is_null();
                if epoch_line { within("epoch", position.epoch) } else { within("step", position.step) }
            })
            .flat_map(|line| [line, "\n"])
            .collect();
        super::checkpoint::replace(&path, kept.as_bytes())?;
        let file = File::options().append(true).open(&path);
        let file = file.with_context(|| format!("cannot write \"{}\"", path.display()))?;
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total_steps as u64).with_position(position.step as u64);
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} steps, {eta} left, {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        let lines = kept.lines();
        let steps: Vec<StepLine> = lines.clone().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let epochs: Vec<EpochLine> = lines.filter_map(|line| serde_json::from_str(line).ok()).collect();
        let csv = CsvLog::open(run, &steps, &epochs)?;
        Ok(Self { file, csv, bar, last_line: None, total_steps, rate: None })
    }

    /// Notes a step.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn step(&mut self, line: &StepLine, batch: usize) -> Result<()> {
        self.write(line)?;
        self.csv.step(line)?;
        let seconds = batch as f64 / line.images_per_second;
        let rate = self.rate.map_or(seconds, |r| 0.9 * r + 0.1 * seconds);
        self.rate = Some(rate);
        let text = format!(
            "epoch {}, loss {:.3}, accuracy {:.1} %, {:.1} photos/s",
            line.epoch,
            line.loss,
            100.0 * line.accuracy,
            batch as f64 / rate
        );
        if let Some(bar) = &self.bar {
            bar.set_position(line.step as u64);
            bar.set_message(text);
        } else if self.last_line.is_none_or(|last| last.elapsed() >= LINE_EVERY) {
            let left = self.total_steps.saturating_sub(line.step) as f64 * rate / 60.0;
            self.say(&format!("step {}/{}, {text}, {left:.0} min left", line.step, self.total_steps));
            self.last_line = Some(Instant::now());
        }
        Ok(())
    }

    /// Notes an epoch.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn epoch(&mut self, line: &EpochLine) -> Result<()> {
        self.write(line)?;
        self.csv.epoch(line)?;
        let held_out = line
            .held_out_top1
            .zip(line.held_out_loss)
            .map(|(top1, loss)| format!("; held-out photos: accuracy {:.2} %, loss {loss:.4}", 100.0 * top1));
        self.say(&format!(
            "epoch {} done: loss {:.4} (SA {:.3}, GLCA {:.3}, PWCA {:.3}), accuracy {:.2} % on augmented training \
             photos{}",
            line.epoch,
            line.epoch_loss,
            line.epoch_parts[0],
            line.epoch_parts[1],
            line.epoch_parts[2],
            100.0 * line.epoch_accuracy,
            held_out.unwrap_or_default()
        ));
        Ok(())
    }

    /// A sentence for the person who watches.
    pub(super) fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => say(text),
        }
    }

    fn write(&mut self, line: &impl Serialize) -> Result<()> {
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        self.file.write_all(text.as_bytes()).context("cannot write the run's log.jsonl")
    }
}

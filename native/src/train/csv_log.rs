//! The log as tables for spreadsheets: `log.csv` (one line a step), `epochs.csv` (one line an epoch).

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use super::checkpoint::replace;
use super::log::{EpochLine, StepLine};

const STEPS: &str = "step,epoch,loss,loss_sa,loss_glca,loss_pwca,accuracy,lr,gradient_norm,images_per_second,waiting\n";
const EPOCHS: &str =
    "epoch,step,loss,loss_sa,loss_glca,loss_pwca,accuracy,seconds,held_out_top1,held_out_loss,peak_mib\n";

/// Both tables, open for more lines.
pub(super) struct CsvLog {
    steps: csv::Writer<File>,
    epochs: csv::Writer<File>,
}

impl CsvLog {
    /// Writes the tables anew with the lines so far.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn open(run: &Path, steps: &[StepLine], epochs: &[EpochLine]) -> Result<Self> {
        let start = |name: &str, head: &str| -> Result<csv::Writer<File>> {
            let path = run.join(name);
            replace(&path, head.as_bytes())?;
            let file = File::options().append(true).open(&path);
            let file = file.with_context(|| format!("cannot write \"{}\"", path.display()))?;
            Ok(csv::WriterBuilder::new().has_headers(false).from_writer(file))
        };
        let mut log = Self { steps: start("log.csv", STEPS)?, epochs: start("epochs.csv", EPOCHS)? };
        steps.iter().try_for_each(|line| serialize(&mut log.steps, line))?;
        epochs.iter().try_for_each(|line| serialize(&mut log.epochs, columns(line)))?;
        log.flush()?;
        Ok(log)
    }

    /// Adds a step.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn step(&mut self, line: &StepLine) -> Result<()> {
        serialize(&mut self.steps, line)?;
        self.flush()
    }

    /// Adds an epoch.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn epoch(&mut self, line: &EpochLine) -> Result<()> {
        serialize(&mut self.epochs, columns(line))?;
        self.flush()
    }

    fn flush(&mut self) -> Result<()> {
        self.steps.flush().and_then(|()| self.epochs.flush()).context("cannot write the run's CSV log")
    }
}

fn serialize(writer: &mut csv::Writer<File>, line: impl Serialize) -> Result<()> {
    writer.serialize(line).context("cannot write the run's CSV log")
}

/// An epoch's values in the order of [`EPOCHS`]; what is not there is an empty column.
fn columns(line: &EpochLine) -> impl Serialize + use<> {
    (
        (line.epoch, line.step, line.epoch_loss, line.epoch_parts, line.epoch_accuracy, line.seconds),
        (line.held_out_top1, line.held_out_loss, line.peak_mib),
    )
}

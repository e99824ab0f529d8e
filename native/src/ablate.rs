//! The ablation of DCAL: the same recipe without and with each of its two branches, over several seeds (paper, table 4).
//!
//! Each run is an ordinary training run in a folder of its own, so that it can be resumed, reported and exported like
//! any other, and so that an interrupted ablation goes on where it stopped.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use anyhow::{Context, Result, bail};
use finegrain::architecture::Mechanism;

use crate::report::Run;
use crate::report::ablation::{Row, Spread, measure, rows};
use crate::store;
use crate::train::{TrainOptions, recipe, train};

/// Name, GLCA, PWCA: the rows of the table.
const VARIANTS: [(&str, bool, bool); 4] =
    [("baseline", false, false), ("glca", true, false), ("pwca", false, true), ("dcal", true, true)];

/// The table as it stands.
#[derive(Debug, serde::Serialize)]
pub struct Ablation {
    /// A row for each variant that has a finished run.
    rows: Vec<Row>,
    /// What their values are: "top-1", or "mAP" in re-identification.
    measure: &'static str,
    /// Runs that have finished, and how many there will be.
    finished: usize,
    total: usize,
}

/// Trains every variant with every seed under `options.out`, in folders `<variant>-<seed>`; after each run the table is
/// written again as `table.md` and `table.csv`. Seeds come first, so that a part of the work is a fair table too. A run
/// that has finished is not repeated. `None` when it was stopped.
///
/// # Errors
/// A recipe whose mechanism is not DCAL, and those of [`train`].
pub fn ablate(options: &TrainOptions, seeds: &[u64], say: &dyn Fn(&str)) -> Result<Option<Ablation>> {
    let ratio = match recipe(&options.config, &options.set)?.model.mechanism {
        Mechanism::Dcal(dcal) => dcal.ratio,
        Mechanism::None => {
            bail!("the recipe's mechanism is \"none\": an ablation needs one with \"dcal\" and its ratio")
        }
        Mechanism::Tasn(_) => {
            bail!("the recipe's mechanism is \"tasn\": an ablation needs one with \"dcal\" and its ratio")
        }
        Mechanism::Rga(_) => {
            bail!("the recipe's mechanism is \"rga\": an ablation needs one with \"dcal\" and its ratio")
        }
    };
    let total = seeds.len() * VARIANTS.len();
    let mut done = Vec::new();
    for &seed in seeds {
        for (variant, glca, pwca) in VARIANTS {
            let out = options.out.join(format!("{variant}-{seed}"));
            if !out.join("run.json").exists() {
                say(&format!("run {} of {total}: {variant}, seed {seed}", done.len() + 1));
                let run = variant_options(options, &out, seed, (glca, pwca), ratio);
                if train(&run).with_context(|| format!("{variant}, seed {seed}"))?.is_none() {
                    return Ok(None);
                }
            }
            done.push(out);
            write(&options.out, &done, total)?;
            if options.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
        }
    }
    write(&options.out, &done, total).map(Some)
}

fn variant_options(
    options: &TrainOptions,
    out: &Path,
    seed: u64,
    (glca, pwca): (bool, bool),
    ratio: f64,
) -> TrainOptions {
    let mechanism = match (glca, pwca) {
        (false, false) => "{ name = \"none\" }".to_owned(),
        _ => format!("{{ name = \"dcal\", ratio = {ratio:?}, glca = {glca}, pwca = {pwca} }}"),
    };
    let mut set = options.set.clone();
    set.push(format!("model.mechanism={mechanism}"));
    set.push(format!("train.seed={seed}"));
    let resume = out.join("checkpoint").exists();
    TrainOptions { set, out: out.to_owned(), resume, ..options.clone() }
}

/// Reads the finished runs and writes the table.
fn write(folder: &Path, done: &[PathBuf], total: usize) -> Result<Ablation> {
    let runs = done.iter().map(|out| Run::read(out)).collect::<Result<Vec<_>>>()?;
    let runs: Vec<&Run> = runs.iter().collect();
    let ablation = Ablation { finished: done.len(), total, rows: rows(&runs), measure: measure(&runs) };
    store::replace(&folder.join("table.md"), ablation.markdown().as_bytes())?;
    store::replace(&folder.join("table.csv"), &ablation.csv()?)?;
    Ok(ablation)
}

impl Ablation {
    /// A Markdown table: mean and standard deviation over the seeds, in percent.
    pub fn markdown(&self) -> String {
        let mut text = format!("| | seeds | {} | SA alone | GLCA alone |\n|---|---|---|---|---|\n", self.measure);
        for row in &self.rows {
            let [answer, sa, glca] = [row.answer, row.sa, row.glca].map(percent);
            let seeds: Vec<String> = row.runs.iter().map(|(_, seed)| seed.to_string()).collect();
            // Writing into a string cannot fail.
            let _ = writeln!(text, "| {} | {} | {answer} | {sa} | {glca} |", row.mechanism, seeds.join(", "));
        }
        if self.finished < self.total {
            let _ = writeln!(text, "\n{} of {} runs have finished.", self.finished, self.total);
        }
        text
    }

    fn csv(&self) -> Result<Vec<u8>> {
        let mut table = csv::Writer::from_writer(Vec::new());
        table.write_record(["mechanism", "runs", "measure", "mean", "deviation"])?;
        for row in &self.rows {
            for (measure, spread) in [("answer", row.answer), ("sa", row.sa), ("glca", row.glca)] {
                let Some(Spread { mean, deviation }) = spread else { continue };
                let deviation = deviation.map_or_else(String::new, |d| d.to_string());
                let count = row.runs.len().to_string();
                table.write_record([&row.mechanism, &count, measure, &mean.to_string(), &deviation])?;
            }
        }
        Ok(table.into_inner()?)
    }
}

fn percent(spread: Option<Spread>) -> String {
    match spread {
        None => "".into(),
        Some(Spread { mean, deviation: None }) => format!("{:.2}", 100.0 * mean),
        Some(Spread { mean, deviation: Some(deviation) }) => format!("{:.2} ± {:.2}", 100.0 * mean, 100.0 * deviation),
    }
}

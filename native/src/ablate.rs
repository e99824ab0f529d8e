//! The same recipe with several mechanisms, over several seeds: the ablation of DCAL, without and with each of its two branches
//! (paper, table 4), or whatever else is named.
//!
//! Each run is an ordinary training run in a folder of its own, so that it can be resumed, reported and exported like
//! any other, and so that an interrupted ablation goes on where it stopped.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::Ordering;

use anyhow::{Context, Result, bail};
use finegrain::architecture::Mechanism;

use crate::report::Run;
use crate::report::ablation::{Row, Size, Spread, measure, rows};
use crate::store;
use crate::train::{TrainOptions, recipe, train};

/// A row of the table: the recipe with another mechanism.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// Its runs lie in folders `<name>-<seed>`.
    name: String,
    /// `model.mechanism`, as TOML.
    mechanism: String,
}

impl FromStr for Variant {
    type Err = String;

    /// `NAME={ name = "rga", ... }`.
    fn from_str(text: &str) -> Result<Self, String> {
        let fail = || format!("\"{text}\" is no variant: write NAME=MECHANISM, such as none={{ name = \"none\" }}");
        let (name, mechanism) = text.split_once('=').ok_or_else(fail)?;
        let (name, mechanism) = (name.trim(), mechanism.trim());
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
        if name.is_empty() || !name.chars().all(plain) || !mechanism.starts_with('{') {
            return Err(fail());
        }
        Ok(Self { name: name.to_owned(), mechanism: mechanism.to_owned() })
    }
}

/// The paper's: without and with each branch of DCAL.
fn branches(ratio: f64) -> Vec<Variant> {
    let none = "{ name = \"none\" }".to_owned();
    let dcal = |glca, pwca| format!("{{ name = \"dcal\", ratio = {ratio:?}, glca = {glca}, pwca = {pwca} }}");
    let variants =
        [("baseline", none), ("glca", dcal(true, false)), ("pwca", dcal(false, true)), ("dcal", dcal(true, true))];
    variants.map(|(name, mechanism)| Variant { name: name.to_owned(), mechanism }).to_vec()
}

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

/// Trains every variant (DCAL's branches where none is named) with every seed under `options.out`, in folders
/// `<variant>-<seed>`; after each run the table is written again as `table.md` and `table.csv`. Seeds come first, so that a part
/// of the work is a fair table too. A run that has finished is not repeated. `None` when it was stopped.
///
/// # Errors
/// No variant and a recipe whose mechanism is not DCAL, or DCAL with gates, two variants of one name, a variant that the recipe cannot have
/// (before anything is trained), and those of [`train`].
pub fn ablate(
    options: &TrainOptions,
    variants: &[Variant],
    seeds: &[u64],
    say: &dyn Fn(&str),
) -> Result<Option<Ablation>> {
    let variants = match (variants, recipe(&options.config, &options.set)?.model.mechanism) {
        ([], Mechanism::Dcal(dcal)) if dcal.gates.is_none() => branches(dcal.ratio),
        ([], Mechanism::Dcal(_)) => bail!(
            "the recipe's DCAL has RGA's gates beside it, with which PWCA does not go: name what to compare with --variant"
        ),
        ([], _) => bail!(
            "the recipe's mechanism is not \"dcal\", whose parts an ablation compares: give it one, or name what to compare \
             with --variant"
        ),
        (named, _) => named.to_vec(),
    };
    for (i, variant) in variants.iter().enumerate() {
        if variants[..i].iter().any(|other| other.name == variant.name) {
            bail!("two variants are called {}: give each a name of its own", variant.name);
        }
        let set = variant_options(options, &options.out, 0, variant).set;
        recipe(&options.config, &set).with_context(|| format!("variant {}", variant.name))?;
    }
    let total = seeds.len() * variants.len();
    let mut done = Vec::new();
    for &seed in seeds {
        for variant in &variants {
            let name = &variant.name;
            let out = options.out.join(format!("{name}-{seed}"));
            if !out.join("run.json").exists() {
                say(&format!("run {} of {total}: {name}, seed {seed}", done.len() + 1));
                let run = variant_options(options, &out, seed, variant);
                if train(&run).with_context(|| format!("{name}, seed {seed}"))?.is_none() {
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

fn variant_options(options: &TrainOptions, out: &Path, seed: u64, variant: &Variant) -> TrainOptions {
    let mut set = options.set.clone();
    set.push(format!("model.mechanism={}", variant.mechanism));
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
        let mut text = format!(
            "| | seeds | {} | SA alone | GLCA alone | parameters, 10^6 | operations a photo, 10^9 |\n\
             |---|---|---|---|---|---|---|\n",
            self.measure
        );
        for row in &self.rows {
            let [answer, sa, glca] = [row.answer, row.sa, row.glca].map(percent);
            let [parameters, operations] = Size::cells(row.size);
            let seeds: Vec<String> = row.runs.iter().map(|(_, seed)| seed.to_string()).collect();
            // Writing into a string cannot fail.
            let _ = writeln!(
                text,
                "| {} | {} | {answer} | {sa} | {glca} | {parameters} | {operations} |",
                row.mechanism,
                seeds.join(", ")
            );
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_is_a_name_and_a_mechanism() {
        let variant: Variant = "rga-2 = { name = \"rga\", after = [4] }".parse().unwrap();
        assert_eq!((variant.name.as_str(), variant.mechanism.as_str()), ("rga-2", "{ name = \"rga\", after = [4] }"));
        for text in ["", "rga", "={}", "../up={ name = \"none\" }", "none=none"] {
            assert!(text.parse::<Variant>().unwrap_err().contains("write NAME=MECHANISM"), "{text}");
        }
    }
}

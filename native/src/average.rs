//! The mean of several runs' weights: a greedy model soup (Wortsman et al., "Model soups: averaging weights of multiple fine-tuned
//! models improves accuracy without increasing inference time", ICML 2022, recipe 1), chosen by held-out photos alone.
//!
//! Runs that started from the same weights lie in one valley of the loss, so that their mean is a network as well, and often a better
//! one, at the price of one.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::Device;
use finegrain::model::Network;
use finegrain::tensors::{Precision, Tensor, TensorMap};
use serde::Serialize;

use crate::data::{Dataset, Sample, Task};
use crate::measure::{Measured, Pass, Views, of_run};
use crate::store;
use crate::train::{DeviceChoice, Ingredient, RunRecord, TestAccuracy};

/// The finished average, as `finegrain average --json` prints it.
#[derive(Debug, Serialize)]
pub struct Average {
    /// What became of each run, the best by itself first.
    pub ingredients: Vec<Ingredient>,
    /// Top-1 of the average on the held-out photos.
    pub held_out_top1: f64,
    /// Top-1 on the test photos, which had no say.
    pub test_top1: Option<f64>,
}

/// A run with its weights.
struct Candidate {
    run: PathBuf,
    record: RunRecord,
    weights: TensorMap,
    sha256: String,
    alone: Score,
}

/// What is chosen by: the share of the held-out photos that is named rightly, then the mean negative log-likelihood.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Score {
    top1: f64,
    nll: f64,
}

/// The device, and how a network is measured on it.
struct Bench {
    device: Device,
    workers: usize,
    held_out: Vec<Sample>,
}

/// Averages the weights of finished `runs` of one architecture into the run folder `out`: the best run by itself, and of the others
/// each, best first, with which the held-out photos are named no worse; with `all`, every one. `say` is told each decision.
///
/// Runs may have held out different shares: of one seed the smaller is a part of the larger ([`Dataset::hold_out`]), so photos that
/// the smallest holds out were seen by none.
///
/// # Errors
/// Fewer than two runs, runs that differ in architecture, classes, preprocessing or held-out photos, no held-out photos, a folder
/// `out` that holds something, or a full disk.
pub fn average(runs: &[PathBuf], data: &Path, out: &Path, all: bool, say: &dyn Fn(&str)) -> Result<Average> {
    ensure!(runs.len() > 1, "one run has no average: name two or more");
    let occupied = fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some());
    ensure!(!occupied, "\"{}\" holds something already: choose another folder for --out", out.display());
    let mut candidates: Vec<Candidate> = runs.iter().map(|run| Candidate::read(run)).collect::<Result<_>>()?;
    let [first, others @ ..] = &candidates[..] else { bail!("one run has no average: name two or more") };
    for other in others {
        first.check_beside(other)?;
    }
    let share = |candidate: &Candidate| candidate.record.training.recipe.data.held_out;
    let share = candidates.iter().map(share).fold(f64::INFINITY, f64::min);
    let dataset = photos(&first.record, share, data)?;
    fs::create_dir_all(out).with_context(|| format!("\"{}\" cannot be made", out.display()))?;
    let (device, name) = DeviceChoice::Auto.open()?;
    let workers = if name == "cpu" { std::thread::available_parallelism().map_or(1, usize::from) } else { 0 };
    let bench = Bench { device, workers, held_out: dataset.held_out.clone() };
    for candidate in &mut candidates {
        candidate.alone = bench.score(&candidate.record, &candidate.weights)?;
        say(&format!("{}: {}", candidate.run.display(), candidate.alone));
    }
    candidates.sort_by(|a, b| b.alone.order(&a.alone));

    let (mut kept, mut sum, mut best) = (vec![true], candidates[0].weights.clone(), candidates[0].alone);
    for candidate in &candidates[1..] {
        let with = add(&sum, &candidate.weights)?;
        let count = kept.iter().filter(|kept| **kept).count() + 1;
        let score = bench.score(&candidate.record, &divided(&with, count)?)?;
        let better = all || score.top1 >= best.top1;
        let verdict = if better { "taken in" } else { "left out" };
        say(&format!("with {}: {score}, {verdict}", candidate.run.display()));
        kept.push(better);
        if better {
            (sum, best) = (with, score);
        }
    }
    let weights = divided(&sum, kept.iter().filter(|kept| **kept).count())?;
    let mut record = candidates[0].record.clone();
    record.training.recipe.data.held_out = share;
    record.training.train_photos = dataset.train.len();
    record.training.held_out_photos = dataset.held_out.len();
    write(&bench, record, candidates.iter().zip(&kept), &weights, &dataset, out)
}

/// The data set with the photos held out that all runs held out.
fn photos(record: &RunRecord, share: f64, data: &Path) -> Result<Dataset> {
    match record.data_set(data, Some(share))? {
        Task::Classes(dataset) if !dataset.held_out.is_empty() => Ok(dataset),
        Task::Classes(_) => {
            bail!("the runs held no photos out, and nothing else may choose: train with data.held_out = 0.05, say")
        }
        Task::Identities(_) => bail!("runs of re-identification are not averaged: they hold no photos out"),
    }
}

/// Writes the run's folder: weights, recipe, provenance and measures.
fn write<'a>(
    bench: &Bench,
    mut record: RunRecord,
    candidates: impl Iterator<Item = (&'a Candidate, &'a bool)>,
    weights: &TensorMap,
    dataset: &Dataset,
    out: &Path,
) -> Result<Average> {
    let ingredients: Vec<Ingredient> = candidates.map(|(candidate, &kept)| candidate.ingredient(kept)).collect();
    let measures = bench.measured(&record, weights, |pass| of_run(pass, &dataset.held_out, &dataset.test))?;
    record.training.best = None;
    record.training.test_top1 = measures.test.as_ref().map(TestAccuracy::of);
    record.training.averaged = ingredients.clone();
    fs::create_dir_all(out).with_context(|| format!("\"{}\" cannot be made", out.display()))?;
    store::replace(&out.join("model.safetensors"), &weights.write(Precision::F32)?)?;
    store::replace(&out.join("config.toml"), record.training.recipe.to_toml()?.as_bytes())?;
    measures.write(out)?;
    // Last: a folder with it is a finished run.
    store::replace(&out.join("run.json"), &serde_json::to_vec_pretty(&record)?)?;
    let top1 = |measured: &Option<Measured>| measured.as_ref().map(|measured| measured.answer.top1);
    let held_out_top1 = top1(&measures.held_out).unwrap_or_default();
    Ok(Average { ingredients, held_out_top1, test_top1: top1(&measures.test) })
}

impl Candidate {
    fn read(run: &Path) -> Result<Self> {
        let record = RunRecord::read(run)?;
        let (weights, sha256) = RunRecord::weights(run)?;
        Ok(Self { run: run.to_owned(), record, weights, sha256, alone: Score { top1: 0.0, nll: 0.0 } })
    }

    /// Runs of different networks have no mean, and what one has trained on must choose for none.
    fn check_beside(&self, other: &Self) -> Result<()> {
        let (a, b) = (&self.record, &other.record);
        let (own, others) = (&a.training.recipe, &b.training.recipe);
        for (same, what) in [
            (a.architecture == b.architecture, "architecture"),
            (a.labels == b.labels, "classes"),
            (a.preprocessing == b.preprocessing, "preprocessing"),
            (
                (own.data.kind, own.train.seed) == (others.data.kind, others.train.seed),
                "held-out photos (data.kind, train.seed)",
            ),
        ] {
            let (run, other) = (self.run.display(), other.run.display());
            ensure!(same, "\"{run}\" and \"{other}\" differ in their {what}: only runs that agree in it are averaged");
        }
        Ok(())
    }

    fn ingredient(&self, kept: bool) -> Ingredient {
        let Self { run, record, sha256, alone, .. } = self;
        let name = run.file_name().unwrap_or(run.as_os_str()).to_string_lossy().into_owned();
        let training = Box::new(record.training.clone());
        Ingredient { run: name, sha256: sha256.clone(), held_out_top1: alone.top1, kept, training }
    }
}

impl Bench {
    fn score(&self, record: &RunRecord, weights: &TensorMap) -> Result<Score> {
        let measures = self.measured(record, weights, |pass| of_run(pass, &self.held_out, &[]))?;
        let measured = measures.held_out.context("the held-out photos cannot be measured")?;
        Ok(Score { top1: measured.answer.top1, nll: measured.nll })
    }

    fn measured<T>(
        &self,
        record: &RunRecord,
        weights: &TensorMap,
        measure: impl FnOnce(&Pass<'_>) -> Result<T>,
    ) -> Result<T> {
        let network = Network::new(&record.architecture, &self.device).load(weights)?;
        measure(&Pass {
            network: &network,
            device: &self.device,
            workers: self.workers,
            preprocessing: &record.preprocessing,
            views: Views::Single,
        })
    }
}

impl Score {
    /// The better one is greater.
    fn order(&self, other: &Self) -> std::cmp::Ordering {
        self.top1.total_cmp(&other.top1).then(other.nll.total_cmp(&self.nll))
    }
}

impl std::fmt::Display for Score {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} % of the held-out photos", 100.0 * self.top1)
    }
}

/// The sum of two networks' weights.
fn add(a: &TensorMap, b: &TensorMap) -> Result<TensorMap> {
    let mut sum = a.clone();
    for (name, tensor) in a.iter() {
        let other = b.weight(name, &tensor.shape)?;
        let values = a.reals(name)?.iter().zip(other).map(|(a, b)| a + b).collect();
        sum.insert(name, Tensor::f32(tensor.shape.clone(), values));
    }
    Ok(sum)
}

/// The weights divided by `count`.
fn divided(sum: &TensorMap, count: usize) -> Result<TensorMap> {
    let mut mean = sum.clone();
    for (name, tensor) in sum.iter() {
        let values = sum.reals(name)?.iter().map(|value| value / count as f32).collect();
        mean.insert(name, Tensor::f32(tensor.shape.clone(), values));
    }
    Ok(mean)
}

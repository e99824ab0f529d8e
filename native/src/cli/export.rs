//! `finegrain export`: `{"bundle", "id", "classes", "precision", "bytes", "files", "index"}`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use finegrain::bundle::{Bundle, FORMAT, FileEntry, Manifest, round};
use finegrain::tensors::{Precision, TensorMap};
use serde::Serialize;
use serde_json::Value;

use super::Outcome;
use super::output::Output;
use crate::measure::Measures;
use crate::train::RunRecord;
use crate::{card, golden, store};

/// Weights of training alone.
const TRAINING_ONLY: [&str; 1] = ["loss_log_var"];

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder of a finished training run
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Folder for the bundle; an older bundle there is replaced
    #[arg(long, value_name = "BUNDLE")]
    out: PathBuf,
    /// How the weights are stored
    #[arg(long, value_enum, default_value_t = PrecisionChoice::F16)]
    precision: PrecisionChoice,
    /// List the bundle in this index; by default in index.json beside the bundle, where there is one
    #[arg(long, value_name = "FILE")]
    index: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum PrecisionChoice {
    /// 4 bytes a weight
    F32,
    /// 2 bytes a weight
    F16,
}

#[derive(Serialize)]
struct Exported {
    bundle: PathBuf,
    id: String,
    classes: usize,
    precision: Precision,
    bytes: u64,
    files: Vec<FileEntry>,
    index: Option<PathBuf>,
}

pub(super) fn run(args: &Args, output: &Output) -> Result<Outcome> {
    let made = make(&args.run, args.precision.into());
    let Made { bundle, record, measures, sha256 } =
        made.with_context(|| format!("the run \"{}\" cannot be exported", args.run.display()))?;
    store::write_with_card(&bundle, &args.out, |manifest| {
        card::card(&record, manifest, measures.as_ref(), &sha256).map(Some)
    })?;
    let manifest = store::open(&args.out)?.manifest;
    let index = args.index.clone().or_else(|| {
        let beside = args.out.with_file_name("index.json");
        beside.is_file().then_some(beside)
    });
    if let Some(index) = &index {
        store::list(index, &args.out, &manifest)?;
    }
    let exported = Exported {
        bundle: args.out.clone(),
        id: manifest.id.clone(),
        classes: manifest.architecture.classes,
        precision: manifest.precision,
        bytes: manifest.bytes(),
        files: manifest.files,
        index,
    };
    output.print(&exported, |exported| {
        let listed = exported.index.as_ref().map(|index| format!(", listed in {}", index.display()));
        format!(
            "{}: {} classes, {:.2} MB{}",
            exported.bundle.display(),
            exported.classes,
            exported.bytes as f64 / 1e6,
            listed.unwrap_or_default()
        )
    })?;
    Ok(Outcome::Good)
}

/// A bundle, and what its card is written from.
struct Made {
    bundle: Bundle,
    record: RunRecord,
    measures: Option<Measures>,
    /// Of the run's weights.
    sha256: String,
}

/// Makes a bundle of a run's record, measures and weights.
fn make(run: &Path, precision: Precision) -> Result<Made> {
    let record = RunRecord::read(run)?;
    if record.training.recipe.reid.is_some() {
        bail!("it is a run of re-identification, and a bundle names classes: use RUN/model.safetensors as it is");
    }
    let measures = Measures::read(run)?;
    let path = run.join("model.safetensors");
    let bytes = fs::read(&path).with_context(|| format!("\"{}\" cannot be read", path.display()))?;
    let sha256 = FileEntry::of("", &bytes).sha256;
    let mut weights = TensorMap::read(&bytes).with_context(|| format!("\"{}\" cannot be used", path.display()))?;
    for name in TRAINING_ONLY {
        weights.remove(name);
    }
    weights.metadata.clear();
    let weights = round(&weights, precision)?;
    let manifest = Manifest {
        format: FORMAT,
        id: record.id.clone(),
        title: record.title.clone(),
        architecture: record.architecture.clone(),
        preprocessing: record.preprocessing.clone(),
        labels: record.labels.clone(),
        precision,
        files: Vec::new(),
        calibration: measures.as_ref().and_then(|measures| measures.calibration),
        training: without_folders(serde_json::to_value(&record.training)?),
    };
    manifest.architecture.check()?;
    // The reference sees the weights as every reader of the bundle will.
    let trace = golden::trace(&manifest.architecture, &weights)?;
    let bundle = Bundle { manifest, weights, trace };
    Ok(Made { bundle, record, measures, sha256 })
}

/// Cuts the folders off the paths in the provenance: they are of one machine, and nobody else's business.
fn without_folders(mut training: Value) -> Value {
    if let Some(init) = training.pointer_mut("/recipe/train/init")
        && let Some(name) = init.as_str().and_then(|path| Path::new(path).file_name())
    {
        *init = name.to_string_lossy().into();
    }
    training
}

impl From<PrecisionChoice> for Precision {
    fn from(choice: PrecisionChoice) -> Self {
        match choice {
            PrecisionChoice::F32 => Self::F32,
            PrecisionChoice::F16 => Self::F16,
        }
    }
}

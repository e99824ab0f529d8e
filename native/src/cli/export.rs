//! `finegrain export`: `{"bundle", "id", "classes", "precision", "bytes", "files", "index"}`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use finegrain::architecture::Architecture;
use finegrain::bundle::{Bundle, CARD, Confused, FORMAT, FileEntry, MANIFEST, MAX_CONFUSED, Manifest, round};
use finegrain::tensors::Precision;
use serde::Serialize;
use serde_json::Value;

use super::Outcome;
use super::output::Output;
use crate::measure::{self, Measured, Measures};
use crate::train::RunRecord;
use crate::{card, golden, hierarchy, store};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder of a finished training run; or a bundle (folder or .zip), to be stored in another precision
    #[arg(value_name = "RUN|BUNDLE")]
    run: PathBuf,
    /// Folder for the bundle, or NAME.zip; an older bundle there is replaced
    #[arg(long, value_name = "BUNDLE")]
    out: PathBuf,
    /// How the weights are stored
    #[arg(long, value_enum, default_value_t = PrecisionChoice::F16)]
    precision: PrecisionChoice,
    /// List the bundle in this index; by default in index.json beside the bundle, where there is one
    #[arg(long, value_name = "FILE")]
    index: Option<PathBuf>,
    /// List it as another network for what the bundle with this id names: the page then offers both as one choice, and their
    /// mechanisms beside each other
    #[arg(long, value_name = "ID")]
    subject: Option<String>,
    /// Coarser names for the classes: a CSV file ("class,family,order" and a row for each class), "cars" (make and body
    /// type from the class names), "last-word" (the last word of each name) or "none"; by default the run's own, or the
    /// rule for the data set
    #[arg(long, value_name = "FILE|RULE")]
    hierarchy: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum PrecisionChoice {
    /// 4 bytes a weight
    F32,
    /// 2 bytes a weight
    F16,
    /// 1 byte a weight of a linear layer (with a scale for each output), 2 bytes of the others
    Int8,
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
    let is_zip = store::is_zip(&args.out);
    if is_zip && args.index.is_some() {
        bail!("a zip file is opened from disk and cannot be listed: leave out --index, or name a folder for --out");
    }
    let (precision, levels) = (args.precision.into(), args.hierarchy.as_deref());
    let from_bundle = args.run.is_file() || args.run.join(MANIFEST).is_file();
    // Another precision of a listed bundle has its id and would take its place: only who asks for that gets it.
    let beside =
        || Some(args.out.with_file_name("index.json")).filter(|file| !is_zip && !from_bundle && file.is_file());
    let index = args.index.clone().or_else(beside);
    if args.subject.is_some() && index.is_none() {
        bail!("--subject goes into an index and none is written: name it with --index");
    }
    if let Some(index) = &index {
        // Before a bundle is replaced: one that cannot be listed would not be the one that the page offers.
        store::listing(index)?;
    }
    let Made { bundle, source } = if from_bundle {
        convert(&args.run, precision, levels)?
    } else {
        make(&args.run, precision, levels)
            .with_context(|| format!("the run \"{}\" cannot be exported", args.run.display()))?
    };
    let card = |manifest: &Manifest| match &source {
        Source::Run(run) => card::card(&run.record, manifest, run.measures.as_ref(), &run.sha256).map(Some),
        Source::Bundle(card) => Ok(card.as_ref().map(|card| card::converted(card, manifest))),
    };
    if is_zip {
        store::write_zip(&bundle, &args.out, card)?;
    } else {
        store::write_with_card(&bundle, &args.out, card)?;
    }
    let manifest = store::open(&args.out)?.manifest;
    if let Some(index) = &index {
        let measured = match &source {
            Source::Run(run) => run.measures.as_ref().and_then(accuracy),
            Source::Bundle(_) => None,
        };
        store::list(index, &args.out, &manifest, args.subject.as_deref(), measured)?;
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
    source: Source,
}

enum Source {
    Run(Box<Run>),
    /// Its card, where it has one that can be read.
    Bundle(Option<String>),
}

struct Run {
    record: RunRecord,
    measures: Option<Measures>,
    /// Of the run's weights.
    sha256: String,
}

/// Makes a bundle of another one, its weights rounded anew and its golden trace computed from them.
fn convert(path: &Path, precision: Precision, levels: Option<&str>) -> Result<Made> {
    let Bundle { mut manifest, weights, .. } = store::open(path)?;
    let weights = round(&weights, precision)?;
    manifest.precision = precision;
    if let Some(choice) = levels {
        manifest.hierarchy = hierarchy::levels(choice, &manifest.labels)?;
    }
    let trace = golden::trace(&manifest.architecture, &weights)?;
    let card = fs::read_to_string(path.join(CARD)).ok();
    Ok(Made { bundle: Bundle { manifest, weights, trace }, source: Source::Bundle(card) })
}

/// Makes a bundle of a run's record, measures and weights.
fn make(run: &Path, precision: Precision, levels: Option<&str>) -> Result<Made> {
    let record = RunRecord::read(run)?;
    if record.training.recipe.reid.is_some() {
        bail!("it is a run of re-identification, and a bundle names classes: use RUN/model.safetensors as it is");
    }
    let measures = Measures::read(run)?;
    let (mut weights, sha256) = RunRecord::weights(run)?;
    let names = weights.iter().map(|(name, _)| name.to_owned());
    for name in names.filter(|name| Architecture::training_only(name)).collect::<Vec<_>>() {
        weights.remove(&name);
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
        hierarchy: match levels {
            None if !record.hierarchy.is_empty() => record.hierarchy.clone(),
            None => hierarchy::levels(hierarchy::rule_for(record.training.recipe.data.kind), &record.labels)?,
            Some(choice) => hierarchy::levels(choice, &record.labels)?,
        },
        confused: measures.as_ref().and_then(|measures| measures.test.as_ref()).map(confused).unwrap_or_default(),
        training: without_folders(serde_json::to_value(&record.training)?),
    };
    manifest.architecture.check()?;
    // The reference sees the weights as every reader of the bundle will.
    let trace = golden::trace(&manifest.architecture, &weights)?;
    let bundle = Bundle { manifest, weights, trace };
    Ok(Made { bundle, source: Source::Run(Box::new(Run { record, measures, sha256 })) })
}

/// The most confused pairs of the test photos with the number of photos that there are.
fn confused(test: &Measured) -> Vec<Confused> {
    let pair = |pair: &measure::Confused| {
        let [_, of] = *test.per_class.get(pair.right)?;
        Some(Confused { right: pair.right, named: pair.named, photos: pair.photos, of })
    };
    test.confused.iter().filter_map(pair).take(MAX_CONFUSED).collect()
}

/// The accuracy on the test photos of what people are shown, and how many photos there are.
fn accuracy(measures: &Measures) -> Option<store::Accuracy> {
    let test = measures.test.as_ref()?;
    let answer = test.calibrated.as_ref().map_or(test.answer, |calibrated| calibrated.answer);
    Some(store::Accuracy { top1: answer.top1, photos: test.photos })
}

/// Cuts the folders off the paths in the provenance: they are of one machine, and nobody else's business.
fn without_folders(mut training: Value) -> Value {
    for pointer in ["/recipe/train/init", "/recipe/data/hierarchy"] {
        if let Some(path) = training.pointer_mut(pointer)
            && let Some(name) = path.as_str().and_then(|path| Path::new(path).file_name())
        {
            *path = name.to_string_lossy().into();
        }
    }
    training
}

impl From<PrecisionChoice> for Precision {
    fn from(choice: PrecisionChoice) -> Self {
        match choice {
            PrecisionChoice::F32 => Self::F32,
            PrecisionChoice::F16 => Self::F16,
            PrecisionChoice::Int8 => Self::Int8,
        }
    }
}

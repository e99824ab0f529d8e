//! `finegrain eval`: top-1 and top-5 as shares from 0 to 1, of the answer and of both branches apart; in `measures`
//! everything else ([`Measured`]), in `tta` what several views of each photo give, in `zoom` what a second look at the part
//! that rollout found gives, apart from the single view.

mod ahead;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use finegrain::architecture::Architecture;
use finegrain::bundle::Calibration;
use finegrain::early::Sure;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use self::ahead::Ahead;
use super::output::Output;
use super::{Outcome, interrupt};
use crate::backend::{Backend, BackendChoice, WeightChoice};
use crate::data::{Dataset, DatasetKind, Sample};
use crate::measure::{CoarserScore, CoarserTally, Exited, Exits, Measured, Score, Scores, Tally, Views, Zoom, Zoomed};
use crate::say::say;
use crate::store;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder or .zip of the bundle
    #[arg(long, value_name = "DIR")]
    bundle: PathBuf,
    /// Folder of the data set, in its official layout
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Which layout that is
    #[arg(long, value_enum)]
    dataset: DatasetKind,
    /// Which photos
    #[arg(long, value_enum, default_value_t = Split::Test)]
    split: Split,
    /// What computes: our shaders, or the burn model on the CPU or on CUDA
    #[arg(long, value_enum, default_value_t = BackendChoice::Webgpu)]
    backend: BackendChoice,
    /// How the weights lie on a graphics device
    #[arg(long, value_enum, default_value_t = WeightChoice::Auto)]
    precision: WeightChoice,
    /// Only N photos, spread evenly over the list
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Also measure the mean over several views of each photo: it and its mirror image, or twelve views with crops
    #[arg(long, value_enum, value_name = "VIEWS", num_args = 0..=1, default_missing_value = "flip")]
    tta: Option<Tta>,
    /// Also measure a second pass on the part of the photo that rollout found, where it found one
    #[arg(long)]
    zoom: bool,
    /// Paste each photo into a larger background of generated noise first; its sides are this share of the background's
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pasted: Option<f64>,
    /// Also measure answers that come early: where the modules of Attend and Rectify name one class with this probability
    #[arg(long, value_name = "PROBABILITY", value_parser = probability)]
    exit: Option<f32>,
}

fn probability(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(probability) if (0.0..=1.0).contains(&probability) => Ok(probability),
        _ => Err("a probability from 0 to 1 is expected, such as 0.9".into()),
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.05..=1.0).contains(&share) => Ok(share),
        _ => Err("a number from 0.05 to 1 is expected, such as 0.4".into()),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Tta {
    /// The photo and its mirror image: 2 views
    Flip,
    /// The photo, its corners and its middle, and their mirror images: 12 views
    Crops,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Split {
    Train,
    Test,
}

#[derive(Serialize)]
struct Evaluated {
    bundle: String,
    dataset: DatasetKind,
    split: Split,
    /// Photos that were measured.
    images: usize,
    top1: f64,
    top5: f64,
    /// SA alone.
    sa: Score,
    /// GLCA alone; null without GLCA.
    glca: Option<Score>,
    backend: &'static str,
    adapter: String,
    /// Mean time of the network for one view of a photo, decoding and the first view left out.
    ms_per_image: f64,
    /// Wall time of everything, loading included.
    seconds: f64,
    /// Photos that could not be used.
    skipped: Vec<Skipped>,
    /// Temperature and threshold of the bundle, where it has them.
    calibration: Option<Calibration>,
    /// Calibration error, classes, confusion; places count the photos that were measured or skipped.
    measures: Measured,
    /// The coarser answers that were given where no class was sure, for each level of the bundle's hierarchy.
    coarser: Vec<CoarserScore>,
    /// Test-time augmentation, where it was asked for.
    tta: Option<Augmented>,
    /// Share of the background's sides that each photo has, where photos were pasted.
    pasted: Option<f64>,
    /// The second pass, where it was asked for.
    zoom: Option<Zoomed>,
    /// Early answers, where they were asked for.
    exit: Option<Exited>,
}

/// Accuracy of the mean over several views.
#[derive(Serialize)]
struct Augmented {
    /// Views of each photo.
    views: usize,
    top1: f64,
    top5: f64,
    sa: Score,
    glca: Option<Score>,
}

#[derive(Serialize)]
struct Skipped {
    image: PathBuf,
    reason: String,
}

pub(super) fn run(args: &Args, output: &Output) -> Result<Outcome> {
    let start = Instant::now();
    let bundle = store::open(&args.bundle)?;
    let kind = args.dataset;
    let dataset = Dataset::open(kind, &args.data)?;
    check_labels(&bundle.manifest.labels, &dataset.labels, &args.bundle)?;
    let samples = match args.split {
        Split::Train => dataset.train,
        Split::Test => dataset.test,
    };
    let samples = spread(samples, args.limit.map(|n| n as usize));
    if samples.is_empty() {
        bail!("the data set \"{}\" has no photos in this split", args.data.display());
    }
    let precision = args.precision.resolve(args.backend, bundle.manifest.precision)?;
    let mut exits = exits(args, &bundle.manifest.architecture)?;
    let backend = Backend::open(args.backend, &bundle.manifest.architecture, &bundle.weights, precision)?;

    let stop = Arc::new(AtomicBool::new(false));
    interrupt::raise(&stop)?;
    let bar = progress(samples.len() as u64);
    let total = samples.len();
    let views = args.tta.map_or(Views::Single, Views::from);
    let preprocessing = bundle.manifest.preprocessing.clone();
    let ahead = Ahead { preprocessing: preprocessing.clone(), views, pasted: args.pasted, keep: args.zoom };
    let inputs = ahead.start(samples, Arc::clone(&stop));
    let mut zoom = args.zoom.then(|| Zoom::new(bundle.manifest.architecture.grid(), preprocessing));
    let calibration = bundle.manifest.calibration;
    let mut tally = Tally::new(bundle.manifest.architecture.classes, calibration);
    let mut coarser = CoarserTally::new(&bundle.manifest.hierarchy);
    let (mut augmented, mut skipped, mut times, mut early) = (Scores::default(), Vec::new(), Vec::new(), Vec::new());
    for (place, (sample, input)) in inputs.iter().enumerate() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        match input {
            Ok(input) => {
                let images = &input.views;
                let mut answers = Vec::with_capacity(views.count());
                for view in images.chunks(images.len() / views.count()) {
                    let begun = Instant::now();
                    answers.push(backend.classify(view)?);
                    times.push(begun.elapsed());
                }
                tally.add(place, &answers[0], sample.class);
                let shown = calibration.map(|calibration| answers[0].calibrated(calibration.temperature));
                let shown = shown.as_ref().unwrap_or(&answers[0].probability);
                coarser.add(shown, sample.class);
                if let (Some(exits), Some(probability)) = (&mut exits, args.exit) {
                    let temperature = bundle.manifest.temperature();
                    let begun = Instant::now();
                    let found = backend
                        .classify_early(&images[..images.len() / views.count()], Sure { probability, temperature })?;
                    early.push(begun.elapsed());
                    exits.add(&found, shown, sample.class);
                }
                if let Some(mean) = Views::mean(&answers) {
                    augmented.add(&mean, sample.class);
                }
                if let (Some(zoom), Some(photo)) = (&mut zoom, &input.photo) {
                    zoom.add(photo, &answers[0], sample.class, |image| backend.classify(image))?;
                }
                bar.set_message(format!("top-1 {:.2} %", 100.0 * tally.score().top1));
            }
            Err(reason) => {
                bar.suspend(|| say(&format!("skipped: {reason}")));
                tally.skip(place, reason.clone());
                skipped.push(Skipped { image: sample.path, reason });
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    if stop.load(Ordering::Relaxed) {
        say(&format!("interrupted after {} of {total} photos: nothing was measured", tally.photos()));
        return Ok(Outcome::Interrupted);
    }
    if tally.photos() == 0 {
        bail!("none of the {total} photos could be used");
    }
    let measures = tally.measured();
    let measured = Evaluated {
        bundle: bundle.manifest.id,
        dataset: kind,
        split: args.split,
        images: measures.photos,
        top1: measures.answer.top1,
        top5: measures.answer.top5,
        sa: measures.sa,
        glca: measures.glca,
        backend: backend.name(),
        adapter: backend.adapter().to_owned(),
        ms_per_image: mean_ms(&times),
        seconds: start.elapsed().as_secs_f64(),
        skipped,
        calibration,
        measures,
        coarser: coarser.scores(),
        tta: args.tta.map(|_| Augmented {
            views: views.count(),
            top1: augmented.answer().top1,
            top5: augmented.answer().top5,
            sa: augmented.sa(),
            glca: augmented.glca(),
        }),
        pasted: args.pasted,
        zoom: zoom.map(|zoom| zoom.zoomed()),
        exit: exits.zip(args.exit).map(|(exits, threshold)| exits.exited(threshold, mean_ms(&early))),
    };
    output.print(&measured, text)?;
    Ok(Outcome::Good)
}

/// What counts early answers, where they are asked for.
fn exits(args: &Args, architecture: &Architecture) -> Result<Option<Exits>> {
    if args.exit.is_none() {
        return Ok(None);
    }
    if args.backend == BackendChoice::Cuda {
        bail!("burn's networks do not answer before the last block: add --backend cpu or --backend webgpu");
    }
    let exits = Exits::of(architecture)?;
    exits.map(Some).with_context(|| {
        "no early answers from this network: they want Attend and Rectify with modules after two blocks before the last"
    })
}

/// The network's classes must be the data set's, in the same order.
fn check_labels(bundle: &[String], data: &[String], path: &Path) -> Result<()> {
    if bundle.len() != data.len() {
        bail!("the bundle \"{}\" has {} classes, the data set {}", path.display(), bundle.len(), data.len());
    }
    match bundle.iter().zip(data).enumerate().find(|(_, (a, b))| a != b) {
        Some((class, (a, b))) => bail!("class {class} is {a:?} in the bundle and {b:?} in the data set"),
        None => Ok(()),
    }
}

/// `limit` of the samples, evenly spread, so that a part of a list that is sorted by class stands for all classes.
fn spread(samples: Vec<Sample>, limit: Option<usize>) -> Vec<Sample> {
    let count = samples.len();
    match limit {
        Some(limit) if limit < count => (0..limit).map(|i| samples[i * count / limit].clone()).collect(),
        _ => samples,
    }
}

fn progress(length: u64) -> ProgressBar {
    let bar = ProgressBar::new(length);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} ({per_sec}, {eta} left)") {
        bar.set_style(style);
    }
    bar
}

/// The first run warms caches up and is left out where there are more.
fn mean_ms(times: &[Duration]) -> f64 {
    let warm = if times.len() > 1 { &times[1..] } else { times };
    1e3 * warm.iter().sum::<Duration>().as_secs_f64() / warm.len() as f64
}

fn text(evaluated: &Evaluated) -> String {
    let apart = |score: &Score| format!("{:.2} / {:.2} %", 100.0 * score.top1, 100.0 * score.top5);
    let mut text = format!(
        "{}: top-1 {:.2} %, top-5 {:.2} % of {} photos\nSA alone {}",
        evaluated.bundle,
        100.0 * evaluated.top1,
        100.0 * evaluated.top5,
        evaluated.images,
        apart(&evaluated.sa),
    );
    if let Some(glca) = &evaluated.glca {
        text += &format!(", GLCA alone {}", apart(glca));
    }
    if let Some(tta) = &evaluated.tta {
        let score = Score { top1: tta.top1, top5: tta.top5 };
        text += &format!("\nmean over {} views of each photo {}", tta.views, apart(&score));
    }
    if let Some(zoom) = &evaluated.zoom {
        text += &format!(
            "\nzoomed (in {:.1} % of the photos rollout found a part): alone {}, mean of both looks {}",
            100.0 * zoom.found,
            apart(&zoom.alone),
            apart(&zoom.both),
        );
    }
    if let Some(exit) = &evaluated.exit {
        let score = Score { top1: exit.top1, top5: exit.top5 };
        text += &format!(
            "\nanswered early where the modules are sure by {:.1} %: {}, {:.1} % of the photos before the last block, {:.1} % \
             named otherwise; {:.1} % of the blocks and {:.1} % of the operations saved, {:.2} ms a photo",
            100.0 * exit.threshold,
            apart(&score),
            100.0 * exit.early,
            100.0 * exit.changed,
            100.0 * exit.blocks_saved,
            100.0 * exit.operations_saved,
            exit.ms_per_image,
        );
    }
    text += &format!("\ncalibration error {:.2} %", 100.0 * evaluated.measures.ece);
    if let (Some(calibration), Some(calibrated)) = (evaluated.calibration, &evaluated.measures.calibrated) {
        text += &format!(
            ", {:.2} % at the bundle's temperature {:.3}\n{:.2} % of the photos are recognised (at least {:.1} %), \
             {:.2} % of those are named rightly",
            100.0 * calibrated.ece,
            calibration.temperature,
            100.0 * calibrated.recognised,
            100.0 * calibration.threshold,
            100.0 * calibrated.recognised_right,
        );
    }
    for CoarserScore { level, given, right } in &evaluated.coarser {
        text += &format!("\n{level} told where no class is sure: for {given} photos, rightly for {right}");
    }
    text + &format!("\n{:.2} ms a photo on {} ({})", evaluated.ms_per_image, evaluated.adapter, evaluated.backend)
}

impl From<Tta> for Views {
    fn from(tta: Tta) -> Self {
        match tta {
            Tta::Flip => Self::Flip,
            Tta::Crops => Self::Crops,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_spreads_over_the_list() {
        let samples: Vec<Sample> = (0..10).map(|class| Sample::new(PathBuf::new(), class)).collect();
        let classes = |limit| spread(samples.clone(), limit).iter().map(|s| s.class).collect::<Vec<_>>();
        assert_eq!(classes(Some(3)), [0, 3, 6]);
        assert_eq!(classes(Some(99)).len(), 10);
        assert_eq!(classes(None).len(), 10);
    }

    #[test]
    fn other_classes_are_refused() {
        let labels = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let path = Path::new("b");
        assert!(check_labels(&labels(&["x", "y"]), &labels(&["x", "y"]), path).is_ok());
        let error = check_labels(&labels(&["x", "y"]), &labels(&["y", "x"]), path).unwrap_err().to_string();
        assert!(error.contains("class 0 is \"x\""), "{error}");
        assert!(check_labels(&labels(&["x"]), &labels(&["y", "x"]), path).is_err());
    }
}

//! `finegrain eval`: top-1 and top-5 as shares from 0 to 1, of the answer and of both branches apart.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use finegrain::photo::Preprocessing;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::output::Output;
use super::{Outcome, interrupt};
use crate::backend::{Backend, BackendChoice};
use crate::data::{Dataset, DatasetKind, Sample};
use crate::measure::{Score, Scores};
use crate::store;

/// Photos that are ready before the network asks for them.
const READY: usize = 16;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder of the bundle
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
    /// Only N photos, spread evenly over the list
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Split {
    Train,
    Test,
}

#[derive(Serialize)]
struct Measured {
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
    /// Mean time of the network for one photo, decoding and the first photo left out.
    ms_per_image: f64,
    /// Wall time of everything, loading included.
    seconds: f64,
    /// Photos that could not be used.
    skipped: Vec<Skipped>,
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
    let backend = Backend::open(args.backend, &bundle.manifest.architecture, &bundle.weights)?;

    let stop = Arc::new(AtomicBool::new(false));
    interrupt::raise(&stop)?;
    let bar = progress(samples.len() as u64);
    let total = samples.len();
    let inputs = decode_ahead(samples, bundle.manifest.preprocessing.clone(), Arc::clone(&stop));
    let (mut scores, mut skipped, mut times) = (Scores::default(), Vec::new(), Vec::new());
    for (sample, image) in inputs {
        if stop.load(Ordering::Relaxed) {
            bar.finish_and_clear();
            eprintln!("interrupted after {} of {total} photos: nothing was measured", scores.images());
            return Ok(Outcome::Interrupted);
        }
        match image {
            Ok(image) => {
                let begun = Instant::now();
                let answer = backend.classify(&image)?;
                times.push(begun.elapsed());
                scores.add(&answer, sample.class);
                bar.set_message(format!("top-1 {:.2} %", 100.0 * scores.answer().top1));
            }
            Err(reason) => {
                bar.suspend(|| eprintln!("skipped: {reason}"));
                skipped.push(Skipped { image: sample.path, reason });
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    if stop.load(Ordering::Relaxed) {
        eprintln!("interrupted after {} of {total} photos: nothing was measured", scores.images());
        return Ok(Outcome::Interrupted);
    }
    if scores.images() == 0 {
        bail!("none of the {total} photos could be used");
    }
    let answer = scores.answer();
    let measured = Measured {
        bundle: bundle.manifest.id,
        dataset: kind,
        split: args.split,
        images: scores.images(),
        top1: answer.top1,
        top5: answer.top5,
        sa: scores.sa(),
        glca: scores.glca(),
        backend: backend.name(),
        adapter: backend.adapter().to_owned(),
        ms_per_image: mean_ms(&times),
        seconds: start.elapsed().as_secs_f64(),
        skipped,
    };
    output.print(&measured, text)?;
    Ok(Outcome::Good)
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

type Input = (Sample, Result<Vec<f32>, String>);

/// Decodes and preprocesses on another thread while the network works.
fn decode_ahead(samples: Vec<Sample>, preprocessing: Preprocessing, stop: Arc<AtomicBool>) -> Receiver<Input> {
    let (sender, receiver) = sync_channel(READY);
    thread::spawn(move || {
        for sample in samples {
            let image = sample.photo().map_err(|error| error.to_string()).and_then(|photo| {
                let unusable = |error| format!("\"{}\" cannot be used: {error}", sample.path.display());
                preprocessing.apply(&photo).map_err(unusable)
            });
            // The receiver is gone when the measurement failed.
            if stop.load(Ordering::Relaxed) || sender.send((sample, image)).is_err() {
                return;
            }
        }
    });
    receiver
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

fn text(measured: &Measured) -> String {
    let apart = |score: &Score| format!("{:.2} / {:.2} %", 100.0 * score.top1, 100.0 * score.top5);
    let mut text = format!(
        "{}: top-1 {:.2} %, top-5 {:.2} % of {} photos\nSA alone {}",
        measured.bundle,
        100.0 * measured.top1,
        100.0 * measured.top5,
        measured.images,
        apart(&measured.sa),
    );
    if let Some(glca) = &measured.glca {
        text += &format!(", GLCA alone {}", apart(glca));
    }
    text + &format!("\n{:.2} ms a photo on {} ({})", measured.ms_per_image, measured.adapter, measured.backend)
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

//! `finegrain classify`: `[{"image", "predictions": [{"label", "probability"}], "sa": [...], "glca": [...]}]`, in the
//! order of the photos; `predictions` is the mean of both branches, `glca` is empty without GLCA. Where the bundle has a
//! calibration each photo also has `calibrated` (the list of `predictions` at the bundle's temperature, which is what
//! people are shown) and `recognised`; elsewhere both are null. `coarser` is what is sure where no class is.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result};
use finegrain::answer::{Prediction, top};
use finegrain::bundle::{Calibration, Coarser, coarser};
use serde::Serialize;

use super::Outcome;
use super::output::Output;
use crate::backend::{Backend, BackendChoice, WeightChoice};
use crate::decode::decode;
use crate::store;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder or .zip of the bundle
    #[arg(long, value_name = "DIR")]
    bundle: PathBuf,
    /// Photos
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,
    /// What computes: our shaders, or the burn model on the CPU or on CUDA
    #[arg(long, value_enum, default_value_t = BackendChoice::Webgpu)]
    backend: BackendChoice,
    /// How the weights lie on a graphics device
    #[arg(long, value_enum, default_value_t = WeightChoice::Auto)]
    precision: WeightChoice,
    /// How many classes to list for each photo
    #[arg(long, value_name = "K", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    top: u16,
}

#[derive(Serialize)]
struct Named {
    image: PathBuf,
    predictions: Vec<Prediction>,
    sa: Vec<Prediction>,
    glca: Vec<Prediction>,
    calibrated: Option<Vec<Prediction>>,
    recognised: Option<bool>,
    coarser: Vec<Coarser>,
}

pub(super) fn run(args: &Args, output: &Output) -> Result<Outcome> {
    let bundle = store::open(&args.bundle)?;
    let preprocessing = &bundle.manifest.preprocessing;
    let input = |path: &PathBuf| -> Result<Vec<f32>> {
        let photo = decode(path)?;
        preprocessing.apply(&photo).with_context(|| format!("\"{}\" cannot be used", path.display()))
    };
    // A photo that cannot be read is told before a device is opened and shaders are compiled.
    let first = args.images.first().map(input).transpose()?;
    let precision = args.precision.resolve(args.backend, bundle.manifest.precision)?;
    let backend = Backend::open(args.backend, &bundle.manifest.architecture, &bundle.weights, precision)?;
    let labels = &bundle.manifest.labels;
    let k = usize::from(args.top);
    let mut results = Vec::new();
    let mut first = first;
    for path in &args.images {
        let image = match first.take() {
            Some(image) => image,
            None => input(path)?,
        };
        let answer = backend.classify(&image)?;
        let shown = bundle.manifest.calibration.map(|c| (answer.calibrated(c.temperature), c));
        let probability = shown.as_ref().map_or(&answer.probability, |(probability, _)| probability);
        let coarser = coarser(&bundle.manifest.hierarchy, probability);
        let calibrated = shown.as_ref().map(|(probability, c)| (top(probability, labels, k), *c));
        let reaches =
            |(list, c): &(Vec<Prediction>, Calibration)| list.first().is_some_and(|p| p.probability >= c.threshold);
        results.push(Named {
            image: path.clone(),
            predictions: top(&answer.probability, labels, k),
            sa: top(&answer.sa, labels, k),
            glca: top(&answer.glca, labels, k),
            recognised: calibrated.as_ref().map(reaches),
            calibrated: calibrated.map(|(list, _)| list),
            coarser,
        });
    }
    output.print(&results, |results| text(results))?;
    Ok(Outcome::Good)
}

fn text(results: &[Named]) -> String {
    let mut text = String::new();
    for named in results {
        let unsure = if named.recognised == Some(false) { "  (not recognised: none is likely enough)" } else { "" };
        let _ = writeln!(text, "{}{unsure}", named.image.display());
        for Coarser { level, label, probability } in &named.coarser {
            let _ = writeln!(text, "  {:5.1} %  {level} {label}", 100.0 * probability);
        }
        for prediction in named.calibrated.as_ref().unwrap_or(&named.predictions) {
            let _ = writeln!(text, "  {:5.1} %  {}", 100.0 * prediction.probability, prediction.label);
        }
    }
    text
}

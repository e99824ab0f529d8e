//! `finegrain bench`: how fast a network is on this machine, and where the time goes (`Report` is the document of
//! `--json`). Times are those of one photo, from normalised pixels to the answer in memory.

mod beside;
mod measure;
mod report;
mod subject;

use std::path::PathBuf;

use anyhow::{Result, bail};
use finegrain::tensors::Precision;

use self::beside::Peer;
use self::report::{Measured, Report};
use self::subject::Subject;
use super::Outcome;
use super::output::Output;
use crate::backend::{BackendChoice, WeightChoice};
use crate::train::DeviceChoice;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder or .zip of a bundle
    #[arg(long, value_name = "DIR", conflicts_with_all = ["model", "size"])]
    bundle: Option<PathBuf>,
    /// Without a bundle: vit-tiny, vit-small, vit-base or r50-vit-base with GLCA, resnet-18, resnet-50 or wrn-28-10; random weights, 100 classes
    #[arg(long, value_name = "NAME", default_value = "vit-tiny")]
    model: String,
    /// Without a bundle: height and width of a photo, in pixels; patches or strides must divide it, for a ResNet 32
    #[arg(long, value_name = "PIXELS", default_value_t = 224)]
    size: usize,
    /// What computes: our shaders, or our forward pass on the processor
    #[arg(long, value_enum, default_value_t = BackendChoice::Webgpu)]
    backend: BackendChoice,
    /// How the weights lie on a graphics device; random ones are stored in f32
    #[arg(long, value_enum, default_value_t = WeightChoice::Auto)]
    precision: WeightChoice,
    /// How many photos are timed; the median counts
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    runs: u16,
    /// Measure which tile suits each matrix product, as is done once on a GPU, on an adapter that computes on the processor too.
    /// What was measured before is in the cache folder (~/.cache/finegrain/tiles-*.txt) and not measured again
    #[arg(long)]
    tune: bool,
    /// In turns with it, the same network in burn (the model that is trained), on these devices: cpu, and cuda or wgpu where this
    /// build has them
    #[arg(long, value_enum, value_name = "DEVICE,..", value_delimiter = ',')]
    beside: Vec<DeviceChoice>,
}

pub(super) fn run(args: &Args, output: &Output) -> Result<Outcome> {
    let subject = match &args.bundle {
        Some(path) => Subject::bundle(path)?,
        None => Subject::named(&args.model, args.size)?,
    };
    let runs = usize::from(args.runs);
    let precision = args.precision.resolve(args.backend, subject.stored)?;
    if args.tune && args.backend != BackendChoice::Webgpu {
        bail!("--tune is about our shaders: leave it out, or use --backend webgpu");
    }
    let peers = args.beside.iter().map(|&device| Peer::new(&subject, device)).collect::<Result<Vec<_>>>()?;
    let measured = match args.backend {
        BackendChoice::Webgpu => measure::webgpu(&subject, precision, runs, args.tune, &peers)?,
        BackendChoice::Cpu => measure::cpu(&subject, runs, &peers)?,
        BackendChoice::Cuda => bail!("CUDA is for training and not measured here: use --backend webgpu or cpu"),
    };
    let Measured { adapter, cold, warm, device_bytes, beside, parts, kernels, tiles } = measured;
    let report = Report {
        adapter,
        model: subject.name,
        size: subject.architecture.input_size(),
        weights: if subject.random { "random" } else { "bundle" },
        // The processor computes in f32 whatever the bundle holds.
        precision: if args.backend == BackendChoice::Webgpu { precision } else { Precision::F32 },
        runs,
        cold,
        warm,
        device_bytes,
        beside,
        parts,
        kernels,
        tiles,
        markdown: String::new(),
    };
    output.print(&report.finish(), Report::text)?;
    Ok(Outcome::Good)
}

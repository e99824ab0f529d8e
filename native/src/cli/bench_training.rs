//! `finegrain bench-training`: milliseconds of a training step (forward, backward) in burn. `tests/peers/training_step.py` is
//! its twin in PyTorch; both print the same keys.

use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use burn::tensor::{Device, Int, Tensor, TensorData};
use finegrain::architecture::{Architecture, Dcal, Mechanism};
use finegrain::model::{Backbone, Network};
use serde::Serialize;

use super::Outcome;
use super::output::Output;
use crate::random::CLASSES;
use crate::train::{self, DeviceChoice};

/// Steps that are not counted on a GPU: it compiles and tunes in them.
const WARM: usize = 10;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// vit-tiny, vit-small or vit-base, with random weights and 100 classes
    #[arg(long, value_name = "NAME", default_value = "vit-tiny")]
    model: String,
    /// Height and width of a photo, in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 224, value_parser = clap::value_parser!(u16).range(1..=2048))]
    size: u16,
    /// Photos in a step
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,
    /// What is trained beside self-attention: nothing, GLCA with its rollout, or DCAL with PWCA, too
    #[arg(long, value_enum, default_value_t = Branches::Dcal)]
    mechanism: Branches,
    /// Where: the CPU on one thread, or a GPU in a build that has it
    #[arg(long, value_enum, default_value_t = DeviceChoice::Cpu)]
    device: DeviceChoice,
    /// Large products in bf16, as with train.precision
    #[arg(long)]
    bf16: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Branches {
    None,
    Glca,
    Dcal,
}

/// The document of `--json`.
#[derive(Serialize)]
struct Report<'a> {
    program: &'static str,
    device: &'static str,
    precision: &'static str,
    model: &'a str,
    side: usize,
    batch: u16,
    mechanism: Branches,
    /// The pass alone, without gradients.
    forward_ms: f64,
    /// Forward and backward.
    training_ms: f64,
}

pub(super) fn run(args: &Args, output: &Output) -> Result<Outcome> {
    let Args { model, size, batch, mechanism, device, bf16 } = args;
    let backbone = train::Backbone::named(model).map_err(|error| anyhow!("\"{model}\" is no network: {error}"))?;
    ensure!(backbone.resnet().is_none(), "a training step is measured of transformers only, not of {model}");
    let dcal = |pwca| Mechanism::Dcal(Dcal { ratio: 0.1, glca: true, pwca, gates: None });
    let branches = match mechanism {
        Branches::None => Mechanism::None,
        Branches::Glca => dcal(false),
        Branches::Dcal => dcal(true),
    };
    let architecture = backbone.architecture(usize::from(*size), CLASSES, branches);
    architecture.check()?;
    let (plain, name) = device.open()?;
    let step = Step::new(&architecture, &plain.autodiff(), usize::from(*batch), *bf16);
    let warm = if name == "cpu" { 1 } else { WARM };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().context("cannot start a thread")?;
    let milliseconds = |backward: bool| {
        pool.install(|| {
            for _ in 0..warm {
                step.run(backward)?;
            }
            let mut times = Vec::new();
            for _ in 0..2 * warm + 5 {
                let start = Instant::now();
                step.run(backward)?;
                times.push(start.elapsed().as_secs_f64() * 1e3);
            }
            times.sort_by(f64::total_cmp);
            times.get(times.len() / 2).copied().context("nothing was measured")
        })
    };
    let report = Report {
        program: "finegrain",
        device: name,
        precision: if *bf16 { "bf16" } else { "f32" },
        model,
        side: usize::from(*size),
        batch: *batch,
        mechanism: *mechanism,
        forward_ms: milliseconds(false)?,
        training_ms: milliseconds(true)?,
    };
    output.print(&report, |Report { device, side, batch, precision, forward_ms, training_ms, .. }| {
        format!(
            "{model} at {side} x {side} pixels, {batch} photos a step, {precision}, {device}\n\
             forward  {forward_ms:8.2} ms\ntraining {training_ms:8.2} ms (forward and backward, without the optimizer)\n"
        )
    })?;
    Ok(Outcome::Good)
}

/// A network and a batch, on a device with gradients.
struct Step {
    network: Network,
    /// Runs: the same, or a view of it in bf16.
    runs: Network,
    images: Vec<f32>,
    batch: usize,
    pwca: bool,
    device: Device,
}

impl Step {
    fn new(architecture: &Architecture, device: &Device, batch: usize, bf16: bool) -> Self {
        let network = Network::new(architecture, device);
        let [height, width] = architecture.image_size;
        let images = (0..batch * 3 * height * width).map(|i| ((i * 7919) % 1000) as f32 / 500.0 - 1.0).collect();
        let pwca = network.dcal.as_ref().is_some_and(|dcal| dcal.has_pwca());
        let runs = if bf16 { network.in_bf16() } else { network.clone() };
        Self { network, runs, images, batch, pwca, device: device.clone() }
    }

    /// Until the device has done its work.
    fn run(&self, backward: bool) -> Result<()> {
        let indices =
            |values: Vec<i32>| Tensor::<1, Int>::from_data(TensorData::new(values, [self.batch]), &self.device);
        let images = self.network.images(&self.images, &self.device);
        let number = if backward {
            let count = self.batch as i32;
            let partners = self.pwca.then(|| indices((0..count).map(|i| (i + 1) % count).collect()));
            let losses = self.runs.losses(images, indices((0..count).collect()), partners, 0.1);
            let gradients = losses.total.backward();
            let Backbone::Vit(vit) = &self.network.backbone else { return Ok(()) };
            // The first layer's is the last to be there.
            vit.cls_token.val().grad(&gradients).context("the class token has no gradient")?.sum()
        } else {
            self.runs.forward(images).logits_sa.sum()
        };
        let number: f32 = number.into_scalar();
        ensure!(number.is_finite(), "the result is not finite");
        Ok(())
    }
}

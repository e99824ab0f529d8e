//! `finegrain train`: prints the provenance of the finished run, as `run.json` in its folder holds it; with
//! `--print-config` the resolved recipe instead (TOML, or JSON with `--json`).

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::output::Output;
use super::{Outcome, interrupt};
use crate::train::{Arguments, DeviceChoice, TrainOptions, recipe, train};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The recipe: a TOML file, or the name of one that comes with the program (birds, cars, paper-categorisation, ...)
    #[arg(value_name = "CONFIG", required_unless_present = "resume")]
    config: Option<PathBuf>,
    /// Folder of the data set, in its official layout
    #[arg(long, value_name = "DIR", required_unless_present_any = ["resume", "print_config"])]
    data: Option<PathBuf>,
    /// Folder for the result: model.safetensors, run.json, config.toml, logs, checkpoint/, best/
    #[arg(long, value_name = "RUN", required_unless_present = "print_config")]
    out: Option<PathBuf>,
    /// Continue where the run in --out stopped; nothing else is needed
    #[arg(long)]
    resume: bool,
    /// Where to compute; auto takes a GPU that this build supports, else the CPU [default: auto]
    #[arg(long, value_enum)]
    device: Option<DeviceChoice>,
    /// CUDA devices that share each batch, such as 0,1
    #[arg(long, value_name = "N,N,..", value_delimiter = ',')]
    devices: Vec<usize>,
    /// Pretrained weights: timm's or Hugging Face's safetensors, or PyTorch's .pth; overrides train.init
    #[arg(long, value_name = "FILE")]
    init: Option<PathBuf>,
    /// Override a key of the recipe, such as --set train.ema=0.999; may be repeated
    #[arg(long, value_name = "TABLE.KEY=VALUE")]
    set: Vec<String>,
    /// Short for --set train.epochs=N
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,
    /// Short for --set train.batch=N
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// Short for --set train.lr=RATE
    #[arg(long, value_name = "RATE")]
    lr: Option<f64>,
    /// Short for --set train.seed=N
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Print the resolved recipe with every key and what it means, and do nothing else
    #[arg(long)]
    print_config: bool,
}

impl Args {
    /// Every override, the shorthands last.
    fn overrides(&self) -> Vec<String> {
        let short = [
            self.epochs.map(|n| format!("train.epochs={n}")),
            self.batch.map(|n| format!("train.batch={n}")),
            // With an exponent it is a float in TOML, whatever it was on the command line.
            self.lr.map(|rate| format!("train.lr={rate:e}")),
            self.seed.map(|n| format!("train.seed={n}")),
        ];
        self.set.iter().cloned().chain(short.into_iter().flatten()).collect()
    }

    fn options(self) -> Result<TrainOptions> {
        let set = self.overrides();
        let Some(out) = self.out else { bail!("--out is missing: the folder for the result") };
        let former = if self.resume { Some(Arguments::read(&out)?) } else { None };
        let own_recipe = self.resume.then(|| out.join("config.toml"));
        let Some(config) = self.config.or(own_recipe) else { bail!("the recipe is missing") };
        let Some(data) = self.data.or_else(|| former.as_ref().map(|former| former.data.clone())) else {
            bail!("--data is missing: the folder of the data set");
        };
        let device = self.device.or(former.as_ref().map(|former| former.device)).unwrap_or(DeviceChoice::Auto);
        let devices = match former {
            Some(former) if self.devices.is_empty() => former.devices,
            _ => self.devices,
        };
        let (resume, init) = (self.resume, self.init);
        Ok(TrainOptions { config, set, data, out, resume, device, devices, init, stop: Default::default() })
    }
}

pub(super) fn run(args: Args, output: &Output) -> Result<Outcome> {
    if args.print_config {
        // A run that is to go on has its recipe in its folder.
        let own = args.out.as_ref().map(|out| out.join("config.toml"));
        let config =
            args.config.as_ref().or(own.as_ref()).context("--print-config wants a recipe, or --out with a run")?;
        let config = recipe(config, &args.overrides())?;
        let text = config.to_toml()?;
        output.print(&config, |_| text)?;
        return Ok(Outcome::Good);
    }
    let options = args.options()?;
    interrupt::raise(&options.stop)?;
    let Some(record) = train(&options)? else { return Ok(Outcome::Interrupted) };
    output.print(&record, |record| {
        let accuracy = record.training.test_top1.map(|top1| format!(", {:.2} % top-1", 100.0 * top1.answer));
        let out = options.out.display();
        if let Some(ranking) = record.training.test_ranking {
            let (map, rank1) = (100.0 * ranking.map, 100.0 * ranking.rank1);
            let title = &record.title;
            return format!("{title}: trained, mAP {map:.2} %, rank-1 {rank1:.2} %; next: finegrain report {out}");
        }
        format!("{}: trained{}; next: finegrain export {out} --out BUNDLE", record.title, accuracy.unwrap_or_default())
    })?;
    Ok(Outcome::Good)
}

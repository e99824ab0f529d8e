//! Where a run starts: the resolved recipe, and weights from noise, from a file or from a checkpoint.

use std::path::Path;

use anyhow::{Context, Result, bail};
use burn::tensor::Device;
use finegrain::architecture::Architecture;
use finegrain::model::{Network, adapt};
use finegrain::photo::Preprocessing;
use sha2::{Digest, Sha256};

use super::checkpoint::{self, Init, Position, Saved};
use super::config::Config;
use super::optimizer::Optimizer;
use super::record::RunRecord;
use super::schedule::Schedule;
use super::{Arguments, TrainOptions, noise, recipe};
use crate::weights::{self, Import};

/// Photos per forward and backward pass on the CPU unless the recipe says otherwise.
const CPU_PART: usize = 8;

/// The recipe with the command line's wishes and with numbers in place of "choose for me", for so many `cores` of a CPU or
/// so many GPUs.
///
/// # Errors
/// When the recipe cannot be read or followed.
pub(super) fn resolve(options: &TrainOptions, cores: Option<usize>, devices: usize) -> Result<Config> {
    let mut config = recipe(&options.config, &options.set)?;
    let train = &mut config.train;
    if let Some(init) = &options.init {
        train.init = Some(init.clone());
    }
    if options.resume {
        // The recipe names them from where the run began, and --resume may be called elsewhere.
        let known = Arguments::read(&options.out)?.teachers;
        let runs = config.teachers.iter_mut().flat_map(|teachers| &mut teachers.runs);
        runs.zip(known).filter(|(run, _)| !run.exists()).for_each(|(run, known)| *run = known);
    }
    if train.micro_batch == 0 {
        train.micro_batch = if cores.is_some() { CPU_PART.min(train.batch) } else { train.batch.div_ceil(devices) };
    }
    if train.workers == 0 {
        train.workers = cores.unwrap_or(1);
    }
    Ok(config)
}

/// The learning rate of each step, where an epoch has `batches` of them.
pub(super) fn schedule(config: &Config, batches: usize) -> Schedule {
    let train = &config.train;
    Schedule {
        peak: train.lr,
        end: train.min_lr,
        warmup: (train.warmup_epochs * batches as f64).round() as usize,
        total: train.epochs * batches,
    }
}

/// How photos are looked at outside of training.
pub(super) fn preprocessing(config: &Config) -> Preprocessing {
    let pixels = &config.pixels;
    Preprocessing {
        resize: pixels.resize,
        fit: pixels.fit,
        crop: config.input_size(),
        mean: pixels.mean,
        std: pixels.std,
    }
}

/// What a run starts from: nothing, pretrained weights, or a checkpoint. A new run's folder gets the resolved recipe.
///
/// # Errors
/// When a run is in the way or there is none to resume, and for weights that do not fit.
pub(super) fn start(
    options: &TrainOptions,
    config: &Config,
    architecture: &Architecture,
    device: &Device,
) -> Result<(Saved, Option<Import>)> {
    let run = &options.out;
    let written = run.join("config.toml");
    let mut network = match &config.reid {
        Some(_) => Network::new(architecture, device).for_identities(),
        None => Network::new(architecture, device),
    };
    if architecture.rga().is_some() || architecture.rectify().is_some() {
        // No pretrained weights have gates or modules.
        let fresh = noise::reseed(&network.weights(), config.train.seed);
        network = network.load(&adapt(&fresh, architecture)?)?;
    }
    let mut report = None;
    let mut saved = if options.resume {
        let former = std::fs::read_to_string(&written)
            .with_context(|| format!("there is no run to resume in \"{}\"", run.display()))?;
        if !same_run(&Config::parse(&former)?, config) {
            bail!(
                "the recipe \"{}\"{} is not the one this run began with (\"{}\"); resume with that one, or leave the recipe out",
                options.config.display(),
                if options.set.is_empty() { "" } else { " with what --set says" },
                written.display()
            );
        }
        checkpoint::load(run, &config.train, network, device)?
    } else {
        if checkpoint::path(run).exists() || run.join("run.json").exists() {
            bail!("\"{}\" already holds a run; continue it with --resume or choose another folder", run.display());
        }
        let (network, init) = match &config.train.init {
            Some(path) => {
                let (network, init, import) = pretrained(path, network)?;
                report = Some(import);
                (network, Some(init))
            }
            None => {
                let weights = adapt(&noise::reseed(&network.weights(), config.train.seed), architecture)?;
                (network.load(&weights)?, None)
            }
        };
        std::fs::create_dir_all(run).with_context(|| format!("cannot create \"{}\"", run.display()))?;
        Arguments::write(options, config)?;
        if let Some(import) = &report {
            checkpoint::replace(&run.join("import.json"), &serde_json::to_vec_pretty(import)?)?;
        }
        checkpoint::replace(&written, config.to_toml()?.as_bytes())?;
        let (optimizer, position) = (Optimizer::new(&config.train), Position::default());
        Saved { network, optimizer, average: None, position, source: None, init, teachers: Vec::new() }
    };
    if config.train.freeze > 0 {
        saved.network.backbone = saved.network.backbone.freeze_first(config.train.freeze);
    }
    Ok((saved, report))
}

/// True when two recipes give the same weights.
fn same_run(a: &Config, b: &Config) -> bool {
    let normal = |config: &Config| {
        let mut config = config.clone();
        config.train.workers = 0;
        config.train.checkpoint_minutes = 0.0;
        config.train.keep = 1;
        config.train.gradient_checkpointing = false;
        config.train.init = None;
        config.data.cache_mib = 0;
        // The hashes of their weights tell.
        config.teachers.iter_mut().for_each(|teachers| teachers.runs.clear());
        config
    };
    normal(a) == normal(b)
}

/// `network` with the pretrained weights in `path`.
fn pretrained(path: &Path, network: Network) -> Result<(Network, Init, Import)> {
    let shown = path.display();
    let file = weights::read(path)?;
    let fitted = weights::import(&file, network);
    let (network, import) = fitted.with_context(|| format!("\"{shown}\" does not fit the recipe's [model]"))?;
    let bytes = std::fs::read(path).with_context(|| format!("cannot read the weights \"{shown}\""))?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let sha256 = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let run = path.parent().and_then(|folder| RunRecord::read(folder).ok()).map(|record| Box::new(record.training));
    Ok((network, Init { name, sha256, run }, import))
}

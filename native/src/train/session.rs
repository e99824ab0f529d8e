//! A training run from recipe to weights.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use burn::tensor::Device;
use finegrain::architecture::Architecture;
use finegrain::model::{Network, adapt};
use finegrain::photo::Preprocessing;
use finegrain::tensors::{Precision, TensorMap};
use sha2::{Digest, Sha256};

use super::adamw::{AdamW, Rates, clip_scale};
use super::checkpoint::{self, Init, Position, Saved};
use super::config::Config;
use super::ema::Ema;
use super::gradients::{Workers, contiguous, count_parameters};
use super::loader::Loader;
use super::log::{EpochLine, Log, StepLine};
use super::record::{RunRecord, Training};
use super::schedule::Schedule;
use super::{TrainOptions, measure, noise};
use crate::data::Dataset;

/// Photos per forward and backward pass on the CPU unless the recipe says otherwise.
const CPU_PART: usize = 8;

/// Trains after the recipe; returns `None` when it was stopped (a checkpoint is saved then).
///
/// # Errors
/// One sentence for a recipe, data set, weights, checkpoint or disk that cannot be used, and for a loss that is no
/// number; what was saved before stays.
pub fn train(options: &TrainOptions) -> Result<Option<RunRecord>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (device, device_name) = options.device.open()?;
    let config = resolve(options, device_name == "cpu", cores)?;
    let dataset = Dataset::open(config.data.kind, &options.data)?;
    dataset.check_trainable()?;
    let architecture = config.architecture(dataset.labels.len());
    let start = start(options, &config, &architecture, &device)?;

    let loader = Loader::new(dataset.train.clone(), &config, cores.div_ceil(2))?;
    let workers = if device_name == "cpu" { config.train.workers } else { 0 };
    let network = contiguous(start.network);
    let average = start.average.map_or_else(|| network.clone(), contiguous);
    let mut session = Session {
        run: &options.out,
        schedule: schedule(&config, loader.batches()),
        workers: Workers::new(&device, workers, config.train.micro_batch, config.train.label_smoothing)?,
        log: Log::open(&options.out, start.position.step, config.train.epochs * loader.batches())?,
        ema: Ema::new(config.train.ema, &average),
        network,
        optimizer: start.optimizer,
        position: start.position,
        init: start.init,
        saved: Instant::now(),
        config,
    };
    let (all, trained) = count_parameters(&session.network);
    session.log.say(&format!(
        "{} classes, {} training photos, {all} parameters ({trained} trained), on {device_name}",
        dataset.labels.len(),
        dataset.train.len(),
    ));
    let Some(last) = session.epochs(&loader, options)? else { return Ok(None) };

    let preprocessing = preprocessing(&session.config);
    let test_top1 = if dataset.test.is_empty() {
        None
    } else {
        session.log.say("training has ended; naming the test photos once");
        Some(measure::top1(session.result(), &device, workers, &preprocessing, &dataset.test)?)
    };
    let weights = session.result().weights();
    let mut recipe = session.config;
    recipe.train.init = None;
    let record = RunRecord {
        format: 1,
        id: recipe.id.clone(),
        title: recipe.title.clone(),
        architecture,
        preprocessing,
        labels: dataset.labels,
        training: Training {
            finegrain: env!("CARGO_PKG_VERSION").into(),
            device: device_name.into(),
            train_photos: dataset.train.len(),
            test_photos: dataset.test.len(),
            init_sha256: session.init.as_ref().map(|init| init.sha256.clone()),
            init_file: session.init.as_ref().map(|init| init.name.clone()),
            init_run: session.init.and_then(|init| init.run),
            epochs: recipe.train.epochs,
            steps: session.position.step,
            seconds: session.position.seconds,
            final_train_loss: last.epoch_loss,
            final_train_accuracy: last.epoch_accuracy,
            test_top1,
            recipe,
        },
    };
    checkpoint::replace(&options.out.join("model.safetensors"), &weights.write(Precision::F32)?)?;
    checkpoint::replace(&options.out.join("run.json"), &serde_json::to_vec_pretty(&record)?)?;
    Ok(Some(record))
}

/// The recipe with the command line's wishes and with numbers in place of "choose for me".
fn resolve(options: &TrainOptions, cpu: bool, cores: usize) -> Result<Config> {
    let path = &options.config;
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read the recipe \"{}\"", path.display()))?;
    let mut config = Config::parse(&text).with_context(|| format!("\"{}\"", path.display()))?;
    let train = &mut config.train;
    if let Some(init) = &options.init {
        train.init = Some(init.clone());
    }
    if train.micro_batch == 0 {
        train.micro_batch = if cpu { CPU_PART.min(train.batch) } else { train.batch };
    }
    if train.workers == 0 {
        train.workers = cores;
    }
    Ok(config)
}

fn schedule(config: &Config, batches: usize) -> Schedule {
    let train = &config.train;
    Schedule {
        peak: train.lr,
        end: train.min_lr,
        warmup: (train.warmup_epochs * batches as f64).round() as usize,
        total: train.epochs * batches,
    }
}

fn preprocessing(config: &Config) -> Preprocessing {
    let pixels = &config.pixels;
    Preprocessing { resize: pixels.resize, crop: config.model.image_size, mean: pixels.mean, std: pixels.std }
}

/// What a run starts from: nothing, pretrained weights, or a checkpoint.
fn start(options: &TrainOptions, config: &Config, architecture: &Architecture, device: &Device) -> Result<Saved> {
    let run = &options.out;
    let recipe = run.join("config.toml");
    let network = Network::new(architecture, device);
    let mut saved = if options.resume {
        let former = std::fs::read_to_string(&recipe)
            .with_context(|| format!("there is no run to resume in \"{}\"", run.display()))?;
        if !same_run(&Config::parse(&former)?, config) {
            bail!(
                "the recipe \"{}\" is not the one this run began with (\"{}\"); resume with that one",
                options.config.display(),
                recipe.display()
            );
        }
        checkpoint::load(run, network, device)?
    } else {
        if checkpoint::path(run).exists() || run.join("run.json").exists() {
            bail!("\"{}\" already holds a run; continue it with --resume or choose another folder", run.display());
        }
        let (network, init) = match &config.train.init {
            Some(path) => pretrained(path, network).map(|(network, init)| (network, Some(init)))?,
            None => {
                let weights = adapt(&noise::reseed(&network.weights(), config.train.seed), architecture)?;
                (network.load(&weights)?, None)
            }
        };
        std::fs::create_dir_all(run).with_context(|| format!("cannot create \"{}\"", run.display()))?;
        checkpoint::replace(&recipe, toml::to_string(config)?.as_bytes())?;
        Saved { network, optimizer: AdamW::default(), average: None, position: Position::default(), init }
    };
    if config.train.freeze > 0 {
        saved.network.vit = saved.network.vit.freeze_first(config.train.freeze);
    }
    Ok(saved)
}

/// True when two recipes give the same weights.
fn same_run(a: &Config, b: &Config) -> bool {
    let normal = |config: &Config| {
        let mut config = config.clone();
        config.train.workers = 0;
        config.train.checkpoint_minutes = 0.0;
        config.train.init = None;
        config.data.cache_mib = 0;
        config
    };
    normal(a) == normal(b)
}

/// `network` with the pretrained weights in `path`.
fn pretrained(path: &Path, network: Network) -> Result<(Network, Init)> {
    let shown = path.display();
    let bytes = std::fs::read(path).with_context(|| format!("cannot read the pretrained weights \"{shown}\""))?;
    let weights = TensorMap::read(&bytes).with_context(|| format!("\"{shown}\""))?;
    let fitted = adapt(&weights, &network.architecture().clone()).and_then(|weights| network.load(&weights));
    let network = fitted.with_context(|| format!("\"{shown}\" does not fit the recipe's [model]"))?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let sha256 = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let run = path.parent().and_then(|folder| RunRecord::read(folder).ok()).map(|record| Box::new(record.training));
    Ok((network, Init { name, sha256, run }))
}

struct Session<'a> {
    run: &'a Path,
    config: Config,
    schedule: Schedule,
    workers: Workers,
    log: Log,
    network: Network,
    optimizer: AdamW,
    ema: Option<Ema>,
    position: Position,
    init: Option<Init>,
    saved: Instant,
}

impl Session<'_> {
    /// Runs the epochs that are left; the last one's summary, or `None` when stopped.
    fn epochs(&mut self, loader: &std::sync::Arc<Loader>, options: &TrainOptions) -> Result<Option<EpochLine>> {
        let mut last = self.summary();
        while self.position.epoch < self.config.train.epochs {
            let batches = loader.epoch(self.position.epoch, self.position.batch);
            loop {
                let waited = Instant::now();
                let Ok(batch) = batches.recv() else { break };
                self.step(&batch?, waited)?;
                let stop = options.stop.load(Ordering::Relaxed);
                if stop || self.saved.elapsed() > Duration::from_secs_f64(60.0 * self.config.train.checkpoint_minutes) {
                    self.save()?;
                }
                if stop {
                    self.log.say(&format!(
                        "stopped after step {}; continue with --resume, nothing is lost",
                        self.position.step
                    ));
                    return Ok(None);
                }
            }
            last = self.summary();
            self.log.epoch(&last)?;
            if self.position.epoch + 1 == self.config.train.epochs {
                break;
            }
            self.position =
                Position { epoch: self.position.epoch + 1, batch: 0, epoch_sums: Default::default(), ..self.position };
            self.save()?;
        }
        self.save()?;
        Ok(Some(last))
    }

    fn step(&mut self, batch: &super::loader::Batch, waited: Instant) -> Result<()> {
        let waiting = waited.elapsed().as_secs_f64();
        let (gradients, outcome) = self.workers.run(&self.network, batch)?;
        let step = self.position.step;
        let (scale, norm) = clip_scale(&self.network, &gradients, self.config.train.clip_norm);
        if !outcome.loss.is_finite() || !norm.is_finite() {
            bail!(
                "the loss is no longer a number at step {}; the last checkpoint is kept: lower train.lr and start again",
                step + 1
            );
        }
        let lr = self.schedule.rate(step);
        let train = &self.config.train;
        let depth = self.config.model.depth;
        let rates = |path: &str| rates(path, lr, train.head_lr_factor, train.layer_decay, depth, train.weight_decay);
        self.network = self.optimizer.step(self.network.clone(), gradients, scale, &rates);
        if let Some(ema) = &mut self.ema {
            ema.update(&self.network, step);
        }
        let seconds = waited.elapsed().as_secs_f64();
        self.position.step += 1;
        self.position.batch += 1;
        self.position.seconds += seconds;
        self.position.epoch_sums.add(&outcome.sum());
        let line = StepLine {
            step: self.position.step,
            epoch: self.position.epoch + 1,
            loss: outcome.loss,
            parts: outcome.parts,
            accuracy: outcome.correct as f64 / outcome.count as f64,
            lr,
            gradient_norm: norm,
            images_per_second: outcome.count as f64 / seconds,
            waiting: waiting / seconds,
        };
        self.log.step(&line, outcome.count)
    }

    fn summary(&self) -> EpochLine {
        let sums = self.position.epoch_sums;
        let means = sums.mean();
        EpochLine {
            step: self.position.step,
            epoch: self.position.epoch + 1,
            epoch_loss: means.loss,
            epoch_parts: means.parts,
            epoch_accuracy: sums.correct as f64 / sums.count.max(1) as f64,
            seconds: self.position.seconds,
        }
    }

    /// The network that is measured and kept: the average where there is one.
    fn result(&self) -> &Network {
        self.ema.as_ref().map_or(&self.network, Ema::network)
    }

    fn save(&mut self) -> Result<()> {
        let average = self.ema.as_ref().map(Ema::network);
        checkpoint::save(self.run, &self.network, &self.optimizer, average, &self.position, self.init.as_ref())?;
        self.saved = Instant::now();
        Ok(())
    }
}

/// Rate and decay of the parameter at burn's path `path`.
fn rates(path: &str, lr: f64, head_factor: f64, layer_decay: f64, depth: usize, decay: f64) -> Rates {
    let decayed = path.ends_with(".weight");
    let head = path.starts_with("vit.head.") || path.starts_with("dcal.glca.head.");
    let above = match path.strip_prefix("vit.blocks.").and_then(|rest| rest.split('.').next()?.parse::<usize>().ok()) {
        Some(block) => depth - 1 - block,
        None if path.starts_with("vit.patch_embed.") || path.ends_with("_token") || path.ends_with("_embed") => depth,
        None => 0,
    };
    let factor = if head { head_factor } else { layer_decay.powi(above as i32) };
    Rates { lr: lr * factor, decay: if decayed { decay } else { 0.0 } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_parameter_gets_its_rate_and_decay() {
        let of = |path| rates(path, 1e-4, 10.0, 0.5, 12, 0.05);
        assert_eq!(of("vit.head.weight"), Rates { lr: 1e-3, decay: 0.05 });
        assert_eq!(of("dcal.glca.head.bias"), Rates { lr: 1e-3, decay: 0.0 });
        assert_eq!(of("vit.blocks.11.attn.qkv.weight"), Rates { lr: 1e-4, decay: 0.05 });
        assert_eq!(of("vit.blocks.10.norm1.gamma"), Rates { lr: 0.5e-4, decay: 0.0 });
        assert_eq!(of("vit.pos_embed"), Rates { lr: 1e-4 * 0.5f64.powi(12), decay: 0.0 });
        assert_eq!(of("dcal.loss_log_var"), Rates { lr: 1e-4, decay: 0.0 });
        assert_eq!(of("dcal.glca.block.mlp.fc1.weight"), Rates { lr: 1e-4, decay: 0.05 });
    }
}

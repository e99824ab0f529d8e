//! The epochs of a run: optimizer steps, checkpoints, and the held-out photos after each epoch.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use burn::tensor::Device;
use finegrain::model::Network;
use finegrain::photo::Preprocessing;

use super::adamw::clip_scale;
use super::checkpoint::{self, Init, Position, Source};
use super::config::{Choice, Config};
use super::ema::Ema;
use super::gradients::Workers;
use super::loader::{Batch, Loader};
use super::log::{EpochLine, Log, StepLine};
use super::optimizer::Optimizer;
use super::rates::rates;
use super::record::Best;
use super::schedule::Schedule;
use super::{TrainOptions, measure, memory, out_of_memory};
use crate::data::Sample;

/// A run under way.
pub(super) struct Session<'a> {
    pub run: &'a Path,
    pub config: Config,
    pub schedule: Schedule,
    pub workers: Workers,
    pub log: Log,
    pub network: Network,
    pub optimizer: Optimizer,
    pub ema: Option<Ema>,
    pub position: Position,
    pub source: Source,
    pub init: Option<Init>,
    pub saved: Instant,
    pub device: Device,
    pub preprocessing: Preprocessing,
    pub held_out: Vec<Sample>,
}

impl Session<'_> {
    /// Runs the epochs that are left; the last one's summary, or `None` when stopped.
    ///
    /// # Errors
    /// For a photo that cannot be read, a loss that is no number, and a disk that refuses.
    pub(super) fn epochs(&mut self, loader: &Arc<Loader>, options: &TrainOptions) -> Result<Option<EpochLine>> {
        while self.position.epoch < self.config.train.epochs && !self.patience_is_over() {
            let batches = loader.epoch(self.position.epoch, self.position.batch);
            loop {
                let waited = Instant::now();
                let Ok(batch) = batches.recv() else { break };
                let batch = batch?;
                out_of_memory::guard(self.position.step + 1, || self.step(&batch, waited))?;
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
            self.end_epoch()?;
        }
        Ok(Some(self.position.last.unwrap_or_else(|| self.summary())))
    }

    /// Measures the held-out photos, keeps the best weights, and saves.
    fn end_epoch(&mut self) -> Result<()> {
        let mut line = self.summary();
        if !self.held_out.is_empty() {
            let (network, workers) = (self.current(), self.workers.count());
            let held_out = measure::held_out(network, &self.device, workers, &self.preprocessing, &self.held_out)?;
            (line.held_out_top1, line.held_out_loss) = (Some(held_out.top1), Some(held_out.loss));
            let best = Best { epoch: line.epoch, step: line.step, top1: held_out.top1, loss: held_out.loss };
            if self.position.best.is_none_or(|former| best.beats(&former)) {
                checkpoint::save_best(self.run, &self.current().weights(), &best)?;
                self.position.best = Some(best);
            }
        }
        self.position = Position {
            epoch: self.position.epoch + 1,
            batch: 0,
            epoch_sums: Default::default(),
            last: Some(line),
            ..self.position
        };
        self.save()?;
        checkpoint::keep(self.run, self.position.epoch, self.config.train.keep)?;
        self.log.epoch(&line)?;
        if self.patience_is_over() && self.position.epoch < self.config.train.epochs {
            let patience = self.config.train.early_stopping;
            self.log.say(&format!("no better on the held-out photos for {patience} epochs: training ends early"));
        }
        Ok(())
    }

    /// True when the held-out photos have not been named better for `train.early_stopping` epochs.
    fn patience_is_over(&self) -> bool {
        let patience = self.config.train.early_stopping;
        patience > 0 && self.position.best.is_some_and(|best| self.position.epoch >= best.epoch + patience)
    }

    fn step(&mut self, batch: &Batch, waited: Instant) -> Result<()> {
        let waiting = waited.elapsed().as_secs_f64();
        let (gradients, outcome, seen, norms) = match &self.config.reid {
            Some(reid) => self.workers.run_identities(&self.network, batch, reid)?,
            None => {
                let (gradients, outcome, norms) = self.workers.run(&self.network, batch)?;
                (gradients, outcome, Default::default(), norms)
            }
        };
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
        let rates = |path: &str| rates(path, lr, train, self.config.model.depth);
        let stepped = self.optimizer.step(self.network.clone(), gradients, scale, &rates).observe(&seen);
        self.network = norms.into_iter().fold(stepped, Network::observe_norms);
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
            held_out_top1: None,
            held_out_loss: None,
            peak_mib: memory::peak_mib(),
        }
    }

    /// The network that is measured: the average where there is one.
    fn current(&self) -> &Network {
        self.ema.as_ref().map_or(&self.network, Ema::network)
    }

    /// The network that the run ends with: the last one, or the best where the recipe says so.
    ///
    /// # Errors
    /// When the best weights cannot be read.
    pub(super) fn result(&self) -> Result<Network> {
        match self.config.train.result {
            Choice::Last => Ok(self.current().clone()),
            Choice::Best => checkpoint::load_best(self.run, self.current().clone()),
        }
    }

    fn save(&mut self) -> Result<()> {
        let average = self.ema.as_ref().map(Ema::network);
        let began = (&self.source, self.init.as_ref(), self.workers.teachers());
        checkpoint::save(self.run, &self.network, &self.optimizer, average, &self.position, began)?;
        self.saved = Instant::now();
        Ok(())
    }
}

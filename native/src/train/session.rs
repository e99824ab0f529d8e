//! A training run from recipe to weights.

use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::{Result, bail};
use finegrain::tensors::Precision;

use super::checkpoint::{self, Source};
use super::config::PrecisionChoice;
use super::ema::Ema;
use super::epochs::Session;
use super::gradients::Workers;
use super::loader::Loader;
use super::log::Log;
use super::parameters::{contiguous, count_parameters};
use super::record::{RunRecord, TestAccuracy, Training};
use super::start::{preprocessing, resolve, schedule, start};
use super::teachers::Staff;
use super::{TrainOptions, measure, out_of_memory};
use crate::data::{DataError, Task};
use crate::hierarchy;

/// Trains after the recipe; returns `None` when it was stopped (a checkpoint is saved then).
///
/// # Errors
/// One sentence for a recipe, data set, weights, checkpoint or disk that cannot be used, and for a loss that is no
/// number; what was saved before stays.
pub fn train(options: &TrainOptions) -> Result<Option<RunRecord>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (devices, device_name) = options.device.open_all(&options.devices)?;
    let Some(device) = devices.first().cloned() else { bail!("there is no device to train on") };
    let config = resolve(options, (device_name == "cpu").then_some(cores), devices.len())?;
    if config.train.precision == PrecisionChoice::Bf16 && device_name != "cuda" {
        bail!(
            "train.precision \"bf16\" is for CUDA, and this run computes on {device_name}: use --device cuda, or leave the \
             key out"
        );
    }
    if device_name != "cpu" {
        out_of_memory::quieten();
    }
    let mut task = Task::open(config.data.kind, &options.data)?;
    let broken = match config.data.skip_broken {
        true => task.without_broken(&options.stop, &|| ()),
        false => Vec::new(),
    };
    if config.data.skip_broken && options.stop.load(Ordering::Relaxed) {
        // The search was cut short, nothing has begun.
        return Ok(None);
    }
    task.check_trainable()?;
    if let Some(reid) = &config.reid {
        let (needed, found) = (config.train.batch / reid.photos, task.labels().len());
        if found < needed {
            return Err(DataError::TooFewIdentities { needed, found }.into());
        }
    }
    // A file that cannot be used ends the run before it has begun, not after.
    let hierarchy = hierarchy::of_data(config.data.hierarchy.as_deref(), &task)?;
    task.hold_out(config.data.held_out, config.train.seed);
    let architecture = config.architecture(task.labels().len());
    let staff = Staff::open(&config, task.labels(), &devices, device_name == "cpu")?;
    let (start, import) = start(options, &config, &architecture, &device)?;
    if let (true, Some(staff)) = (options.resume, &staff) {
        staff.check_same(&start.teachers)?;
    }

    let source = Source::of(&task);
    if start.source.as_ref().is_some_and(|began| *began != source) {
        bail!(
            "the data set \"{}\" is not the one this run began with: it has other classes or another number of training photos; \
             resume with that one",
            options.data.display()
        );
    }
    let loader = Loader::new(task.train(), &config, cores.div_ceil(2))?;
    start.position.check(config.train.epochs, loader.batches())?;
    let workers = if device_name == "cpu" { config.train.workers } else { 0 };
    let network = contiguous(start.network);
    let average = start.average.map_or_else(|| network.clone(), contiguous);
    let mut session = Session {
        run: &options.out,
        schedule: schedule(&config, loader.batches()),
        workers: Workers::over(&devices, workers, &config.train)?.taught_by(staff),
        log: Log::open(&options.out, &start.position, config.train.epochs * loader.batches())?,
        device,
        preprocessing: preprocessing(&config),
        held_out: task.held_out().to_vec(),
        ema: Ema::new(config.train.ema, &average),
        network,
        optimizer: start.optimizer,
        position: start.position,
        source,
        init: start.init,
        saved: Instant::now(),
        config,
    };
    let (all, trained) = count_parameters(&session.network);
    session.log.say(&format!(
        "{} {}, {} training photos, {} held out, {all} parameters ({trained} trained), on {device_name}",
        task.labels().len(),
        if session.config.reid.is_some() { "identities" } else { "classes" },
        loader.photos(),
        session.held_out.len(),
    ));
    for line in session.workers.staff().iter().flat_map(|staff| staff.lines()) {
        session.log.say(&line);
    }
    for photo in &broken {
        session.log.say(&format!("left out: {}", photo.reason));
    }
    for line in import.iter().flat_map(|import| import.lines()) {
        session.log.say(&line);
    }
    let Some(last) = session.epochs(&loader, options)? else { return Ok(None) };

    let network = session.result()?;
    let mut recipe = session.config;
    let measures = if task.test_photos() == 0 && task.held_out().is_empty() {
        None
    } else {
        session.log.say("training has ended; measuring it, the test photos once");
        let (device, preprocessing, reid) = (&session.device, &session.preprocessing, recipe.reid.as_ref());
        Some(measure::at_end(&options.out, &network, device, workers, preprocessing, &task, reid)?)
    };
    let test = measures.as_ref().and_then(|measures| measures.test.as_ref()).filter(|test| test.photos > 0);
    let retrieval = measures.as_ref().and_then(|measures| measures.retrieval.as_ref());
    recipe.train.init = None;
    for run in recipe.teachers.iter_mut().flat_map(|teachers| &mut teachers.runs) {
        *run = run.file_name().unwrap_or_default().into();
    }
    let record = RunRecord {
        format: 1,
        id: recipe.id.clone(),
        title: recipe.title.clone(),
        architecture,
        preprocessing: session.preprocessing,
        hierarchy,
        labels: task.labels().to_vec(),
        training: Training {
            finegrain: env!("CARGO_PKG_VERSION").into(),
            device: device_name.into(),
            train_photos: loader.photos(),
            test_photos: task.test_photos(),
            init_sha256: session.init.as_ref().map(|init| init.sha256.clone()),
            init_file: session.init.as_ref().map(|init| init.name.clone()),
            init_run: session.init.and_then(|init| init.run),
            teachers: session.workers.teachers().to_vec(),
            averaged: Vec::new(),
            skipped_photos: broken.len(),
            held_out_photos: session.held_out.len(),
            best: session.position.best,
            epochs: session.position.epoch,
            steps: session.position.step,
            seconds: session.position.seconds,
            final_train_loss: last.epoch_loss,
            final_train_accuracy: last.epoch_accuracy,
            test_top1: test.map(TestAccuracy::of),
            test_ranking: retrieval.map(|retrieval| retrieval.plain.answer),
            recipe,
        },
    };
    checkpoint::replace(&options.out.join("model.safetensors"), &network.weights().write(Precision::F32)?)?;
    checkpoint::replace(&options.out.join("run.json"), &serde_json::to_vec_pretty(&record)?)?;
    Ok(Some(record))
}

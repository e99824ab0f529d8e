//! Times the tiles of each matrix product of a network on the device, at load: on a buffer of zeros each, several dispatches
//! in a row, with the device's timestamps where it was opened with them, else with the clock on the wall.

use super::executor::{Dispatch, Executor, Pipelines};
#[cfg(not(target_arch = "wasm32"))]
use super::profile::Timestamps;
use super::recording::{Buffer, Command, Kernel, Recording};
use super::tiles::{Product, TileTimes, Times, products};
use super::weights::WeightBuffers;
use super::{EngineError, Gpu};

/// So many milliseconds make what a submission costs, which is the same for every tile, small beside the work.
const LONG_ENOUGH: f64 = 2.0;
/// The best of so many counts: whatever else the machine does only takes time.
const ROUNDS: usize = 3;
/// A dispatch is not repeated more often than this.
const MOST: usize = 256;

/// How [`super::Engine::load_with`] finds the fastest tile of each matrix product.
#[derive(Debug, Clone, Copy)]
pub struct Tuning<'a> {
    /// What [`super::Engine::tile_times`] gave after an earlier load: products in it are not measured again. A text that is
    /// damaged, or from another adapter, driver or version, is ignored.
    pub known: Option<&'a str>,
    /// Measures on an adapter that computes on the processor, too; else the default tiles hold there.
    pub software: bool,
    /// Milliseconds after which no further product is measured: it gets the default tile, and its turn at the next load.
    pub budget: f64,
    /// A clock in milliseconds.
    pub clock: fn() -> f64,
}

/// Adds to `times` what they do not know of the recording's products, those with most work first. What it compiles is added
/// to `pipelines`.
pub(super) async fn measure(
    gpu: &Gpu,
    recording: &Recording,
    pipelines: &Pipelines,
    tuning: &Tuning<'_>,
    times: &mut Times,
) -> Result<(), EngineError> {
    let end = (tuning.clock)() + tuning.budget;
    let mut unknown = products(recording);
    unknown.retain(|(product, _)| times.of(product).is_none());
    let stopwatch = Stopwatch::new(gpu, tuning.clock);
    let work = |(_, (product, count)): &(usize, &(Product, usize))| product.work() * *count as u64;
    while let Some((index, _)) = unknown.iter().enumerate().max_by_key(work) {
        if (tuning.clock)() >= end {
            break;
        }
        let (product, _) = unknown.swap_remove(index);
        if let Some(found) = one(gpu, recording, pipelines, &product, &stopwatch, end).await? {
            times.add(&product, found);
        }
    }
    Ok(())
}

/// Nanoseconds of each tile of a product; none where the device has no room for it.
async fn one(
    gpu: &Gpu,
    recording: &Recording,
    pipelines: &Pipelines,
    product: &Product,
    stopwatch: &Stopwatch,
    end: f64,
) -> Result<Option<TileTimes>, EngineError> {
    let mut able: Vec<&'static Kernel> = Vec::new();
    for tile in product.tiles {
        match pipelines.compile_one(gpu, tile).await {
            Ok(()) => able.push(tile),
            // A driver may refuse one and take another.
            Err(EngineError::Compile { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let Some(trial) = trial(recording, product, &able) else { return Ok(None) };
    let executor = match Executor::new(gpu, trial, pipelines, &WeightBuffers::default(), &[]).await {
        Ok(executor) => executor,
        Err(_) => {
            gpu.check()?;
            return Ok(None);
        }
    };
    let dispatches: Vec<&Dispatch> = executor.dispatches().collect();
    // Drivers compile again when a kernel first runs.
    for dispatch in &dispatches {
        stopwatch.time(gpu, dispatch, 1).await?;
    }
    let Some(first) = dispatches.first() else { return Ok(None) };
    let mut repeats = 1;
    while repeats < MOST && stopwatch.time(gpu, first, repeats).await? < LONG_ENOUGH {
        repeats *= 4;
    }
    let mut best = vec![f64::INFINITY; dispatches.len()];
    for round in 0..ROUNDS {
        if round > 0 && (stopwatch.clock)() >= end {
            break;
        }
        for (dispatch, best) in dispatches.iter().zip(&mut best) {
            *best = best.min(stopwatch.time(gpu, dispatch, repeats).await? / repeats as f64);
        }
    }
    // A clock that stood still says nothing.
    let measured = best.iter().all(|ms| *ms > 0.0);
    let names = able.iter().map(|tile| tile.shader.name.to_owned());
    let nanoseconds = best.iter().map(|ms| (ms * 1e6).ceil() as u64);
    Ok(measured.then(|| names.zip(nanoseconds).collect()))
}

/// The product once in each tile, on buffers of its own.
fn trial(recording: &Recording, product: &Product, tiles: &[&'static Kernel]) -> Option<Recording> {
    let own = |command: &&Command| {
        matches!(command, Command::Dispatch { kernel, uniforms, .. }
            if Product::of(kernel, uniforms).is_some_and(|other| other == *product))
    };
    let Some(Command::Dispatch { uniforms, bindings, .. }) = recording.commands().iter().find(own) else { return None };
    let mut trial = Recording::default();
    let mut copies = Vec::new();
    for id in bindings {
        let Buffer { label, shape, .. } = recording.buffers().get(id.0)?;
        copies.push(trial.scratch(label, shape));
    }
    tiles.iter().for_each(|tile| trial.dispatch_bytes(tile.shader.name.into(), tile, uniforms, &copies));
    Some(trial)
}

/// What times are taken with.
struct Stopwatch {
    clock: fn() -> f64,
    #[cfg(not(target_arch = "wasm32"))]
    timestamps: Option<Timestamps>,
}

impl Stopwatch {
    #[cfg_attr(
        target_arch = "wasm32",
        expect(unused_variables, reason = "browsers make timestamps coarse: the clock it is")
    )]
    fn new(gpu: &Gpu, clock: fn() -> f64) -> Self {
        Self {
            clock,
            #[cfg(not(target_arch = "wasm32"))]
            timestamps: Timestamps::of(gpu, 1),
        }
    }

    /// Milliseconds of a dispatch `repeats` times in a row.
    async fn time(&self, gpu: &Gpu, dispatch: &Dispatch, repeats: usize) -> Result<f64, EngineError> {
        #[cfg(not(target_arch = "wasm32"))]
        if let Some(timestamps) = &self.timestamps {
            return timestamps.together(gpu, dispatch, repeats).await;
        }
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("tuning") });
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            (0..repeats).for_each(|_| dispatch.encode(&mut pass));
        }
        let commands = encoder.finish();
        let start = (self.clock)();
        gpu.queue.submit([commands]);
        gpu.settle().await?;
        Ok((self.clock)() - start)
    }
}

//! Times the tiles of each matrix product of a network on the device, at load: on arbitrary values, several dispatches in a row,
//! with the device's timestamps where it was opened with them, else with the clock on the wall. Natively a tile that computes
//! something else than the default one is left out (the page compares the whole network with its golden trace).

use super::executor::{Dispatch, Executor};
use super::kernels;
use super::pipelines::Pipelines;
#[cfg(not(target_arch = "wasm32"))]
use super::profile::Timestamps;
use super::recording::{Access, Buffer, Command, Kernel, Recording};
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
    let Product { inner, columns, .. } = *product;
    for tile in product.tiles.iter().filter(|tile| gpu.runs(tile) && kernels::suits(tile, inner, columns)) {
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
    executor.fill(gpu, arbitrary);
    #[cfg(not(target_arch = "wasm32"))]
    let right = agreeing(gpu, &executor, &able).await?;
    #[cfg(target_arch = "wasm32")]
    let right = vec![true; able.len()];
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
    let times = names.zip(nanoseconds).zip(right).filter_map(|(time, right)| right.then_some(time));
    Ok(measured.then(|| times.collect()))
}

/// Word `index` of any buffer: a finite f32, and two finite halves, and four bytes.
fn arbitrary(index: usize) -> u32 {
    let mixed = (index as u32).wrapping_add(1).wrapping_mul(0x9e37_79b9);
    let mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x85eb_ca6b);
    (mixed ^ (mixed >> 13)) & 0x83ff_83ff | 0x3c00_3c00
}

/// Which tiles compute what the first one does, each in a buffer of its own.
#[cfg(not(target_arch = "wasm32"))]
async fn agreeing(gpu: &Gpu, executor: &Executor, tiles: &[&Kernel]) -> Result<Vec<bool>, EngineError> {
    let found = executor.run(gpu, &[]).await?;
    let values = |tile: &Kernel| found.reals(tile.shader.name).unwrap_or_default();
    let expected = tiles.first().map_or(&[][..], |first| values(first));
    // Matrix units round x to halves.
    let most = |tile: &Kernel| if tile.shader.matrix_units > 0 { 5e-3 } else { 1e-4 };
    Ok(tiles.iter().map(|tile| near(values(tile), expected, most(tile))).collect())
}

/// Whether the difference is at most so large, of `expected`'s norm; NaN is not.
#[cfg(not(target_arch = "wasm32"))]
fn near(found: &[f32], expected: &[f32], most: f64) -> bool {
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    let difference = norm(&mut found.iter().zip(expected).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    found.len() == expected.len() && difference <= most * norm(&mut expected.iter().map(|value| f64::from(*value)))
}

/// The product once in each tile, on buffers of its own; each result is read back by the name of its tile.
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
    let mut written = Vec::new();
    for tile in tiles {
        let mut bindings = copies.clone();
        for (binding, id) in tile.shader.bindings.iter().skip(1).zip(&mut bindings) {
            if binding.access == Access::ReadWrite {
                let shape = trial.buffers().get(id.0)?.shape.clone();
                *id = trial.scratch(tile.shader.name, &shape);
                written.push(*id);
            }
        }
        trial.dispatch_bytes(tile.shader.name.into(), tile, uniforms, &bindings);
        written.drain(..).for_each(|id| trial.read_back(tile.shader.name, id));
    }
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

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use half::f16;

    use super::*;

    #[test]
    fn arbitrary_words_are_numbers_whatever_they_are_read_as() {
        let words: Vec<u32> = (0..1000).map(arbitrary).collect();
        for word in &words {
            let halves = [*word as u16, (word >> 16) as u16].map(|half| f16::from_bits(half).to_f32().abs());
            let value = f32::from_bits(*word).abs();
            assert!((1.0 / 128.0..2.0).contains(&value) && halves.iter().all(|h| (1.0..2.0).contains(h)), "{word:x}");
        }
        assert!(words.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn a_tile_that_computes_something_else_is_found_out() {
        let expected = [1.0, -2.0, 2.0];
        assert!(near(&expected, &expected, 0.0) && near(&[1.0, -2.0, 2.002], &expected, 1e-3));
        assert!(!near(&[1.0, -2.0, 2.004], &expected, 1e-3) && !near(&[1.0, -2.0], &expected, 1e-3));
        assert!(!near(&[1.0, f32::NAN, 2.0], &expected, 1e9));
    }
}

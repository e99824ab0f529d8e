//! The profiler: how long each kernel of a recording takes. Opt-in and native only; classifying knows nothing of it.
//!
//! Where the device has timestamps ([`Gpu::open_to_profile`] on an adapter with `timestamp-query`), each dispatch gets a
//! compute pass of its own between two of them. Elsewhere the dispatches of one kernel are submitted together and the clock
//! on the wall is read: that adds what a submission costs, and says so ([`Clock`]).

use std::collections::BTreeMap;
use std::time::Instant;

use super::executor::{Dispatch, Executor};
use super::gpu::one_line;
use super::pipelines::Pipelines;
use super::recording::{Command, Recording};
use super::weights::WeightBuffers;
use super::{Cost, Engine, EngineError, Gpu};

/// WebGPU's limit of a query set is 4096.
const MAX_DISPATCHES: usize = 2048;

/// What a profile's times were taken with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Clock {
    /// Timestamps of the device before and after each dispatch.
    Timestamps,
    /// The clock on the wall around one submission for each kernel: its overhead is in the time.
    Submissions,
}

/// The dispatches of one kernel in a recording, together.
#[derive(Debug, Clone, PartialEq)]
pub struct KernelTimes {
    /// Name of the specialisation, as in `shaders/permutations`.
    pub kernel: &'static str,
    /// How often it runs in a photo.
    pub dispatches: usize,
    /// All of them in one photo: the median of the runs.
    pub milliseconds: f64,
    /// What they have to do.
    pub cost: Cost,
}

/// A recording on a device, to be run and timed over and over.
pub struct Profiler {
    gpu: Gpu,
    executor: Executor,
    /// Of each dispatch.
    kernels: Vec<(&'static str, Cost)>,
    timestamps: Option<Timestamps>,
}

impl Profiler {
    /// Sets up a recording beside the engine's own, on its weights and in its tiles; what it compiles, the engine keeps.
    ///
    /// # Errors
    /// [`EngineError::Recording`], or a device that fails.
    pub async fn new(engine: &Engine, mut recording: Recording) -> Result<Self, EngineError> {
        engine.choice.apply(&mut recording);
        Self::of(&engine.gpu, recording, &engine.pipelines, &engine.weights).await
    }

    pub(super) async fn of(
        gpu: &Gpu,
        recording: Recording,
        pipelines: &Pipelines,
        weights: &WeightBuffers,
    ) -> Result<Self, EngineError> {
        recording.check()?;
        pipelines.compile(gpu, &recording, |_, _| {}).await?;
        let cost = |command: &Command| match command {
            Command::Dispatch { kernel, uniforms, .. } => Some((kernel.shader.name, (kernel.cost)(uniforms))),
            Command::ReadBack { .. } => None,
        };
        let kernels: Vec<_> = recording.commands().iter().filter_map(cost).collect();
        let executor = Executor::new(gpu, recording, pipelines, weights, &[]).await?;
        let timestamps = Timestamps::of(gpu, kernels.len());
        Ok(Self { gpu: gpu.clone(), executor, kernels, timestamps })
    }

    /// What [`Profiler::kernels`] takes times with.
    pub fn clock(&self) -> Clock {
        if self.timestamps.is_some() { Clock::Timestamps } else { Clock::Submissions }
    }

    /// Milliseconds on the wall from the image `[3, H, W]` to the result, as classifying runs the recording: one
    /// submission, one read-back.
    ///
    /// # Errors
    /// As [`Engine::classify`].
    pub async fn photo(&self, image: &[f32]) -> Result<f64, EngineError> {
        let start = Instant::now();
        self.executor.run(&self.gpu, image).await?;
        Ok(milliseconds(start))
    }

    /// Times each kernel of the recording on what the last photo left in the buffers, `runs` times (at least once), in
    /// order of first use.
    ///
    /// # Errors
    /// [`EngineError::Device`] or [`EngineError::Lost`].
    pub async fn kernels(&self, runs: usize) -> Result<Vec<KernelTimes>, EngineError> {
        let mut names: Vec<&'static str> = Vec::new();
        for (name, _) in &self.kernels {
            if !names.contains(name) {
                names.push(name);
            }
        }
        let mut times: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for _ in 0..runs.max(1) {
            if let Some(timestamps) = &self.timestamps {
                let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
                let each = timestamps.time(&self.gpu, self.executor.dispatches()).await?;
                for ((name, _), time) in self.kernels.iter().zip(each) {
                    *sums.entry(name).or_default() += time;
                }
                sums.into_iter().for_each(|(name, sum)| times.entry(name).or_default().push(sum));
            } else {
                for name in &names {
                    times.entry(name).or_default().push(self.submission(name)?);
                }
            }
        }
        self.gpu.check()?;
        let of = |name: &'static str| {
            let own = || self.kernels.iter().filter(move |(other, _)| *other == name).map(|(_, cost)| *cost);
            let milliseconds = times.get(name).map_or(f64::NAN, |times| median(times));
            KernelTimes { kernel: name, dispatches: own().count(), milliseconds, cost: own().sum() }
        };
        Ok(names.into_iter().map(of).collect())
    }

    /// Milliseconds on the wall of one submission with the dispatches of one kernel.
    fn submission(&self, kernel: &str) -> Result<f64, EngineError> {
        let mut encoder = self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            let own = self.executor.dispatches().zip(&self.kernels).filter(|(_, (name, _))| *name == kernel);
            own.for_each(|(dispatch, _)| dispatch.encode(&mut pass));
        }
        let commands = encoder.finish();
        self.gpu.wait()?;
        let start = Instant::now();
        self.gpu.queue.submit([commands]);
        self.gpu.wait()?;
        Ok(milliseconds(start))
    }
}

/// Two timestamps each for a number of passes, and where they are read from.
pub(super) struct Timestamps {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    read: wgpu::Buffer,
    count: u32,
}

impl Timestamps {
    /// For so many passes, where the device was opened with timestamps and has enough of them.
    pub(super) fn of(gpu: &Gpu, passes: usize) -> Option<Self> {
        let has_them = gpu.device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        (has_them && (1..=MAX_DISPATCHES).contains(&passes)).then(|| Self::new(gpu, passes as u32))
    }

    fn new(gpu: &Gpu, passes: u32) -> Self {
        let count = 2 * passes;
        let buffer = |label, usage| gpu.buffer(label, u64::from(count) * 8, usage);
        let queries = gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("timestamps"),
            ty: wgpu::QueryType::Timestamp,
            count,
        });
        let resolved = buffer("timestamps", wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC);
        let read = buffer("timestamps read", wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST);
        Self { queries, resolved, read, count }
    }

    /// Milliseconds of each dispatch, each in a pass of its own.
    async fn time<'a>(
        &self,
        gpu: &Gpu,
        dispatches: impl Iterator<Item = &'a Dispatch>,
    ) -> Result<Vec<f64>, EngineError> {
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("profile") });
        for (dispatch, query) in dispatches.zip((0..self.count).step_by(2)) {
            dispatch.encode(&mut self.pass(&mut encoder, query));
        }
        self.read(gpu, encoder).await
    }

    /// Milliseconds of a dispatch, `repeats` times in one pass: the first of the passes.
    pub(super) async fn together(&self, gpu: &Gpu, dispatch: &Dispatch, repeats: usize) -> Result<f64, EngineError> {
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("tuning") });
        {
            let mut pass = self.pass(&mut encoder, 0);
            (0..repeats).for_each(|_| dispatch.encode(&mut pass));
        }
        Ok(self.read(gpu, encoder).await?.first().copied().unwrap_or(f64::NAN))
    }

    /// A pass between timestamp `query` and the next.
    fn pass<'a>(&self, encoder: &'a mut wgpu::CommandEncoder, query: u32) -> wgpu::ComputePass<'a> {
        encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: None,
            timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                query_set: &self.queries,
                beginning_of_pass_write_index: Some(query),
                end_of_pass_write_index: Some(query + 1),
            }),
        })
    }

    /// Submits the passes, waits, and gives the milliseconds of each.
    async fn read(&self, gpu: &Gpu, mut encoder: wgpu::CommandEncoder) -> Result<Vec<f64>, EngineError> {
        encoder.resolve_query_set(&self.queries, 0..self.count, &self.resolved, 0);
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.read, 0, self.read.size());
        gpu.queue.submit([encoder.finish()]);
        let (sender, receiver) = futures_channel::oneshot::channel();
        self.read.map_async(wgpu::MapMode::Read, .., move |result| {
            // The receiver is gone when the caller no longer waits.
            let _ = sender.send(result);
        });
        gpu.wait()?;
        let failed = |error: &dyn std::fmt::Display| EngineError::Device(one_line(error));
        let mapped = receiver.await.map_err(|error| failed(&error))?;
        gpu.check()?;
        mapped.map_err(|error| failed(&error))?;
        let ticks: Vec<u64> = {
            let view = self.read.get_mapped_range(..).map_err(|error| failed(&error))?;
            bytemuck::pod_collect_to_vec(&view[..])
        };
        self.read.unmap();
        // Nanoseconds a tick.
        let period = f64::from(gpu.queue.get_timestamp_period());
        let pairs = ticks.as_chunks::<2>().0.iter();
        Ok(pairs.map(|[start, end]| end.saturating_sub(*start) as f64 * period / 1e6).collect())
    }
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

/// The middle value; of an even number, the mean of the two in the middle.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { at(half) } else { 0.5 * (at(half.wrapping_sub(1)) + at(half)) }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 9.0]), 3.0);
        assert!(median(&[]).is_nan());
    }
}

//! The wgpu engine: our WGSL kernels, in the browser and natively.
//!
//! [`record`] writes the forward pass of an [`Architecture`] as data (a [`Recording`]: buffers and dispatches); an
//! executor gives it buffers, pipelines and bind groups once, and then runs it once per photo: one
//! submission, one read-back, nothing allocated. Each kernel of `shaders/` has a twin of the same name in `cpu`.

#[cfg(not(target_arch = "wasm32"))]
mod cost;
#[cfg(not(target_arch = "wasm32"))]
pub mod cpu;
mod error;
mod executor;
mod gpu;
pub mod kernels;
mod layout;
mod look;
mod pipelines;
#[cfg(not(target_arch = "wasm32"))]
mod profile;
pub mod record;
mod recording;
#[cfg(not(target_arch = "wasm32"))]
mod roofline;
mod tiles;
pub mod traces;
mod tune;
mod weights;

#[cfg(not(target_arch = "wasm32"))]
pub use cost::Cost;
pub use error::EngineError;
pub use gpu::{AdapterFacts, Gpu};
pub use layout::{Form, WeightLayout};
#[cfg(not(target_arch = "wasm32"))]
pub use profile::{Clock, KernelTimes, Profiler};
pub use recording::{Access, Binding, BufferId, Command, Content, Kernel, Recording, RecordingError, Shader};
#[cfg(not(target_arch = "wasm32"))]
pub use roofline::Peak;
#[cfg(not(target_arch = "wasm32"))]
pub use tiles::{TileChoice, TileTime};
pub use tune::Tuning;

use std::sync::{Arc, Mutex};

use crate::answer::Answer;
use crate::architecture::Architecture;
use crate::early::{Early, Sure};
use crate::fold::apart;
use crate::tensors::{Precision, Tensor, TensorMap, Values};
use executor::Executor;
use look::Seen;
use pipelines::Pipelines;
use tiles::{Choice, Times};
use weights::WeightBuffers;

/// How far loading is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Weights are on the device.
    Uploaded {
        /// How many bytes they take there.
        bytes: u64,
    },
    /// The tiles of the matrix products are chosen ([`LoadOptions::tuning`]); elsewhere nobody hears of it.
    Tuned,
    /// `done` of `total` pipelines are compiled.
    Compiled {
        /// Pipelines that are ready.
        done: usize,
        /// Pipelines that this model needs.
        total: usize,
    },
}

/// Settings of [`Engine::load_with`].
#[derive(Default)]
pub struct LoadOptions<'a> {
    /// Called after the upload and after each pipeline; between two calls the browser may draw.
    pub on_progress: Option<Box<dyn Fn(Progress) + 'a>>,
    /// How the weights lie on the device: f32, or rounded to f16 or eight bits, which loses nothing where they were rounded
    /// so before ([`crate::bundle::round`]).
    pub precision: Precision,
    /// Finds the fastest tile of each matrix product on this device; without it all have the default one.
    pub tuning: Option<Tuning<'a>>,
}

/// Runs a recording by itself: uploads, compiles, runs once and frees. For tests of single kernels; `cpu::run` does the
/// same with the twins.
///
/// # Errors
/// As [`Engine::load`] and [`Engine::classify`].
pub async fn run(
    gpu: &Gpu,
    recording: Recording,
    weights: &TensorMap,
    image: &[f32],
) -> Result<TensorMap, EngineError> {
    recording.check()?;
    let weights = WeightBuffers::upload(gpu, &recording, weights)?;
    let pipelines = Pipelines::default();
    pipelines.compile(gpu, &recording, |_, _| {}).await?;
    Executor::new(gpu, recording, &pipelines, &weights, &[]).await?.run(gpu, image).await
}

/// A network on a device, ready to classify.
pub struct Engine {
    gpu: Gpu,
    architecture: Architecture,
    precision: Precision,
    weights: WeightBuffers,
    pipelines: Pipelines,
    /// What the matrix products take in each tile, where that was measured.
    times: Times,
    /// The specialisations that this device runs instead of those that recordings name.
    choice: Choice,
    frame: Executor,
    /// The photo that was classified last, until the next one comes.
    seen: Mutex<Option<Arc<Seen>>>,
}

impl Engine {
    /// Uploads the weights (timm names and layouts) and compiles the pipelines that the architecture needs.
    ///
    /// # Errors
    /// [`EngineError`] for an architecture or a weight that does not fit, a model too large for the device, or a device
    /// that fails.
    pub async fn load(gpu: &Gpu, architecture: &Architecture, weights: &TensorMap) -> Result<Self, EngineError> {
        Self::load_with(gpu, architecture, weights, LoadOptions::default()).await
    }

    /// [`Engine::load`] with options.
    ///
    /// # Errors
    /// As [`Engine::load`].
    pub async fn load_with(
        gpu: &Gpu,
        architecture: &Architecture,
        weights: &TensorMap,
        options: LoadOptions<'_>,
    ) -> Result<Self, EngineError> {
        let mut recording = record::classify(architecture, options.precision)?;
        recording.check()?;
        let progress = |progress| {
            if let Some(call) = &options.on_progress {
                call(progress);
            }
        };
        let weights = WeightBuffers::upload(gpu, &recording, &*apart(architecture, weights)?)?;
        progress(Progress::Uploaded { bytes: weights.bytes() });
        let pipelines = Pipelines::default();
        let mut times = Times::default();
        if let Some(tuning) = options.tuning.filter(|tuning| tuning.software || !gpu.adapter().software) {
            times = tuning.known.map_or_else(Times::default, |text| Times::read(text, gpu.adapter()));
            tune::measure(gpu, &recording, &pipelines, &tuning, &mut times).await?;
            progress(Progress::Tuned);
        }
        // A processor's subgroups are made of the same instructions as the rest.
        let subgroups = gpu.has_subgroups() && !gpu.adapter().software;
        let choice = Choice::new(&recording, &times, subgroups);
        choice.apply(&mut recording);
        pipelines.keep(&recording);
        pipelines.compile(gpu, &recording, |done, total| progress(Progress::Compiled { done, total })).await?;
        let frame = Executor::new(gpu, recording, &pipelines, &weights, &[]).await?;
        let (gpu, architecture) = (gpu.clone(), architecture.clone());
        let precision = options.precision;
        Ok(Self { gpu, architecture, precision, weights, pipelines, times, choice, frame, seen: Mutex::new(None) })
    }

    /// The network's architecture.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// How the weights of linear layers lie on the device.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The device that runs it.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// What was measured for [`LoadOptions::tuning`], now or before, to be kept for the next load on this adapter
    /// ([`Tuning::known`]); none where nothing was.
    pub fn tile_times(&self) -> Option<String> {
        self.times.keep(self.gpu.adapter())
    }

    /// The matrix products of this network, and the tile of each.
    ///
    /// # Errors
    /// As [`record::classify`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn tiles(&self) -> Result<Vec<TileChoice>, EngineError> {
        let recording = record::classify(&self.architecture, self.precision)?;
        Ok(tiles::report(&recording, &self.choice, &self.times))
    }

    /// Bytes that this engine keeps on the device.
    pub fn device_bytes(&self) -> u64 {
        let tail = self.seen().and_then(|seen| seen.tail.as_ref().map(Executor::bytes)).unwrap_or(0);
        self.weights.bytes() + self.frame.bytes() + tail
    }

    /// Classifies one photo: `image` is `[3, H, W]` ([`Architecture::input_size`]), resized and normalised.
    ///
    /// # Errors
    /// [`EngineError::Image`] for a wrong length, [`EngineError::Busy`] while another photo is being classified,
    /// [`EngineError::NotFinite`] if the result is no number, [`EngineError::Device`] or [`EngineError::Lost`].
    pub async fn classify(&self, image: &[f32]) -> Result<Answer, EngineError> {
        // What is in the buffers while another photo runs, or after it failed, is no photo's.
        self.set_seen(None);
        let answer = answer(self.frame.run(&self.gpu, image).await?)?;
        self.set_seen(Some(Seen { architecture: self.architecture.clone(), answer: answer.clone(), tail: None }));
        Ok(answer)
    }

    /// Classifies one photo `[3, H, W]` and stops where the modules of Attend and Rectify so far, at least two
    /// ([`crate::architecture::RectifyBlocks::exits`]), name the same class and are `sure` of it. The device decides that by itself, in
    /// one submission: what follows has no workgroups then. Where they are never sure, and in every other network, the answer is
    /// that of [`Engine::classify`]; only that one can be looked into afterwards.
    ///
    /// # Errors
    /// As [`Engine::classify`].
    pub async fn classify_early(&self, image: &[f32], sure: Sure) -> Result<Early, EngineError> {
        self.set_seen(None);
        let mut results = self.frame.run_early(&self.gpu, image, sure).await?;
        let depth = self.architecture.depth;
        let blocks = match results.remove("out.blocks").map(|tensor| tensor.values) {
            Some(Values::I32(blocks)) => blocks,
            _ => Vec::new(),
        };
        let mut exits = blocks.into_iter().map(|blocks| blocks.cast_unsigned() as usize).enumerate();
        // Behind the first exit nothing is of this photo.
        if let Some((exit, blocks)) = exits.find(|&(_, blocks)| blocks < depth) {
            let mut rows = results.reals("out.early")?.chunks_exact(self.architecture.classes);
            let probability = rows.nth(exit).unwrap_or_default().to_vec();
            let finite = !probability.is_empty() && probability.iter().all(|p| p.is_finite());
            return if finite {
                Ok(Early { probability, blocks, answer: None })
            } else {
                Err(EngineError::NotFinite("early answer"))
            };
        }
        let answer = answer(results)?;
        self.set_seen(Some(Seen { architecture: self.architecture.clone(), answer: answer.clone(), tail: None }));
        Ok(Early::full(answer, sure.temperature, depth))
    }

    /// Runs one photo and gives every intermediate result under the names of the trace files, each with a batch of one
    /// in front (`out.embed` `[1, N + 1, D]`, `out.block.<i>`, `out.attn_mean.<i>`, ...). For tests and self-tests: it
    /// allocates and compiles what it needs on each call.
    ///
    /// # Errors
    /// As [`Engine::classify`].
    pub async fn trace(&self, image: &[f32]) -> Result<TensorMap, EngineError> {
        let mut recording = record::trace(&self.architecture, self.precision)?;
        recording.check()?;
        self.choice.apply(&mut recording);
        self.pipelines.compile(&self.gpu, &recording, |_, _| {}).await?;
        let trace = Executor::new(&self.gpu, recording, &self.pipelines, &self.weights, &[]).await?;
        let mut results = trace.run(&self.gpu, image).await?;
        // Without GLCA the answer is SA's.
        if let (None, Some(sa)) = (results.get("out.probability"), results.get("out.probability.sa").cloned()) {
            results.insert("out.probability", sa);
        }
        let mut batch = TensorMap::default();
        for (name, tensor) in results.iter() {
            let shape: Vec<usize> = std::iter::once(1).chain(tensor.shape.iter().copied()).collect();
            batch.insert(name, Tensor { shape, values: tensor.values.clone() });
        }
        Ok(batch)
    }
}

/// The answer in what a classification read back.
fn answer(mut results: TensorMap) -> Result<Answer, EngineError> {
    let mut reals = |name: &str| match results.remove(name).map(|tensor| tensor.values) {
        Some(Values::F32(values)) => values,
        _ => Vec::new(),
    };
    let (logits_sa, logits_glca) = (reals("out.logits.sa"), reals("out.logits.glca"));
    let (sa, glca) = (reals("out.probability.sa"), reals("out.probability.glca"));
    let logits_mixed = reals("out.logits.mixed");
    let alone = glca.is_empty() && logits_mixed.is_empty();
    let probability = if alone { sa.clone() } else { reals("out.probability") };
    let (rollout, sampling) = (reals("out.rollout"), reals("out.sampling"));
    for (name, values) in [("probability", &probability), ("rollout", &rollout)] {
        if values.is_empty() || !values.iter().all(|v| v.is_finite()) {
            return Err(EngineError::NotFinite(name));
        }
    }
    let selected = match results.remove("out.selected").map(|tensor| tensor.values) {
        Some(Values::I32(values)) => values.into_iter().map(i32::cast_unsigned).collect(),
        _ => Vec::new(),
    };
    Ok(Answer { logits_sa, logits_glca, logits_mixed, sa, glca, probability, rollout, selected, sampling })
}

//! The ways to run a bundle natively.

use anyhow::{Context, Result, anyhow, bail};
use burn::tensor::Device;
use finegrain::answer::Answer;
use finegrain::architecture::Architecture;
use finegrain::cpu::Cpu;
use finegrain::early::{Early, Sure};
use finegrain::engine::{Engine, Gpu, LoadOptions};
use finegrain::model::Network;
use finegrain::tensors::{Precision, TensorMap};

use crate::tiles::TileCache;
use crate::train::DeviceChoice;

/// The choices of `--backend`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum BackendChoice {
    /// Our WGSL kernels through wgpu, as in the browser
    Webgpu,
    /// Our forward pass on the processor, as in a browser without WebGPU
    Cpu,
    /// The burn model on an NVIDIA GPU (a build with --features cuda)
    Cuda,
}

/// The choices of `--precision`: how the weights lie on a graphics device. Sums are in f32 in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum WeightChoice {
    /// As the bundle stores them
    Auto,
    /// 4 bytes a weight
    F32,
    /// 2 bytes a weight
    F16,
    /// 1 byte a weight of a linear layer, 2 bytes of the others
    Int8,
}

impl WeightChoice {
    /// The precision for weights that are `stored` in some way, on this back end.
    ///
    /// # Errors
    /// A choice for a back end that computes in f32 only.
    pub fn resolve(self, backend: BackendChoice, stored: Precision) -> Result<Precision> {
        match self {
            Self::Auto => Ok(stored),
            _ if backend != BackendChoice::Webgpu => {
                bail!("--precision is about weights on a graphics device: leave it out, or use --backend webgpu")
            }
            Self::F32 => Ok(Precision::F32),
            Self::F16 => Ok(Precision::F16),
            Self::Int8 => Ok(Precision::Int8),
        }
    }
}

/// A network on a device.
pub struct Backend {
    runner: Runner,
    name: &'static str,
    adapter: String,
}

enum Runner {
    Engine(Box<Engine>),
    Cpu(Box<Cpu>),
    Burn { network: Box<Network>, device: Device },
}

impl Backend {
    /// Opens the device and loads the weights (timm's names); on a graphics device they lie in `precision`.
    ///
    /// # Errors
    /// No adapter, a build without CUDA, or weights that are not those of the architecture.
    pub fn open(
        choice: BackendChoice,
        architecture: &Architecture,
        weights: &TensorMap,
        precision: Precision,
    ) -> Result<Self> {
        match choice {
            BackendChoice::Webgpu => Self::webgpu(architecture, weights, precision),
            BackendChoice::Cpu => Self::cpu(architecture, weights),
            BackendChoice::Cuda if cfg!(not(feature = "cuda")) => {
                bail!("this build has no CUDA: build it with --features cuda, or use --backend webgpu or cpu")
            }
            BackendChoice::Cuda => Self::burn(DeviceChoice::Cuda, architecture, weights),
        }
    }

    fn webgpu(architecture: &Architecture, weights: &TensorMap, precision: Precision) -> Result<Self> {
        let gpu = pollster::block_on(Gpu::open()).map_err(|error| anyhow!("{error} (--backend cpu)"))?;
        let tiles = TileCache::open(gpu.adapter());
        let options = LoadOptions { precision, tuning: Some(tiles.tuning(false)), ..LoadOptions::default() };
        let engine = pollster::block_on(Engine::load_with(&gpu, architecture, weights, options))?;
        tiles.keep(&engine);
        let facts = gpu.adapter();
        let kind = if facts.software { ", software" } else { "" };
        let adapter = format!("{} ({}{kind})", facts.name, facts.backend);
        Ok(Self { runner: Runner::Engine(Box::new(engine)), name: "webgpu", adapter })
    }

    fn cpu(architecture: &Architecture, weights: &TensorMap) -> Result<Self> {
        let runner = Runner::Cpu(Box::new(Cpu::load(architecture, weights)?));
        Ok(Self { runner, name: "cpu", adapter: "one thread of the processor".into() })
    }

    fn burn(choice: DeviceChoice, architecture: &Architecture, weights: &TensorMap) -> Result<Self> {
        let (device, name) = choice.open()?;
        let network = Box::new(Network::new(architecture, &device).load(weights)?);
        let adapter = format!("burn {name}");
        Ok(Self { runner: Runner::Burn { network, device }, name, adapter })
    }

    /// `webgpu`, `cpu` or `cuda`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The device, for people.
    pub fn adapter(&self) -> &str {
        &self.adapter
    }

    /// Classifies one image `[3, H, W]` and stops where the modules of Attend and Rectify are `sure`.
    ///
    /// # Errors
    /// burn's back ends, and as [`Backend::classify`].
    pub fn classify_early(&self, image: &[f32], sure: Sure) -> Result<Early> {
        match &self.runner {
            Runner::Cpu(cpu) => Ok(cpu.classify_early(image, sure)?),
            Runner::Engine(engine) => Ok(pollster::block_on(engine.classify_early(image, sure))?),
            Runner::Burn { .. } => {
                bail!("burn's networks do not answer before the last block: add --backend cpu or --backend webgpu")
            }
        }
    }

    /// Classifies one image `[3, H, W]`, resized and normalised.
    ///
    /// # Errors
    /// A device that fails or computes what is no number.
    pub fn classify(&self, image: &[f32]) -> Result<Answer> {
        match &self.runner {
            Runner::Engine(engine) => Ok(pollster::block_on(engine.classify(image))?),
            Runner::Cpu(cpu) => Ok(cpu.classify(image)?),
            Runner::Burn { network, device } => {
                let answers = network.classify(network.images(image, device));
                answers.into_iter().next().context("the network gave no answer")
            }
        }
    }
}

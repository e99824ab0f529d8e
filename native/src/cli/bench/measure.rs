//! Takes the times.

use std::cell::Cell;
use std::time::Instant;

use anyhow::{Result, anyhow};
use finegrain::architecture::{Architecture, Mechanism};
use finegrain::cpu::Cpu;
use finegrain::engine::{Engine, Gpu, LoadOptions, Peak, Profiler, Progress, record};
use finegrain::tensors::Precision;
use pollster::block_on;

use super::beside::{Peer, beside};
use super::report::{Adapter, Cold, Kernel, Kernels, Measured, Part, Spread};
use super::subject::Subject;
use crate::tiles::TileCache;

/// What is left out of a transformer in turn, to tell what it costs.
const PARTS: [&str; 3] = ["SA alone", "SA + rollout", "SA + rollout + GLCA"];
/// The same of a residual network.
const RESIDUAL_PARTS: [&str; 2] = ["classes alone", "classes + class activation"];

/// What the network is called without its map, and with it.
fn names(architecture: &Architecture) -> [&'static str; 2] {
    let [alone, map, _] = PARTS;
    if architecture.resnet.is_some() { RESIDUAL_PARTS } else { [alone, map] }
}

/// Our shaders on the adapter that wgpu finds.
pub(super) fn webgpu(
    subject: &Subject,
    precision: Precision,
    runs: usize,
    tune: bool,
    peers: &[Peer<'_>],
) -> Result<Measured> {
    let Subject { architecture, weights, image, .. } = subject;
    let gpu = block_on(Gpu::open_to_profile()).map_err(|error| anyhow!("{error} (--backend cpu)"))?;
    let tiles = TileCache::open(gpu.adapter());
    let start = Instant::now();
    let uploaded = Cell::new(0.0);
    let tuned = Cell::new(None);
    let compiled = Cell::new((0.0, 0));
    let options = LoadOptions {
        on_progress: Some(Box::new(|progress| match progress {
            Progress::Uploaded { .. } => uploaded.set(milliseconds(start)),
            Progress::Tuned => tuned.set(Some(milliseconds(start) - uploaded.get())),
            Progress::Compiled { total, .. } => {
                compiled.set((milliseconds(start) - uploaded.get() - tuned.get().unwrap_or(0.0), total));
            }
        })),
        precision,
        tuning: Some(tiles.tuning(tune)),
    };
    let engine = block_on(Engine::load_with(&gpu, architecture, weights, options))?;
    let load = milliseconds(start);
    tiles.keep(&engine);
    let photo = || {
        time(|| {
            block_on(engine.classify(image))?;
            Ok(())
        })
    };
    let first = photo()?;
    let (compile, pipelines) = compiled.get();
    let cold = Cold {
        load_ms: load,
        tune_ms: tuned.get(),
        compile_ms: Some(compile),
        pipelines: Some(pipelines),
        first_photo_ms: first,
    };
    let warm = spread(runs, photo)?;
    let beside = beside(runs, photo, peers)?;
    let device_bytes = Some(engine.device_bytes());

    let [alone, map] = names(architecture);
    let mut recordings = vec![
        (alone, record::self_attention(architecture, precision)?),
        (map, record::classify(&without_glca(architecture), precision)?),
    ];
    if architecture.glca().is_some() {
        recordings.push((PARTS[2], record::classify(architecture, precision)?));
    }
    let profilers = recordings
        .into_iter()
        .map(|(name, recording)| Ok((name, block_on(Profiler::new(&engine, recording))?)))
        .collect::<Result<Vec<_>>>()?;
    let parts = parts(runs, &profilers, |profiler| Ok(block_on(profiler.photo(image))?))?;
    // The last one is the whole network.
    let kernels = profilers.last().map(|(_, profiler)| kernels(&gpu, profiler, runs)).transpose()?;
    let facts = gpu.adapter();
    let adapter = Adapter {
        name: facts.name.clone(),
        backend: facts.backend.clone(),
        driver: facts.driver.clone(),
        software: facts.software,
    };
    Ok(Measured { adapter, cold, warm, device_bytes, beside, parts, kernels, tiles: Some(engine.tiles()?) })
}

/// Our forward pass on the processor; its rollout cannot be left out, and it has no kernels to tell apart.
pub(super) fn cpu(subject: &Subject, runs: usize, peers: &[Peer<'_>]) -> Result<Measured> {
    let Subject { architecture, weights, image, .. } = subject;
    let start = Instant::now();
    let network = Cpu::load(architecture, weights)?;
    let load = milliseconds(start);
    let photo = |network: &Cpu| {
        time(|| {
            network.classify(image)?;
            Ok(())
        })
    };
    let first_photo_ms = photo(&network)?;
    let cold = Cold { load_ms: load, tune_ms: None, compile_ms: None, pipelines: None, first_photo_ms };
    let warm = spread(runs, || photo(&network))?;
    let beside = beside(runs, || photo(&network), peers)?;
    let [_, map] = names(architecture);
    let mut networks = vec![(map, Cpu::load(&without_glca(architecture), weights)?)];
    if architecture.glca().is_some() {
        networks.push((PARTS[2], network));
    }
    let parts = parts(runs, &networks, photo)?;
    let adapter =
        Adapter { name: "the processor".into(), backend: "cpu".into(), driver: String::new(), software: false };
    Ok(Measured { adapter, cold, warm, device_bytes: None, beside, parts, kernels: None, tiles: None })
}

/// Any other mechanism is in the way of every photo, and stays; so do RGA's gates beside GLCA, but for those behind the last block, which
/// nobody sees without it.
fn without_glca(architecture: &Architecture) -> Architecture {
    let mut other = architecture.clone();
    if other.glca().is_some() {
        let gates = other.rga().cloned().map(|mut gates| {
            gates.after.retain(|&after| after < architecture.depth);
            gates
        });
        let gates = gates.filter(|gates| !gates.after.is_empty());
        other.mechanism = gates.map_or(Mechanism::None, Mechanism::Rga);
    }
    other
}

/// Times the parts in turns, so that whatever else the machine does falls on all of them. Their kernels are warm: the whole
/// network ran before.
fn parts<T>(runs: usize, networks: &[(&'static str, T)], photo: impl Fn(&T) -> Result<f64>) -> Result<Vec<Part>> {
    let mut times = vec![Vec::new(); networks.len()];
    for _ in 0..runs {
        for ((_, network), times) in networks.iter().zip(&mut times) {
            times.push(photo(network)?);
        }
    }
    let medians: Vec<f64> = times.iter().map(|times| Spread::of(times).median_ms).collect();
    let base = medians.first().copied().unwrap_or(f64::NAN);
    let part = |(&(name, _), &median_ms): (&(&'static str, T), &f64)| Part { name, median_ms, ratio: median_ms / base };
    Ok(networks.iter().zip(&medians).map(part).collect())
}

fn kernels(gpu: &Gpu, profiler: &Profiler, runs: usize) -> Result<Kernels> {
    let times = block_on(profiler.kernels(runs))?;
    let peak = block_on(Peak::measure(gpu))?;
    let kernel = |times: &finegrain::engine::KernelTimes| Kernel {
        name: times.kernel,
        dispatches: times.dispatches,
        ms: times.milliseconds,
        gflops: times.cost.flops as f64 / (times.milliseconds * 1e6),
        gbps: times.cost.bytes as f64 / (times.milliseconds * 1e6),
        share: peak.share(times.kernel, times.cost, times.milliseconds),
        flops: times.cost.flops,
        bytes: times.cost.bytes,
    };
    let mut table: Vec<Kernel> = times.iter().map(kernel).collect();
    table.sort_by(|a, b| b.ms.total_cmp(&a.ms));
    Ok(Kernels { clock: profiler.clock(), peak, table })
}

fn spread(runs: usize, mut once: impl FnMut() -> Result<f64>) -> Result<Spread> {
    let times = (0..runs).map(|_| once()).collect::<Result<Vec<_>>>()?;
    Ok(Spread::of(&times))
}

pub(super) fn time(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    work()?;
    Ok(milliseconds(start))
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

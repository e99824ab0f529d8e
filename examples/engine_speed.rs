//! Times the engine on this machine's adapter: each kernel at the sizes of ViT-Tiny, then whole photos.
//!
//! `cargo run --example engine_speed --no-default-features --features engine [-- IMAGE_SIZE [KERNEL...]]`
//!
//! On a software adapter the processor time (both columns, where Linux tells) says more than the clock when the machine
//! is busy.

use std::error::Error;
use std::time::Instant;

use finegrain::architecture::{Architecture, Dcal, Mechanism};
use finegrain::engine::{self, Command, Content, Engine, Gpu, Recording, record};
use finegrain::tensors::{Precision, Tensor, TensorMap};
use pollster::block_on;

/// How often each dispatch of a kernel runs beside its own time: enough to drown the compilation, which both runs pay.
const MORE: usize = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let size = arguments.next().map_or(Ok(224), |text| text.parse())?;
    let wanted: Vec<String> = arguments.collect();
    let architecture = Architecture {
        resnet: None,
        hybrid: None,
        image_size: [size, size],
        patch_size: 16,
        dim: 192,
        depth: 12,
        heads: 3,
        mlp_ratio: 4,
        layer_norm_eps: 1e-6,
        classes: 100,
        mechanism: Mechanism::Dcal(Dcal { ratio: 0.1, glca: true, pwca: false, gates: None }),
    };
    let gpu = block_on(Gpu::open())?;
    println!("{:?}", gpu.adapter());
    let recording = record::classify(&architecture, Precision::F32)?;
    let weights = weights(&recording);
    let image = wave(3 * size * size);

    for kernel in recording.kernels() {
        let name = kernel.shader.name;
        if !wanted.is_empty() && wanted.iter().all(|wanted| wanted != name) {
            continue;
        }
        let (few, many) = (repeat(&architecture, name, 1)?, repeat(&architecture, name, 1 + MORE)?);
        let count = dispatches(&few, name);
        let run = |recording: Recording| -> Result<Times, Box<dyn Error>> {
            let start = Times::now();
            block_on(engine::run(&gpu, recording, &weights, &image))?;
            Ok(start.elapsed())
        };
        let (few, many) = (run(few)?, run(many)?);
        let (wall, cpu) = ((many.wall - few.wall) / MORE as f64, (many.cpu - few.cpu) / MORE as f64);
        println!("{name:20} {count:3} dispatches {wall:8.1} ms a photo, {cpu:8.1} ms of processor time");
    }

    let engine = block_on(Engine::load(&gpu, &architecture, &weights))?;
    block_on(engine.classify(&image))?;
    let start = Times::now();
    let photos = 4;
    for _ in 0..photos {
        block_on(engine.classify(&image))?;
    }
    let Times { wall, cpu, .. } = start.elapsed();
    let each = f64::from(photos);
    println!("{size} x {size}: {:.1} ms a photo, {:.1} ms of processor time", wall / each, cpu / each);
    Ok(())
}

/// Milliseconds.
struct Times {
    start: Instant,
    wall: f64,
    cpu: f64,
}

impl Times {
    fn now() -> Self {
        Self { start: Instant::now(), wall: 0.0, cpu: processor_time() }
    }

    fn elapsed(self) -> Self {
        let wall = self.start.elapsed().as_secs_f64() * 1e3;
        Self { wall, cpu: processor_time() - self.cpu, ..self }
    }
}

/// Milliseconds of processor time of all threads so far (Linux; 0 elsewhere), in steps of ten.
fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Fields 14 and 15, counted behind the command's name, which is in brackets.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    fields.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() * 10.0
}

/// The whole pass, with the dispatches of one kernel `times` over.
fn repeat(architecture: &Architecture, name: &str, times: usize) -> Result<Recording, Box<dyn Error>> {
    let mut recording = record::classify(architecture, Precision::F32)?;
    recording.repeat(name, times);
    Ok(recording)
}

fn dispatches(recording: &Recording, name: &str) -> usize {
    let is_it = |command: &&Command| matches!(command, Command::Dispatch { kernel, .. } if kernel.shader.name == name);
    recording.commands().iter().filter(is_it).count()
}

/// Reproducible values of mixed sign.
fn wave(length: usize) -> Vec<f32> {
    (0..length).map(|i| ((i * 2_654_435_761) % 65_536) as f32 / 32_768.0 - 1.0).collect()
}

fn weights(recording: &Recording) -> TensorMap {
    let mut weights = TensorMap::default();
    for buffer in recording.buffers() {
        let Content::Weight(layout) = &buffer.content else { continue };
        let length = layout.shape.iter().product();
        let scale = 1.0 / (layout.shape.iter().skip(1).product::<usize>() as f32).sqrt();
        let values = wave(length).into_iter().map(|v| v * scale).collect();
        weights.insert(layout.name.clone(), Tensor::f32(layout.shape.clone(), values));
    }
    weights
}

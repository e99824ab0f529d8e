//! Milliseconds a photo of the network on the processor, one thread: ViT-Tiny without and with GLCA, as the bundles are, and ResNet-50.
//!
//! `cargo run --example cpu_speed --no-default-features --features cpu [-- IMAGE_SIZE]`
#![allow(clippy::unwrap_used, reason = "a measurement may stop with a panic")]

use std::time::Instant;

use finegrain::architecture::{Architecture, Dcal, Mechanism, ResNet};
use finegrain::cpu::Cpu;
use finegrain::tensors::{Tensor, TensorMap};

fn main() {
    let size = std::env::args().nth(1).map_or(224, |text| text.parse().unwrap());
    let tiny = |mechanism| Architecture {
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
        mechanism,
    };
    let glca = Mechanism::Dcal(Dcal { ratio: 0.1, glca: true, pwca: false, gates: None });
    for (name, architecture) in [
        ("ViT-Tiny", tiny(Mechanism::None)),
        ("ViT-Tiny with GLCA", tiny(glca)),
        ("ResNet-50", ResNet::resnet_50().architecture([size, size], 100, Mechanism::None)),
    ] {
        let mut weights = TensorMap::default();
        for spec in architecture.weights() {
            let count: usize = spec.shape.iter().product();
            let scale = 1.0 / (spec.shape.iter().skip(1).product::<usize>() as f32).sqrt();
            let middle = if spec.name.ends_with("running_var") { 1.5 } else { 0.0 };
            let values = (0..count).map(|i| middle + (i as f32 * 0.7).sin() * scale).collect();
            weights.insert(spec.name, Tensor::f32(spec.shape, values));
        }
        let cpu = Cpu::load(&architecture, &weights).unwrap();
        let image: Vec<f32> = (0..3 * size * size).map(|i| (i as f32 * 0.1).sin()).collect();
        let mut times: Vec<f64> = (0..21)
            .map(|_| {
                let start = Instant::now();
                cpu.classify(&image).unwrap();
                start.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        times.sort_by(f64::total_cmp);
        println!("{name} at {size} pixels: median {:.1} ms, fastest {:.1} ms", times[10], times[0]);
    }
}

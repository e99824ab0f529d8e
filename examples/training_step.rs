//! Milliseconds of a training step (forward, backward) of a ViT with DCAL on burn's CPU back end, one thread.
//!
//! `cargo run --example training_step --features autodiff -- [SIDE] [BATCH] [MECHANISM]`; the twin in PyTorch is
//! `tests/peers/training_step.py`, and both print the same line of JSON.
#![allow(clippy::unwrap_used, reason = "a measurement may stop with a panic")]

use std::time::Instant;

use burn::tensor::{Device, Int, Tensor, TensorData};
use finegrain::architecture::{Architecture, Dcal, Mechanism};
use finegrain::model::Network;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, default: usize| arguments.get(i).map_or(default, |text| text.parse().unwrap());
    let (side, batch) = (number(0, 224), number(1, 8));
    let mechanism = arguments.get(2).map_or("none", String::as_str);
    let dcal = |glca, pwca| Mechanism::Dcal(Dcal { ratio: 0.1, glca, pwca });
    let architecture = Architecture {
        resnet: None,
        image_size: [side, side],
        patch_size: 16,
        dim: 192,
        depth: 12,
        heads: 3,
        mlp_ratio: 4,
        layer_norm_eps: 1e-6,
        classes: 196,
        mechanism: match mechanism {
            "none" => Mechanism::None,
            "glca" => dcal(true, false),
            "dcal" => dcal(true, true),
            other => panic!("unknown mechanism {other}: none, glca or dcal"),
        },
    };
    let device = Device::flex().autodiff();
    let network = Network::new(&architecture, &device);
    let values: Vec<f32> = (0..batch * 3 * side * side).map(|i| ((i * 7919) % 1000) as f32 / 500.0 - 1.0).collect();
    let indices = |values: Vec<i32>| Tensor::<1, Int>::from_data(TensorData::new(values, [batch]), &device);
    let step = |backward: bool| {
        let images = network.images(&values, &device);
        if !backward {
            return f64::from(network.forward(images).logits_sa.into_data().iter::<f32>().sum::<f32>());
        }
        let labels = indices((0..batch as i32).collect());
        let partners =
            (mechanism == "dcal").then(|| indices((0..batch as i32).map(|i| (i + 1) % batch as i32).collect()));
        let losses = network.losses(images, labels, partners, 0.1);
        let gradients = network.gradients(&losses.total.backward());
        f64::from(gradients.reals("cls_token").unwrap().iter().sum::<f32>())
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let milliseconds = |backward: bool| {
        pool.install(|| {
            step(backward);
            let mut times: Vec<f64> = (0..7)
                .map(|_| {
                    let start = Instant::now();
                    step(backward);
                    start.elapsed().as_secs_f64() * 1e3
                })
                .collect();
            times.sort_by(f64::total_cmp);
            times[3]
        })
    };
    let (forward, training) = (milliseconds(false), milliseconds(true));
    println!(
        "{{\"program\":\"finegrain\",\"side\":{side},\"batch\":{batch},\"mechanism\":\"{mechanism}\",\"threads\":1,\"forward_ms\":{forward:.1},\"training_ms\":{training:.1}}}"
    );
}

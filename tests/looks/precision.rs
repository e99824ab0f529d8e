//! Looks on the device with packed weights against the processor, which has the same weights in f32.

use finegrain::bundle::round;
use finegrain::cpu::Cpu;
use finegrain::engine::{Engine, Gpu, LoadOptions};
use finegrain::tensors::Precision;
use pollster::block_on;

use crate::case::{Case, architectures, close};
use crate::difference::near;

#[test]
fn packed_weights_give_the_same_looks() {
    let gpu = block_on(Gpu::open()).unwrap();
    for precision in [Precision::F16, Precision::Int8] {
        for architecture in architectures() {
            let case = Case::new(architecture.clone());
            let weights = round(&case.weights, precision).unwrap();
            let network = Cpu::load(&architecture, &weights).unwrap();
            let mut seen = network.see(&case.image).unwrap();
            let options = LoadOptions { precision, ..LoadOptions::default() };
            let engine = block_on(Engine::load_with(&gpu, &architecture, &weights, options)).unwrap();
            let answer = block_on(engine.classify(&case.image)).unwrap();
            close("logits", &answer.logits_sa, &seen.answer().logits_sa);
            let (found, expected) =
                (block_on(engine.difference([0, 1])).unwrap(), seen.difference(&network, [0, 1]).unwrap());
            near("difference, SA", &found.sa, &expected.sa);
            near("difference, GLCA", &found.glca, &expected.glca);
            if architecture.glca().is_some() {
                let other = block_on(engine.with_ratio(0.7)).unwrap();
                close("another R", &other.logits_glca, &seen.with_ratio(0.7).unwrap().logits_glca);
            }
        }
    }
}

//! The mechanisms by our kernels: against the traces, and against burn where no trace goes (odd sizes, oblong maps, RGA's
//! gates with more than one hidden unit), once with the CPU twins and once on the device.

use burn::tensor::Device;
use finegrain::architecture::{Rga, Tasn};
use finegrain::compare::compare;
use finegrain::engine::{self, EngineError, Gpu, Recording, cpu, traces};
use finegrain::model;
use finegrain::tensors::{Tensor, TensorMap};
use pollster::block_on;

use crate::rga::weights as with_running_statistics;
use crate::support::{Random, config, fixture};

/// What belongs to training.
const TRAINING: [&str; 2] = ["out.distill", "out.regulariser"];

fn twins(recording: Recording, weights: &TensorMap, image: &[f32]) -> Result<TensorMap, EngineError> {
    recording.check()?;
    Ok(cpu::run(&recording, weights, image)?)
}

/// `found` has everything of `truth` but what belongs to training, within 1e-5.
fn assert_like(what: &str, found: &TensorMap, truth: &TensorMap) {
    let differences = compare(found, truth, "out.");
    let expected = truth.iter().map(|(name, _)| name).filter(|name| name.starts_with("out."));
    for name in expected.filter(|name| !TRAINING.contains(name)) {
        let difference = differences.get(name).unwrap_or_else(|| panic!("{what}: {name} was not computed"));
        assert!(difference.judged(name) <= 1e-5, "{what}: {name}: {difference:?}");
    }
}

/// Both ways to run kernels against `truth`.
fn both(what: &str, truth: &TensorMap, mut of: impl FnMut(traces::Run<'_>) -> Result<TensorMap, EngineError>) {
    assert_like(&format!("{what}, twins"), &of(&mut twins).unwrap(), truth);
    let gpu = block_on(Gpu::open()).unwrap();
    let found = of(&mut |recording, weights, image| block_on(engine::run(&gpu, recording, weights, image)));
    assert_like(&format!("{what}, device"), &found.unwrap(), truth);
}

#[test]
fn the_traces_are_reproduced() {
    let truth = fixture("tasn_small.safetensors");
    both("TASN", &truth, |run| traces::tasn(&Tasn::of_size([40, 40]), 3, &truth, run));
    let truth = fixture("rga_small.safetensors");
    let weights = with_running_statistics(&truth);
    let settings = Rga { ratio: 8, spatial: true, channel: true };
    both("RGA", &truth, |run| traces::rga(&settings, &truth, &weights, run));
    let truth = fixture("rectify_small.safetensors");
    let heads = config(&truth)["heads"].as_u64().unwrap() as usize;
    both("Attend and Rectify", &truth, |run| traces::rectify(heads, 6, &truth, &truth.under("param."), run));
}

struct Inputs {
    random: Random,
    tensors: TensorMap,
}

impl Inputs {
    fn new(seed: u64) -> Self {
        Self { random: Random(seed), tensors: TensorMap::default() }
    }

    /// From -`scale` to `scale`, or with `positive` from 0.
    fn add(&mut self, name: &str, shape: &[usize], scale: f64, positive: bool) {
        let mut value = || self.random.real() * scale;
        let values = (0..shape.iter().product()).map(|_| if positive { value().abs() } else { value() } as f32);
        let values = values.collect();
        self.tensors.insert(name, Tensor::f32(shape, values));
    }
}

#[test]
fn tasn_of_any_size_agrees_with_burn() {
    for (map, image, side) in [
        ([5, 7, 3], [50, 31], 20),
        ([65, 1, 9], [2, 130], 65),
        ([1, 4, 4], [33, 33], 1),
        ([33, 14, 14], [224, 224], 96),
    ] {
        let mut inputs = Inputs::new(1);
        let [channels, height, width] = map;
        inputs.add("input.features", &[2, channels, height, width], 2.0, true);
        inputs.add("input.image", &[2, 3, image[0], image[1]], 1.0, false);
        inputs.add("input.student", &[1, 2], 1.0, false);
        inputs.add("input.teacher", &[1, 2], 1.0, false);
        let settings = Tasn::of_size([side, side]);
        let mut truth = model::tasn::trace(&settings, channels - 1, &inputs.tensors, &Device::flex()).unwrap();
        // Pixels are compared in the traces; on noise they magnify the coordinates' rounding by the photo's size.
        truth.remove("out.structure");
        truth.remove("out.detail");
        both(&format!("{map:?} {image:?}"), &truth, |run| traces::tasn(&settings, channels - 1, &inputs.tensors, run));
    }
}

#[test]
fn rga_of_any_size_agrees_with_burn() {
    for (settings, [channels, height, width]) in [
        (Rga { ratio: 2, spatial: true, channel: true }, [12, 5, 7]),
        (Rga { ratio: 3, spatial: false, channel: true }, [65, 3, 3]),
        (Rga { ratio: 8, spatial: true, channel: false }, [33, 14, 14]),
        (Rga { ratio: 4, spatial: true, channel: true }, [3, 1, 1]),
    ] {
        let mut inputs = Inputs::new(2);
        inputs.add("input.features", &[2, channels, height, width], 1.0, true);
        let positions = height * width;
        for (part, wanted, widths) in [
            ("spatial", settings.spatial, settings.widths(positions, channels)),
            ("channel", settings.channel, settings.widths(channels, positions)),
        ] {
            for (layer, from, to) in [
                ("theta", widths.features, widths.embedded),
                ("phi", widths.features, widths.embedded),
                ("unary", widths.features, widths.embedded),
                ("relation", 2 * widths.nodes, widths.relation),
                ("w1", 1 + widths.relation, widths.hidden),
                ("w2", widths.hidden, 1),
            ] {
                if wanted {
                    let name = format!("param.{part}.{layer}");
                    inputs.add(&format!("{name}.conv"), &[to, from], 2.0 / (from as f64).sqrt(), false);
                    for (vector, positive) in
                        [("weight", true), ("bias", true), ("running_mean", false), ("running_var", true)]
                    {
                        inputs.add(&format!("{name}.bn.{vector}"), &[to], 1.0, positive);
                    }
                }
            }
        }
        let weights = inputs.tensors.under("param.");
        let truth = model::rga::trace(&settings, &inputs.tensors, &weights, &Device::flex()).unwrap();
        // A gate that is the same everywhere would prove little.
        for gate in ["out.spatial_gate", "out.channel_gate"] {
            let Ok(values) = truth.reals(gate) else { continue };
            let (low, high) = values.iter().fold((1.0f32, 0.0f32), |(low, high), v| (low.min(*v), high.max(*v)));
            assert!(height == 1 || high - low > 0.01, "{settings:?} {gate}: {low} to {high}");
        }
        both(&format!("{settings:?} {channels} x {height} x {width}"), &truth, |run| {
            traces::rga(&settings, &inputs.tensors, &weights, run)
        });
    }
}

#[test]
fn rectify_of_any_size_agrees_with_burn() {
    for (heads, classes, [channels, height, width]) in
        [(4, 6, [12, 5, 7]), (1, 1, [3, 1, 1]), (7, 196, [33, 14, 14]), (64, 2, [5, 2, 9])]
    {
        let mut inputs = Inputs::new(3);
        inputs.add("input.features", &[2, channels, height, width], 1.0, false);
        for (name, outputs) in [("attention", heads), ("output", heads * classes), ("gate", heads)] {
            inputs.add(&format!("param.{name}"), &[outputs, channels, 3, 3], 1.0, false);
        }
        inputs.add("input.hypothesis2", &[2, classes], 3.0, false);
        inputs.add("input.classifier", &[2, classes], 3.0, false);
        inputs.add("input.global_gate_logits", &[2, 3], 2.0, false);
        let weights = inputs.tensors.under("param.");
        let truth = model::rectify::trace(heads, classes, &inputs.tensors, &weights, &Device::flex()).unwrap();
        both(&format!("{heads} heads, {classes} classes, {channels} x {height} x {width}"), &truth, |run| {
            traces::rectify(heads, classes, &inputs.tensors, &weights, run)
        });
    }
}

#[test]
fn what_the_kernels_do_not_cover_is_named() {
    let unsupported = |result: Result<TensorMap, EngineError>| match result {
        Err(EngineError::Unsupported(what)) => what,
        other => panic!("{other:?}"),
    };
    let truth = fixture("tasn_small.safetensors");
    let settings = Tasn::of_size([40, 40]);
    assert!(unsupported(traces::tasn(&settings, 32, &truth, &mut twins)).contains("channel 32"));
    let truth = fixture("rectify_small.safetensors");
    assert!(unsupported(traces::rectify(65, 6, &truth, &truth.under("param."), &mut twins)).contains("65 heads"));
    let mut wrong = truth.clone();
    wrong.remove("input.features");
    let error = traces::rectify(4, 6, &wrong, &truth.under("param."), &mut twins).unwrap_err();
    assert!(error.to_string().contains("\"input.features\" is missing"), "{error}");
}

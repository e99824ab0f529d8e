//! Devices, random values, comparison and trace files for the tests of the engine.

use std::path::Path;

use finegrain::architecture::Architecture;
use finegrain::engine::{Form, Gpu};
use finegrain::tensors::{Precision, Tensor, TensorMap, Values};

pub(crate) use crate::random::Random;
use crate::traces::architecture;

/// A device of its own for each test: a test that breaks one does not break the others.
pub(crate) fn gpu() -> Gpu {
    pollster::block_on(Gpu::open()).unwrap()
}

/// `|a - b| / |b|`, Euclidean norms, summed in f64.
pub(crate) fn relative_norm(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let difference = square(&mut found.iter().zip(expected).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    difference / square(&mut expected.iter().map(|v| f64::from(*v))).max(f64::MIN_POSITIVE)
}

pub(crate) fn reals(tensor: &Tensor) -> &[f32] {
    match &tensor.values {
        Values::F32(values) => values,
        Values::I32(_) => panic!("expected reals"),
    }
}

/// Reads a trace file and its architecture.
pub(crate) fn trace_file(path: &Path) -> (Architecture, TensorMap) {
    let map = TensorMap::read(&std::fs::read(path).unwrap()).unwrap();
    (architecture(&map), map)
}

/// A fixture of the repository.
pub(crate) fn fixture(name: &str) -> (Architecture, TensorMap) {
    trace_file(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name))
}

/// Random weights for every weight that the architecture's recording names.
pub(crate) fn random_weights(architecture: &Architecture, random: &mut Random) -> TensorMap {
    let mut weights = TensorMap::default();
    let recording = finegrain::engine::record::classify(architecture, Precision::F32).unwrap();
    for buffer in recording.buffers() {
        let finegrain::engine::Content::Weight(layout) = &buffer.content else { continue };
        let inner: usize = layout.shape[1..].iter().product();
        let scale = if layout.form == Form::Plain { 0.5 } else { 1.5 / (inner as f32).sqrt() };
        let mut tensor = random.tensor(&layout.shape, scale);
        if layout.name.contains("norm") && layout.name.ends_with("weight") {
            let Values::F32(values) = &mut tensor.values else { unreachable!() };
            values.iter_mut().for_each(|v| *v += 1.0);
        }
        weights.insert(layout.name.clone(), tensor);
    }
    // The recording reads them folded.
    let folded = |name: &str| name.starts_with("rga.") || name.starts_with("rectify.");
    for spec in architecture.weights().into_iter().filter(|spec| folded(&spec.name)) {
        let mut tensor = random.tensor(&spec.shape, 0.5);
        if spec.name.ends_with("running_var") || spec.name.ends_with("bn.weight") || spec.name.ends_with("norm.weight")
        {
            let Values::F32(values) = &mut tensor.values else { unreachable!() };
            values.iter_mut().for_each(|v| *v += 1.0);
        }
        weights.insert(spec.name, tensor);
    }
    weights
}

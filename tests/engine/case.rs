//! A recording of one kernel with random inputs, run on the device and by the CPU twin.

use finegrain::engine::{BufferId, Gpu, Kernel, Recording, cpu, kernels};
use finegrain::tensors::{Precision, Tensor, TensorMap};
use pollster::block_on;

use crate::support::{Random, relative_norm};

/// Kernels sum in f32, twins in f64.
pub(crate) const TOLERANCE: f64 = 2e-6;

/// How weights are stored.
pub(crate) const PRECISIONS: [Precision; 3] = [Precision::F32, Precision::F16, Precision::Int8];

/// A recording whose inputs are random.
pub(crate) struct Case {
    pub(crate) recording: Recording,
    pub(crate) values: TensorMap,
    pub(crate) random: Random,
}

impl Case {
    pub(crate) fn new(seed: u64) -> Self {
        Self { recording: Recording::default(), values: TensorMap::default(), random: Random(seed) }
    }

    /// A buffer of random values that kernels read.
    pub(crate) fn random(&mut self, name: &str, shape: &[usize], scale: f32) -> BufferId {
        self.values.insert(name, self.random.tensor(shape, scale));
        self.recording.vector(name, shape)
    }

    /// A buffer of given values that kernels read.
    pub(crate) fn given(&mut self, name: &str, shape: &[usize], values: Vec<f32>) -> BufferId {
        self.values.insert(name, Tensor::f32(shape, values));
        self.recording.vector(name, shape)
    }

    /// A linear layer's weight `[K, N]`, stored in `precision`, and in eight bits its scales.
    pub(crate) fn linear(
        &mut self,
        name: &str,
        [inner, columns]: [usize; 2],
        scale: f32,
        precision: Precision,
    ) -> (BufferId, Option<BufferId>) {
        let shape = [columns, inner];
        self.values.insert(name, self.random.tensor(&shape, scale));
        let values = self.recording.linear(name, &shape, 0..columns, precision);
        let scales = (precision == Precision::Int8).then(|| self.recording.scales(name, &shape, 0..columns));
        (values, scales)
    }

    /// A buffer that a kernel writes and that is compared.
    pub(crate) fn output(&mut self, name: &str, shape: &[usize]) -> BufferId {
        self.recording.scratch(name, shape)
    }

    pub(crate) fn run<U: bytemuck::Pod>(&mut self, kernel: &'static Kernel, uniforms: U, bindings: &[BufferId]) {
        self.recording.dispatch(kernel.shader.name, kernel, uniforms, bindings);
    }

    /// Runs both ways and compares what was read back; gives what the device computed.
    pub(crate) fn compare(self, gpu: &Gpu, what: &str, outputs: &[(&str, BufferId)]) -> TensorMap {
        self.compare_within(TOLERANCE, gpu, what, outputs)
    }

    /// The same, with a tolerance of the caller's.
    pub(crate) fn compare_within(
        mut self,
        tolerance: f64,
        gpu: &Gpu,
        what: &str,
        outputs: &[(&str, BufferId)],
    ) -> TensorMap {
        for (name, buffer) in outputs {
            self.recording.read_back(*name, *buffer);
        }
        let expected = cpu::run(&self.recording, &self.values, &[]).unwrap();
        let found = block_on(finegrain::engine::run(gpu, self.recording, &self.values, &[])).unwrap();
        for (name, _) in outputs {
            let expected = expected.reals(name).unwrap();
            assert!(expected.iter().any(|v| *v != 0.0), "{what}: {name} is all zeros");
            let error = relative_norm(found.reals(name).unwrap(), expected);
            assert!(error < tolerance, "{what}: {name} is off by {error:.2e}");
        }
        found
    }
}

/// A kernel, and the same with subgroup operations where the device has them (lavapipe does).
pub(crate) fn with_and_without_subgroups(gpu: &Gpu, kernel: &'static Kernel) -> Vec<&'static Kernel> {
    let other = kernels::with_subgroups(kernel).unwrap();
    if gpu.has_subgroups() { vec![kernel, other] } else { vec![kernel] }
}

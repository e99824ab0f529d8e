//! Traces, random values, comparison, and gradients against finite differences.

use std::path::Path;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, FloatDType, Gradients, Tensor, TensorData};
use finegrain::compare::compare;
use finegrain::tensors::TensorMap;

use crate::random;

pub(crate) fn fixture(name: &str) -> TensorMap {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    TensorMap::read(&std::fs::read(path).unwrap()).unwrap()
}

/// The trace's metadata `config`.
pub(crate) fn config(trace: &TensorMap) -> serde_json::Value {
    serde_json::from_str(&trace.metadata["config"]).unwrap()
}

/// Every `out.` of the trace was computed and is within 1e-5 relative norm; coordinates within 1e-5 absolute.
pub(crate) fn assert_close(found: &TensorMap, truth: &TensorMap) {
    let differences = compare(found, truth, "out.");
    for (name, _) in truth.iter().filter(|(name, _)| name.starts_with("out.")) {
        let difference = differences.get(name).unwrap_or_else(|| panic!("{name} was not computed"));
        assert!(difference.judged(name) <= 1e-5, "{name}: {difference:?}");
    }
}

/// Reproducible numbers in f64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// From -1 to 1.
    pub(crate) fn real(&mut self) -> f64 {
        let mut numbers = random::Random(self.0);
        let real = (numbers.next() >> 11) as f64 / (1u64 << 52) as f64 - 1.0;
        self.0 = numbers.0;
        real
    }

    /// A tensor of them in f64, times `scale`.
    pub(crate) fn tensor<const D: usize>(&mut self, shape: [usize; D], scale: f64, device: &Device) -> Tensor<D> {
        let values = (0..shape.iter().product()).map(|_| (self.real() * scale) as f32).collect::<Vec<_>>();
        Tensor::<D>::from_data(TensorData::new(values, shape), device).cast(FloatDType::F64).detach()
    }
}

pub(crate) fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f64> {
    tensor.clone().into_data().iter::<f64>().collect()
}

pub(crate) fn near(found: &[f64], expected: &[f64], tolerance: f64) -> bool {
    found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= tolerance)
}

/// A sum of all values, each with a weight of its own: a loss whose gradient is no constant.
pub(crate) fn weighted<const D: usize>(tensor: Tensor<D>, seed: u64) -> Tensor<1> {
    let weights = Random(seed).tensor(tensor.dims(), 1.0, &tensor.device());
    (tensor * weights).sum()
}

/// A new module with numbers of ours instead of the initialiser's, which draws from a generator that all tests share: a
/// difference across a ReLU's kink is no gradient, so what is checked must be the same in every run. Weights become as wide as
/// their inputs are few; vectors (norms, biases) stay about where they were.
pub(crate) fn seeded<M: Module>(module: M, seed: u64) -> M {
    struct Numbers(Random);
    impl ModuleMapper for Numbers {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            if !param.is_require_grad() {
                return param;
            }
            param.map(|w| {
                let inputs = w.shape().num_elements() / w.dims()[D - 1];
                let width = if D == 1 { 0.1 } else { (3.0 / inputs as f64).sqrt() };
                let numbers = self.0.tensor(w.dims(), width, &w.device()).cast(FloatDType::F32);
                let moved = if D == 1 { w + numbers } else { numbers };
                moved.detach().require_grad()
            })
        }
    }
    module.map(&mut Numbers(Random(seed)))
}

/// A module in f64 whose parameters are leaves.
pub(crate) fn in_f64<M: Module>(module: M) -> M {
    struct Wide;
    impl ModuleMapper for Wide {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let active = param.is_require_grad();
            param.map(|w| w.cast(FloatDType::F64).detach().set_require_grad(active))
        }
    }
    module.map(&mut Wide)
}

/// Moves parameter number `which` (of those with gradients) by `step` along its direction.
struct Moved {
    which: usize,
    next: usize,
    step: f64,
}

impl ModuleMapper for Moved {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !param.is_require_grad() {
            return param;
        }
        self.next += 1;
        if self.next - 1 != self.which {
            return param;
        }
        let step = self.step;
        let seed = self.which as u64;
        param.map(|w| {
            let direction = Random(seed).tensor(w.dims(), 1.0, &w.device());
            (w + direction * step).detach().require_grad()
        })
    }
}

/// The gradient of every parameter along its direction.
struct Along<'a> {
    gradients: &'a Gradients,
    found: Vec<f64>,
}

impl ModuleVisitor for Along<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !param.is_require_grad() {
            return;
        }
        let tensor = param.val();
        let gradient = tensor.grad(self.gradients).map(|gradient| values(&gradient));
        let direction = values(&Random(self.found.len() as u64).tensor(tensor.dims(), 1.0, &tensor.device()));
        self.found.push(gradient.map_or(f64::NAN, |g| g.iter().zip(&direction).map(|(a, b)| a * b).sum()));
    }
}

/// Each parameter's gradient along a random direction against the central difference, all in f64; gives how many there are
/// and how many of them are not zero.
pub(crate) fn check_gradients<M: Module>(module: M, loss: impl Fn(&M) -> Tensor<1>) -> (usize, usize) {
    let module = in_f64(module);
    let gradients = loss(&module).backward();
    let mut along = Along { gradients: &gradients, found: Vec::new() };
    module.visit(&mut along);
    let step = 1e-5;
    for (which, &found) in along.found.iter().enumerate() {
        let at = |step: f64| values(&loss(&module.clone().map(&mut Moved { which, next: 0, step })))[0];
        let expected = (at(step) - at(-step)) / (2.0 * step);
        let error = (found - expected).abs() / expected.abs().max(1e-3);
        assert!(error < 1e-5, "parameter {which}: {found} by backward, {expected} by difference");
    }
    (along.found.len(), along.found.iter().filter(|g| g.abs() > 1e-6).count())
}

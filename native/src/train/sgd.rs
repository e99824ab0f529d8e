//! Stochastic gradient descent with momentum (PyTorch's form, without dampening), a rate and a decay per parameter.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use finegrain::model::Network;
use finegrain::tensors::{self, TensorError, TensorMap};

use super::optimizer::Rates;

/// The optimizer's state: the velocity of each parameter, flat.
#[derive(Debug)]
pub(super) struct Sgd {
    momentum: f64,
    velocities: BTreeMap<String, Tensor<1>>,
}

impl Sgd {
    /// Without any velocity yet.
    pub(super) fn new(momentum: f64) -> Self {
        Self { momentum, velocities: BTreeMap::new() }
    }

    /// One step, as [`Optimizer::step`](super::optimizer::Optimizer::step) says.
    pub(super) fn step(
        &mut self,
        network: Network,
        gradients: GradientsParams,
        scale: f64,
        rates: &dyn Fn(&str) -> Rates,
    ) -> Network {
        network.map(&mut Update { path: Vec::new(), state: self, gradients, scale, rates })
    }

    /// The state as named tensors: `velocity.<path>`.
    pub(super) fn tensors(&self) -> TensorMap {
        let mut map = TensorMap::default();
        for (path, velocity) in &self.velocities {
            let values: Vec<f32> = velocity.clone().into_data().iter::<f32>().collect();
            map.insert(format!("velocity.{path}"), tensors::Tensor::f32([values.len()], values));
        }
        map
    }

    /// Reads back what [`Sgd::tensors`] gave.
    ///
    /// # Errors
    /// [`TensorError`] where a velocity is not made of reals.
    pub(super) fn restore(momentum: f64, map: &TensorMap, device: &Device) -> Result<Self, TensorError> {
        let mut velocities = BTreeMap::new();
        let map = map.under("velocity.");
        for (path, _) in map.iter() {
            let values = map.reals(path)?.to_vec();
            let count = values.len();
            velocities.insert(path.to_owned(), Tensor::from_data(TensorData::new(values, [count]), device));
        }
        Ok(Self { momentum, velocities })
    }
}

struct Update<'a> {
    path: Vec<String>,
    state: &'a mut Sgd,
    gradients: GradientsParams,
    scale: f64,
    rates: &'a dyn Fn(&str) -> Rates,
}

impl ModuleMapper for Update<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(gradient) = self.gradients.remove::<D>(param.id) else { return param };
        let path = self.path.join(".");
        let Rates { lr, decay } = (self.rates)(&path);
        let (scale, momentum) = (self.scale, self.state.momentum);
        let former = self.state.velocities.remove(&path);
        let mut updated = None;
        let param = param.map(|value| {
            let shape = value.dims();
            let value: Tensor<1> = value.flatten(0, D - 1);
            let mut g: Tensor<1> = gradient.flatten(0, D - 1);
            if scale != 1.0 {
                g = g * scale;
            }
            if decay > 0.0 {
                g = g + value.clone() * decay;
            }
            let velocity = match former {
                Some(velocity) => velocity * momentum + g,
                None => g,
            };
            updated = Some(velocity.clone());
            (value - velocity * lr).reshape(shape)
        });
        if let Some(velocity) = updated {
            self.state.velocities.insert(path, velocity);
        }
        param
    }
}

#[cfg(test)]
mod tests {
    use finegrain::architecture::{Architecture, Mechanism};

    use super::*;

    #[test]
    fn three_steps_follow_the_equations() {
        let architecture = Architecture {
            image_size: [4, 4],
            patch_size: 2,
            dim: 4,
            depth: 1,
            heads: 1,
            mlp_ratio: 2,
            layer_norm_eps: 1e-6,
            classes: 2,
            mechanism: Mechanism::None,
        };
        let device = Device::flex();
        let mut network = Network::new(&architecture, &device);
        let before = network.weights();
        let rates = |path: &str| Rates { lr: 0.1, decay: if path == "vit.norm.gamma" { 0.5 } else { 0.0 } };
        let mut optimizer = Sgd::new(0.9);
        let (mut weight, mut velocity) = (1f64, 0f64);
        for (i, given) in [0.4f32, -1.0, 2.0].into_iter().enumerate() {
            let mut gradients = GradientsParams::new();
            gradients.register::<1>(network.vit.norm.gamma.id, Tensor::from_floats([given; 4], &device));
            if i == 1 {
                // In the middle, through a checkpoint.
                optimizer = Sgd::restore(0.9, &optimizer.tensors(), &device).unwrap();
            }
            network = optimizer.step(network, gradients, 0.5, &rates);
            velocity = 0.9 * velocity + 0.5 * f64::from(given) + 0.5 * weight;
            weight -= 0.1 * velocity;
        }
        let after = network.weights();
        for found in after.reals("norm.weight").unwrap() {
            assert!((f64::from(*found) - weight).abs() < 1e-6, "{found} and {weight}");
        }
        assert_eq!(before.get("norm.bias"), after.get("norm.bias"), "no gradient, no step");
    }
}

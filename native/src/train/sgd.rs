//! Stochastic gradient descent with momentum (PyTorch's form, without dampening), a rate and a decay per parameter.

use std::collections::BTreeMap;

use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use finegrain::model::Network;
use finegrain::tensors::{TensorError, TensorMap};

use super::optimizer::Rates;
use super::walk::{self, Parameter};

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
        walk::step(network, gradients, scale, &mut |Parameter { path, value }, mut g| {
            let Rates { lr, decay } = rates(&path);
            if decay > 0.0 {
                g = g + value.clone() * decay;
            }
            let velocity = match self.velocities.remove(&path) {
                Some(velocity) => velocity * self.momentum + g,
                None => g,
            };
            self.velocities.insert(path, velocity.clone());
            value - velocity * lr
        })
    }

    /// The state as named tensors: `velocity.<path>`.
    pub(super) fn tensors(&self) -> TensorMap {
        let mut map = TensorMap::default();
        for (path, velocity) in &self.velocities {
            map.insert(format!("velocity.{path}"), walk::to_file(velocity));
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
            velocities.insert(path.to_owned(), walk::from_file(map.reals(path)?, device));
        }
        Ok(Self { momentum, velocities })
    }
}

#[cfg(test)]
mod tests {
    use finegrain::architecture::{Architecture, Mechanism};

    use super::*;

    #[test]
    fn three_steps_follow_the_equations() {
        let architecture = Architecture {
            resnet: None,
            hybrid: None,
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
            gradients
                .register::<1>(network.backbone.vit().unwrap().norm.gamma.id, Tensor::from_floats([given; 4], &device));
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

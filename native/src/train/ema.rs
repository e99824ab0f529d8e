//! Exponential moving average of the weights (Polyak averaging): a smoother network than the last step's, at no cost
//! when photos are named.

use std::collections::VecDeque;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use finegrain::model::Network;

use super::walk::{self, Parameter};

/// The average beside a network that is trained.
#[derive(Debug)]
pub(super) struct Ema {
    decay: f64,
    network: Network,
}

impl Ema {
    /// An average that starts as `network`; `None` for `decay` 0, which switches it off.
    pub(super) fn new(decay: f64, network: &Network) -> Option<Self> {
        (decay > 0.0).then(|| Self { decay, network: network.clone() })
    }

    /// Moves the average towards `network` after optimizer step `step`, counted from 0.
    ///
    /// The first steps weigh more, `min(decay, (1 + step) / (10 + step))`, so that the start is soon forgotten; the
    /// average itself is all the state there is.
    pub(super) fn update(&mut self, network: &Network, step: usize) {
        let decay = self.decay.min((1 + step) as f64 / (10 + step) as f64);
        let mut now = Now(VecDeque::new());
        network.visit(&mut now);
        self.network =
            walk::change(self.network.clone(), &mut |Parameter { value: average, .. }| match now.0.pop_front() {
                // Where nothing moved (frozen blocks) the difference is exactly 0 and the average stays exactly.
                Some(now) => (now - average.clone()) * (1.0 - decay) + average,
                None => average,
            });
    }

    /// The network with the average weights.
    pub(super) fn network(&self) -> &Network {
        &self.network
    }
}

/// Every parameter, flat, in the order of the network.
struct Now(VecDeque<Tensor<1>>);

impl ModuleVisitor for Now {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.push_back(param.val().flatten(0, D - 1));
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use finegrain::architecture::{Architecture, Mechanism};
    use finegrain::model::Backbone;

    use super::*;

    fn network(gamma: f32) -> Network {
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
        let mut network = Network::new(&architecture, &Device::flex());
        set(&mut network, gamma);
        network
    }

    fn set(network: &mut Network, gamma: f32) {
        let Backbone::Vit(vit) = &mut network.backbone else { unreachable!() };
        let norm = &mut vit.norm;
        norm.gamma = norm.gamma.clone().map(|old| old.zeros_like() + gamma);
    }

    #[test]
    fn the_average_follows_the_equation_and_its_warm_up() {
        assert!(Ema::new(0.0, &network(1.0)).is_none(), "0 switches it off");
        let start = network(1.0);
        let mut ema = Ema::new(0.5, &start).unwrap();
        let mut expected = 1.0;
        for (step, gamma) in [3.0, -2.0, 0.5, 4.0, 7.0, 7.0, 7.0, 7.0, 7.0, 1.0, 2.0].into_iter().enumerate() {
            let decay = [0.1, 2.0 / 11.0, 3.0 / 12.0, 4.0 / 13.0, 5.0 / 14.0, 6.0 / 15.0, 7.0 / 16.0, 8.0 / 17.0]
                .get(step)
                .copied()
                .unwrap_or(0.5);
            expected = decay * expected + (1.0 - decay) * gamma;
            let mut now = start.clone();
            set(&mut now, gamma as f32);
            ema.update(&now, step);
            let found = ema.network().weights();
            for value in found.reals("norm.weight").unwrap() {
                assert!((f64::from(*value) - expected).abs() < 1e-5, "step {step}: {value} and {expected}");
            }
            for name in ["blocks.0.attn.qkv.weight", "pos_embed", "norm.bias"] {
                assert_eq!(found.get(name), start.weights().get(name), "{name} did not move");
            }
        }
    }
}

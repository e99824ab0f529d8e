//! AdamW (Loshchilov and Hutter, 2019) with a rate and a decay per parameter, and clipping by the global norm.
//!
//! burn's optimizer keeps its state under parameter ids and materialises it on the default device; this one keeps it
//! under names, so that a checkpoint is a safetensors file that anyone can look into.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use finegrain::model::Network;
use finegrain::tensors::{self, TensorError, TensorMap};

use super::optimizer::Rates;
use super::walk::{self, Parameter};

const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// The optimizer's state: first and second moment of each parameter, flat.
#[derive(Debug, Default)]
pub(super) struct AdamW {
    moments: BTreeMap<String, [Tensor<1>; 2]>,
    steps: i32,
}

impl AdamW {
    /// Updates every parameter that has a gradient. Gradients are first multiplied by `scale` (clipping).
    ///
    /// `rates` is asked with burn's path of the parameter ("vit.blocks.3.attn.qkv.weight").
    pub(super) fn step(
        &mut self,
        network: Network,
        gradients: GradientsParams,
        scale: f64,
        rates: &dyn Fn(&str) -> Rates,
    ) -> Network {
        self.steps += 1;
        let [correction_1, correction_2] = [1.0 - BETA_1.powi(self.steps), 1.0 - BETA_2.powi(self.steps)];
        walk::step(network, gradients, scale, &mut |Parameter { path, value }, g| {
            let Rates { lr, decay } = rates(&path);
            let squared = g.clone() * g.clone();
            let (first, second) = match self.moments.remove(&path) {
                Some([m, v]) => (m * BETA_1 + g * (1.0 - BETA_1), v * BETA_2 + squared * (1.0 - BETA_2)),
                None => (g * (1.0 - BETA_1), squared * (1.0 - BETA_2)),
            };
            let denominator = (second.clone() / correction_2).sqrt() + EPSILON;
            let delta = first.clone() / denominator * (lr / correction_1);
            self.moments.insert(path, [first, second]);
            value * (1.0 - lr * decay) - delta
        })
    }

    /// The state as named tensors: `first.<path>`, `second.<path>` and `steps`.
    pub(super) fn tensors(&self) -> TensorMap {
        let mut map = TensorMap::default();
        map.insert("steps", tensors::Tensor::i32([1], vec![self.steps]));
        for (path, moments) in &self.moments {
            for (kind, moment) in ["first", "second"].iter().zip(moments) {
                map.insert(format!("{kind}.{path}"), walk::to_file(moment));
            }
        }
        map
    }

    /// Reads back what [`AdamW::tensors`] gave.
    ///
    /// # Errors
    /// [`TensorError`] where a moment is missing.
    pub(super) fn restore(map: &TensorMap, device: &Device) -> Result<Self, TensorError> {
        let steps = map.integers("steps")?.first().copied().unwrap_or(0);
        let mut moments = BTreeMap::new();
        for (path, _) in map.under("first.").iter() {
            let moment = |kind: &str| -> Result<Tensor<1>, TensorError> {
                Ok(walk::from_file(map.reals(&format!("{kind}.{path}"))?, device))
            };
            moments.insert(path.to_owned(), [moment("first")?, moment("second")?]);
        }
        Ok(Self { moments, steps })
    }
}

/// The factor that brings the global norm of `gradients` down to `limit` (1 where it is smaller or `limit` is 0), and
/// the norm itself.
pub(super) fn clip_scale(network: &Network, gradients: &GradientsParams, limit: f64) -> (f64, f64) {
    let mut squares = Squares { gradients, found: Vec::new() };
    network.visit(&mut squares);
    if squares.found.is_empty() {
        return (1.0, 0.0);
    }
    let sums: Vec<f32> = Tensor::cat(squares.found, 0).into_data().iter::<f32>().collect();
    let norm = sums.iter().map(|s| f64::from(*s)).sum::<f64>().sqrt();
    let scale = if limit > 0.0 && norm > limit { limit / norm } else { 1.0 };
    (scale, norm)
}

struct Squares<'a> {
    gradients: &'a GradientsParams,
    found: Vec<Tensor<1>>,
}

impl ModuleVisitor for Squares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            self.found.push((gradient.clone() * gradient).sum());
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use finegrain::architecture::{Architecture, Mechanism};

    use super::*;

    fn network() -> Network {
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
        Network::new(&architecture, &Device::flex())
    }

    /// Gradients of two parameters, the rest without.
    fn gradients(network: &Network, norm: [f32; 4], head: f32) -> GradientsParams {
        let mut gradients = GradientsParams::new();
        let vit = network.backbone.vit().unwrap();
        gradients.register::<1>(vit.norm.gamma.id, Tensor::from_floats(norm, &Device::flex()));
        gradients.register::<2>(vit.head.weight.id, Tensor::full([4, 2], head, &Device::flex()));
        gradients
    }

    fn rates(path: &str) -> Rates {
        if path == "vit.head.weight" { Rates { lr: 0.1, decay: 0.5 } } else { Rates { lr: 0.01, decay: 0.0 } }
    }

    /// PyTorch's AdamW for one value, in f64.
    fn reference(mut value: f64, gradients: &[f64], Rates { lr, decay }: Rates) -> f64 {
        let (mut m, mut v) = (0.0, 0.0);
        for (t, g) in gradients.iter().enumerate() {
            value -= lr * decay * value;
            m = 0.9 * m + 0.1 * g;
            v = 0.999 * v + 0.001 * g * g;
            let (m_hat, v_hat) = (m / (1.0 - 0.9f64.powi(t as i32 + 1)), v / (1.0 - 0.999f64.powi(t as i32 + 1)));
            value -= lr * m_hat / (v_hat.sqrt() + 1e-8);
        }
        value
    }

    #[test]
    fn three_steps_follow_the_equations() {
        let mut network = network();
        let before = network.weights();
        let mut optimizer = AdamW::default();
        let steps = [[0.3f32, -0.2, 0.0, 5.0], [0.1, 0.4, 1e-3, -2.0], [-0.5, 0.1, 0.0, 1.0]];
        for (i, norm) in steps.iter().enumerate() {
            let gradients = gradients(&network, *norm, 0.2 * (i + 1) as f32);
            if i == 1 {
                // In the middle, through a checkpoint.
                optimizer = AdamW::restore(&optimizer.tensors(), &Device::flex()).unwrap();
            }
            network = optimizer.step(network, gradients, 0.5, &rates);
        }
        let after = network.weights();
        for i in 0..4 {
            let given: Vec<f64> = steps.iter().map(|norm| 0.5 * f64::from(norm[i])).collect();
            let expected = reference(1.0, &given, rates("vit.norm.gamma"));
            let found = f64::from(after.reals("norm.weight").unwrap()[i]);
            assert!((found - expected).abs() < 1e-6, "norm {i}: {found} and {expected}");
        }
        let expected = reference(0.0, &[0.1, 0.2, 0.3], rates("vit.head.weight"));
        for found in after.reals("head.weight").unwrap() {
            assert!((f64::from(*found) - expected).abs() < 1e-6, "{found} and {expected}");
        }
        assert_eq!(before.get("blocks.0.mlp.fc1.weight"), after.get("blocks.0.mlp.fc1.weight"), "no gradient, no step");
    }

    #[test]
    fn the_global_norm_is_cut() {
        let network = network();
        let gradients = gradients(&network, [3.0, 0.0, 0.0, 0.0], 2f32.sqrt());
        let (scale, norm) = clip_scale(&network, &gradients, 1.0);
        assert!((norm - 5.0).abs() < 1e-6 && (scale - 0.2).abs() < 1e-7, "{norm} {scale}");
        assert_eq!(clip_scale(&network, &gradients, 10.0).0, 1.0);
        assert_eq!(clip_scale(&network, &gradients, 0.0).0, 1.0, "0 switches clipping off");
    }
}

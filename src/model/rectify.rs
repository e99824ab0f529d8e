//! Attend and Rectify (Rodriguez et al., ECCV 2018 and IEEE TMM 2019; equations as in the authors' code): modules at
//! several depths look with a few heads each and vote, and gates weigh their votes and that of the network's classifier.

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::activation::{log_softmax, sigmoid, softmax};
use burn::tensor::module::{avg_pool2d, conv2d};
use burn::tensor::ops::{AvgPoolOptions, ConvOptions};
use burn::tensor::{Device, Int, Tensor};

use super::batch_norm::{BatchNorm, BatchStatistics, Statistics};
use super::trace::real;
use super::{inward, load};
use crate::tensors::{TensorError, TensorMap};

/// What keeps the sum of sigmoid gates from being zero (authors' code).
const GATE_EPSILON: f64 = 1e-6;

/// The module on the activations `Z` `[B, C, H, W]` of one depth: K heads, each with a mask and an opinion.
#[derive(Module, Debug)]
pub struct Attend {
    /// `[K, C, 3, 3]`: what each head's mask is a softmax of.
    pub attention: Param<Tensor<4>>,
    /// `[K classes, C, 3, 3]`, head by head: what each head thinks of each position.
    pub output: Param<Tensor<4>>,
    /// `[K, C, 3, 3]`: how far each head is to be trusted at each position.
    pub gate: Param<Tensor<4>>,
}

/// What one module computes.
#[derive(Debug, Clone)]
pub struct Hypothesis {
    /// Where each head looks, `[B, K, H, W]`; each sums to 1.
    pub masks: Tensor<4>,
    /// How much each head counts, `[B, K]`; they sum to 1.
    pub head_gates: Tensor<2>,
    /// The module's logits, `[B, classes]`.
    pub logits: Tensor<2>,
}

impl Attend {
    /// Random weights.
    pub fn new(channels: usize, heads: usize, classes: usize, device: &Device) -> Self {
        let init = |outputs: usize| -> Param<Tensor<4>> {
            let std = (1.0 / (9 * channels) as f64).sqrt();
            Initializer::Normal { mean: 0.0, std }.init([outputs, channels, 3, 3], device)
        };
        Self { attention: init(heads), output: init(heads * classes), gate: init(heads) }
    }

    /// The hypothesis for activations `z` `[B, C, H, W]`.
    pub fn forward(&self, z: Tensor<4>) -> Hypothesis {
        let [batch, _, height, width] = z.dims();
        let heads = self.attention.val().dims()[0];
        let positions = height * width;
        // conv3x3 to [B, K, rest, H W].
        let by_head = |weight: &Param<Tensor<4>>| -> Tensor<4> {
            let weight = weight.val();
            let rest = weight.dims()[0] / heads;
            let options = ConvOptions::new([1, 1], [1, 1], [1, 1], 1);
            conv2d(z.clone(), weight, None, options).reshape([batch, heads, rest, positions])
        };
        let masks = softmax(by_head(&self.attention), 3);
        let opinions: Tensor<3> = (by_head(&self.output) * masks.clone()).sum_dim(3).squeeze_dim(3);
        let trust: Tensor<3> = (by_head(&self.gate) * masks.clone()).sum_dim(3).squeeze_dim(3);
        let head_gates = softmax(trust.tanh(), 1);
        Hypothesis {
            masks: masks.reshape([batch, heads, height, width]),
            head_gates: head_gates.clone().squeeze_dim(2),
            logits: (opinions * head_gates).sum_dim(1).squeeze_dim(1),
        }
    }
}

/// How much each of the modules and, last, the network's classifier counts.
#[derive(Module, Debug)]
pub struct GlobalGates {
    /// `[modules + 1, D]`.
    pub weight: Param<Tensor<2>>,
    /// Over the gates.
    pub bn: BatchNorm,
}

/// How gates become weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mixing {
    /// Their softmax: the votes compete.
    Softmax,
    /// Their sigmoids over 1e-6 plus the sum of them.
    Sigmoid,
}

impl GlobalGates {
    /// Random weights for features of width `dim` and `outputs` votes.
    pub fn new(dim: usize, outputs: usize, device: &Device) -> Self {
        let small = Initializer::Normal { mean: 0.0, std: (1.0 / dim as f64).sqrt() };
        Self { weight: small.init([outputs, dim], device), bn: BatchNorm::new(outputs, device) }
    }

    /// `BN(W v)` `[B, modules + 1]` of the pooled last feature `v` `[B, D]`, before the tanh.
    pub fn forward(&self, pooled: Tensor<2>, statistics: &mut Statistics<'_>) -> Tensor<2> {
        let logits = pooled.matmul(self.weight.val().transpose());
        self.bn.forward(logits.unsqueeze_dim(2), statistics).squeeze_dim(2)
    }

    /// Moves the running statistics towards those of a training step.
    pub fn observe(mut self, batch: &BatchStatistics) -> Self {
        self.bn = self.bn.observe(batch);
        self
    }
}

/// The result `[B, classes]`, weighted sums of log-probabilities: `votes`, each `[B, classes]`, by gates `[B, votes]` before
/// their tanh.
pub fn mix(votes: &[Tensor<2>], gates: Tensor<2>, mixing: Mixing) -> Tensor<2> {
    let gates = gates.tanh();
    let weights = match mixing {
        Mixing::Softmax => softmax(gates, 1),
        Mixing::Sigmoid => {
            let open = sigmoid(gates);
            open.clone() / (open.sum_dim(1) + GATE_EPSILON)
        }
    };
    let votes: Vec<Tensor<3>> = votes.iter().map(|vote| log_softmax(vote.clone(), 1).unsqueeze_dim(1)).collect();
    (Tensor::cat(votes, 1) * weights.unsqueeze_dim::<3>(2)).sum_dim(1).squeeze_dim(1)
}

/// How much the heads of a module look at the same places, `[1]`: masks `[B, K, H, W]` averaged over 2x2, and of their
/// products `P P^T` `[B, K, K]` the squares off the diagonal, averaged over all `B K K`. The loss adds a thousandth of it.
pub fn regulariser(masks: Tensor<4>) -> Tensor<1> {
    let [batch, heads, height, width] = masks.dims();
    let pooled = match height.min(width) {
        0 | 1 => masks,
        _ => avg_pool2d(masks, AvgPoolOptions::new([2, 2])),
    };
    let flat: Tensor<3> = pooled.flatten(2, 3);
    let products = flat.clone().matmul(flat.swap_dims(1, 2));
    let diagonal = Tensor::<2, Int>::eye(heads, &products.device()).equal_elem(1);
    let diagonal = diagonal.unsqueeze::<3>().expand([batch, heads, heads]);
    let apart = products.mask_fill(diagonal, 0.0);
    (apart.clone() * apart).mean()
}

/// Runs one module on `input.features` `[B, C, H, W]` of a trace with the parameters `weights` (named as the fields of
/// [`Attend`]), and mixes its logits with `input.hypothesis2` and `input.classifier` `[B, classes]` by
/// `input.global_gate_logits` `[B, 3]`: `out.masks` `[B, K, H, W]`, `out.head_gates` `[B, K]`, `out.hypothesis`
/// `[B, classes]`, `out.regulariser` `[1]`, `out.softmax` and `out.sigmoid` `[B, classes]`.
///
/// # Errors
/// [`TensorError`] for a tensor that is missing, of another shape or not finite.
pub fn trace(
    heads: usize,
    classes: usize,
    tensors: &TensorMap,
    weights: &TensorMap,
    device: &Device,
) -> Result<TensorMap, TensorError> {
    let z: Tensor<4> = inward(tensors, "input.features", device)?;
    let [batch, channels, ..] = z.dims();
    for (name, width) in [("hypothesis2", classes), ("classifier", classes), ("global_gate_logits", 3)] {
        tensors.weight(&format!("input.{name}"), &[batch, width])?;
    }
    let module = load(Attend::new(channels, heads, classes, device), weights)?;
    let found = module.forward(z);
    let votes = [
        found.logits.clone(),
        inward(tensors, "input.hypothesis2", device)?,
        inward(tensors, "input.classifier", device)?,
    ];
    let gates: Tensor<2> = inward(tensors, "input.global_gate_logits", device)?;
    let mut trace = TensorMap::default();
    trace.insert("out.masks", real(&found.masks));
    trace.insert("out.head_gates", real(&found.head_gates));
    trace.insert("out.hypothesis", real(&found.logits));
    trace.insert("out.regulariser", real(&regulariser(found.masks)));
    trace.insert("out.softmax", real(&mix(&votes, gates.clone(), Mixing::Softmax)));
    trace.insert("out.sigmoid", real(&mix(&votes, gates, Mixing::Sigmoid)));
    Ok(trace)
}

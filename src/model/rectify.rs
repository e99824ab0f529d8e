//! Attend and Rectify (Rodriguez et al., ECCV 2018 and IEEE TMM 2019; equations as in the authors' code): modules at
//! several depths look with a few heads each and vote, and gates weigh their votes and that of the network's classifier.

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::activation::{log_softmax, sigmoid, softmax};
use burn::tensor::module::avg_pool2d;
use burn::tensor::ops::AvgPoolOptions;
use burn::tensor::{Device, Int, Tensor};

use super::batch_norm::{BatchNorm, Statistics};
use super::layer_norm::LayerNorm;
use super::trace::real;
use super::vit::on_grid;
use super::{inward, load};
use crate::architecture::{self, Architecture, Mixing};
use crate::tensors::{TensorError, TensorMap};

/// What keeps the sum of sigmoid gates from being zero (authors' code).
const GATE_EPSILON: f64 = 1e-6;

/// The regulariser's share of the loss (authors' code).
const REGULARISER: f64 = 0.001;

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
    ///
    /// A convolution is linear, and so are the sums over positions: `sum_p H(p) (W * z)(p) = W sum_p H(p) z(p + tap)`. So each
    /// mask sums up what it sees under the nine taps, `[9, C]`, and the weights are applied once, not at every position.
    pub fn forward(&self, z: Tensor<4>) -> Hypothesis {
        let [batch, channels, height, width] = z.dims();
        let [heads, ..] = self.attention.val().dims();
        let positions = height * width;
        let z: Tensor<3> = z.flatten(2, 3).swap_dims(1, 2);
        // Under each tap by itself, then shifted and added up: [B, K, 9, H, W] to [B, K, H W].
        let taps =
            self.attention.val().reshape([heads, channels, 9]).permute([1, 0, 2]).reshape([1, channels, heads * 9]);
        let under: Tensor<5> = z.clone().matmul(taps).swap_dims(1, 2).reshape([batch, heads, 9, height, width]);
        let padded = under.pad((1, 1, 1, 1), 0.0);
        let shifted = |tap: usize| -> Tensor<5> {
            padded.clone().narrow(2, tap, 1).narrow(3, tap / 3, height).narrow(4, tap % 3, width)
        };
        let scores = (1..9).map(shifted).fold(shifted(0), |sum, next| sum + next);
        let masks = softmax(scores.reshape([batch, heads, positions]), 2);
        // What the masks sum up: [B, K, 9, H W] times [B, H W, C], as the weights have it [B, K, C 9].
        let padded = masks.clone().reshape([batch, heads, 1, height, width]).pad((1, 1, 1, 1), 0.0);
        let seen = |tap: usize| padded.clone().narrow(3, 2 - tap / 3, height).narrow(4, 2 - tap % 3, width);
        let seen: Tensor<5> = Tensor::cat((0..9).map(seen).collect(), 2);
        let pooled: Tensor<3> = seen.reshape([batch, heads * 9, positions]).matmul(z);
        let pooled: Tensor<3> =
            pooled.reshape([batch, heads, 9, channels]).swap_dims(2, 3).reshape([batch, heads, 9 * channels]);
        let trust: Tensor<3> = (pooled.clone() * self.gate.val().reshape([1, heads, 9 * channels])).sum_dim(2);
        let head_gates = softmax(trust.tanh(), 1);
        // Each head by its own weights: [K, B, C 9] times [K, C 9, classes].
        let output = self.output.val();
        let classes = output.dims()[0] / heads;
        let output: Tensor<3> = output.reshape([heads, classes, 9 * channels]).swap_dims(1, 2);
        let opinions = pooled.swap_dims(0, 1).matmul(output).swap_dims(0, 1);
        Hypothesis {
            masks: masks.reshape([batch, heads, height, width]),
            head_gates: head_gates.clone().squeeze_dim(2),
            logits: (opinions * head_gates).sum_dim(1).squeeze_dim(1),
        }
    }
}

/// A module behind a block of a vision transformer or a stage of a residual network.
#[derive(Module, Debug)]
pub struct AttendBehind {
    /// Of a transformer's patch tokens, which come from no norm. A residual network's maps do.
    pub norm: Option<LayerNorm>,
    /// The module on the map.
    pub attend: Attend,
}

/// Attend and Rectify on a backbone: modules behind some of its blocks or stages, and the gates that weigh their votes.
#[derive(Module, Debug)]
pub struct RectifyBlocks {
    /// First to last.
    pub modules: Vec<AttendBehind>,
    /// Over the modules' votes and the classifier's.
    pub gates: GlobalGates,
    #[module(skip)]
    settings: architecture::RectifyBlocks,
}

/// What Attend and Rectify makes of a photo.
#[derive(Debug, Clone)]
pub struct Rectified {
    /// The modules', first to last.
    pub hypotheses: Vec<Hypothesis>,
    /// The votes mixed, `[B, classes]`: weighted log-probabilities.
    pub logits: Tensor<2>,
}

/// How much each of the modules and, last, the network's classifier counts.
#[derive(Module, Debug)]
pub struct GlobalGates {
    /// `[modules + 1, D]`.
    pub weight: Param<Tensor<2>>,
    /// Over the gates.
    pub bn: BatchNorm,
}

impl GlobalGates {
    /// Random weights for features of width `dim` and `outputs` votes.
    pub fn new(dim: usize, outputs: usize, device: &Device) -> Self {
        let small = Initializer::Normal { mean: 0.0, std: (1.0 / dim as f64).sqrt() };
        Self { weight: small.init([outputs, dim], device), bn: BatchNorm::new(outputs, device) }
    }

    /// `BN(W v)` `[B, modules + 1]` of the pooled last feature `v` `[B, D]`, before the tanh. One photo by itself has no variance:
    /// it is normalised by the running statistics in training, too, and leaves none.
    pub fn forward(&self, pooled: Tensor<2>, statistics: &mut Statistics<'_>) -> Tensor<2> {
        let alone = pooled.dims()[0] == 1;
        let statistics = if alone { &mut Statistics::Running } else { statistics };
        let logits = pooled.matmul(self.weight.val().transpose());
        self.bn.forward(logits.unsqueeze_dim(2), statistics).squeeze_dim(2)
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

impl RectifyBlocks {
    /// Random weights; opinions start at zero like the classifier, so that the first steps do not disturb pretrained blocks.
    pub fn new(architecture: &Architecture, settings: &architecture::RectifyBlocks, device: &Device) -> Self {
        let Architecture { dim, classes, .. } = *architecture;
        let module = |&after: &usize| {
            let channels = architecture.map_behind(after).channels;
            let mut attend = Attend::new(channels, settings.heads, classes, device);
            attend.output = Initializer::Zeros.init([settings.heads * classes, channels, 3, 3], device);
            let norm = architecture.resnet.is_none().then(|| LayerNorm::new(architecture, device));
            AttendBehind { norm, attend }
        };
        Self {
            modules: settings.after.iter().map(module).collect(),
            gates: GlobalGates::new(dim, settings.votes(), device),
            settings: settings.clone(),
        }
    }

    /// What the module behind block `index` thinks of the patch tokens `[B, N, D]` there, on a grid of `size`, if one stands there.
    pub(super) fn of_tokens(&self, index: usize, patches: Tensor<3>, size: [usize; 2]) -> Option<Hypothesis> {
        let module = self.modules.get(self.settings.behind(index)?)?;
        let patches = match &module.norm {
            Some(norm) => norm.forward(patches),
            None => patches,
        };
        Some(module.attend.forward(on_grid(patches, size)))
    }

    /// What the module behind stage `index` thinks of the map `[B, C, H, W]` there, if one stands there.
    pub(super) fn of_map(&self, index: usize, map: &Tensor<4>) -> Option<Hypothesis> {
        let module = self.modules.get(self.settings.behind(index)?)?;
        Some(module.attend.forward(map.clone()))
    }

    /// The modules' votes and the classifier's, `logits` `[B, classes]`, mixed by the gates of its `feature` `[B, D]`.
    pub(super) fn rectify(
        &self,
        hypotheses: Vec<Hypothesis>,
        feature: Tensor<2>,
        logits: Tensor<2>,
        statistics: &mut Statistics<'_>,
    ) -> Rectified {
        let votes: Vec<Tensor<2>> =
            hypotheses.iter().map(|found| found.logits.clone()).chain(std::iter::once(logits)).collect();
        let gates = self.gates.forward(feature, statistics);
        Rectified { hypotheses, logits: mix(&votes, gates, self.settings.mixing) }
    }
}

impl Rectified {
    /// A thousandth of how much the heads of each module look at the same places, added up: `[1]`.
    pub(super) fn regulariser(&self) -> Tensor<1> {
        let terms = self.hypotheses.iter().map(|found| regulariser(found.masks.clone()));
        let sum = terms.reduce(|a, b| a + b).unwrap_or_else(|| Tensor::zeros([1], &self.logits.device()));
        sum * REGULARISER
    }
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

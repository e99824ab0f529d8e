//! Relation-aware global attention, RGA (Zhang et al., CVPR 2020): a gate for each position (RGA-S) or channel (RGA-C) of
//! a map, learned from how that node relates to all others.
//!
//! `r_ij = theta(x_i)^T phi(x_j)` without a softmax; node i is described by `y_i`, the mean of its own embedding and the
//! embedding of `[r_i1 ... r_iN, r_1i ... r_Ni]`; its gate is `a_i = sigmoid(BN(W2 ReLU(BN(W1 y_i))))` and the map becomes
//! `a X`, without a residual. All sizes depend on the number of nodes, so the module is bound to the size of the map.

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::{Device, Tensor};

use super::batch_norm::{BatchNorm, Statistics};
use super::trace::real;
use super::{inward, load};
use crate::architecture::{self, Architecture, MapSize, RelationWidths};
use crate::tensors::{TensorError, TensorMap};

/// A 1x1 convolution without bias and its batch norm.
#[derive(Module, Debug)]
pub struct Embedding {
    /// `[out, in]`.
    pub conv: Param<Tensor<2>>,
    /// Over the outputs.
    pub bn: BatchNorm,
}

/// The gate of one kind of nodes.
#[derive(Module, Debug)]
pub struct RelationAttention {
    /// `features -> embedded`.
    pub theta: Embedding,
    /// `features -> embedded`.
    pub phi: Embedding,
    /// `psi`, `features -> embedded`: the node by itself.
    pub unary: Embedding,
    /// `2 nodes -> relation`: the node among the others.
    pub relation: Embedding,
    /// `1 + relation -> hidden`.
    pub w1: Embedding,
    /// `hidden -> 1`.
    pub w2: Embedding,
}

/// RGA-S, RGA-C or, with both, RGA-SC: spatial first.
#[derive(Module, Debug)]
pub struct Rga {
    /// RGA-S: nodes are positions, features are channels.
    pub spatial: Option<RelationAttention>,
    /// RGA-C: nodes are channels, features are positions.
    pub channel: Option<RelationAttention>,
}

/// RGA on a backbone: gates behind some of a transformer's blocks or of a residual network's stages.
#[derive(Module, Debug)]
pub struct RgaBlocks {
    /// The gates of each place, first to last.
    pub gates: Vec<Rga>,
    #[module(skip)]
    settings: architecture::RgaBlocks,
}

/// What the last batch norm of a new gate adds before the sigmoid: it lets through 95 %. Our decision: at 0, as in the authors'
/// code, each gate halves what passes, and four of them between the blocks of a pretrained transformer leave nothing of it
/// (cars at 96 pixels: after an epoch the loss was that of guessing).
const OPEN: f64 = 3.0;

/// What RGA computes.
#[derive(Debug, Clone)]
pub struct Gated {
    /// The map behind the gates, `[B, C, H, W]`.
    pub map: Tensor<4>,
    /// RGA-S: the gate `[B, 1, H, W]` and the map behind it `[B, C, H, W]`.
    pub spatial: Option<(Tensor<4>, Tensor<4>)>,
    /// RGA-C: the gate `[B, C, 1, 1]`.
    pub channel: Option<Tensor<4>>,
}

impl Embedding {
    fn new(from: usize, to: usize, device: &Device) -> Self {
        // He's initialisation, for the ReLU behind it.
        let he = Initializer::Normal { mean: 0.0, std: (2.0 / from as f64).sqrt() };
        Self { conv: he.init([to, from], device), bn: BatchNorm::new(to, device) }
    }

    /// `x` `[B, in, nodes]` to `[B, out, nodes]`, before the ReLU.
    fn forward(&self, x: Tensor<3>, statistics: &mut Statistics<'_>) -> Tensor<3> {
        self.bn.forward(self.conv.val().unsqueeze::<3>().matmul(x), statistics)
    }
}

impl RelationAttention {
    /// Random weights, and a gate that starts nearly open.
    pub fn new(widths: &RelationWidths, device: &Device) -> Self {
        let RelationWidths { nodes, features, embedded, relation, hidden } = *widths;
        let embedding = |from, to| Embedding::new(from, to, device);
        let mut w2 = embedding(hidden, 1);
        w2.bn.bias = Initializer::Constant { value: OPEN }.init([1], device);
        Self {
            theta: embedding(features, embedded),
            phi: embedding(features, embedded),
            unary: embedding(features, embedded),
            relation: embedding(2 * nodes, relation),
            w1: embedding(1 + relation, hidden),
            w2,
        }
    }

    /// The gate `[B, 1, nodes]` of nodes `x` `[B, features, nodes]`.
    pub fn gate(&self, x: Tensor<3>, statistics: &mut Statistics<'_>) -> Tensor<3> {
        let theta = relu(self.theta.forward(x.clone(), statistics));
        let phi = relu(self.phi.forward(x.clone(), statistics));
        let unary = relu(self.unary.forward(x, statistics)).mean_dim(1);
        let r = theta.swap_dims(1, 2).matmul(phi);
        // Column i holds first r_i1 ... r_iN, then r_1i ... r_Ni.
        let related = Tensor::cat(vec![r.clone().swap_dims(1, 2), r], 1);
        let relation = relu(self.relation.forward(related, statistics));
        let y = Tensor::cat(vec![unary, relation], 1);
        let hidden = relu(self.w1.forward(y, statistics));
        sigmoid(self.w2.forward(hidden, statistics))
    }
}

impl Rga {
    /// Random weights for maps `[B, channels, height, width]`.
    pub fn new(settings: &architecture::Rga, channels: usize, [height, width]: [usize; 2], device: &Device) -> Self {
        let positions = height * width;
        let attention = |nodes, features| RelationAttention::new(&settings.widths(nodes, features), device);
        Self {
            spatial: settings.spatial.then(|| attention(positions, channels)),
            channel: settings.channel.then(|| attention(channels, positions)),
        }
    }

    /// `map` `[B, C, H, W]` through the gates.
    pub fn forward(&self, map: Tensor<4>, statistics: &mut Statistics<'_>) -> Gated {
        let [batch, channels, height, width] = map.dims();
        let mut x: Tensor<3> = map.flatten(2, 3);
        let whole = |x: Tensor<3>| x.reshape([batch, channels, height, width]);
        let spatial = self.spatial.as_ref().map(|attention| {
            let gate = attention.gate(x.clone(), statistics);
            x = x.clone() * gate.clone();
            (gate.reshape([batch, 1, height, width]), whole(x.clone()))
        });
        let channel = self.channel.as_ref().map(|attention| {
            let gate = attention.gate(x.clone().swap_dims(1, 2), statistics).swap_dims(1, 2);
            x = x.clone() * gate.clone();
            gate.reshape([batch, channels, 1, 1])
        });
        Gated { map: whole(x), spatial, channel }
    }
}

impl RgaBlocks {
    /// Random weights.
    pub fn new(architecture: &Architecture, settings: &architecture::RgaBlocks, device: &Device) -> Self {
        let gates = |&after: &usize| {
            let MapSize { height, width, channels } = architecture.map_behind(after);
            Rga::new(&settings.gates(), channels, [height, width], device)
        };
        Self { gates: settings.after.iter().map(gates).collect(), settings: settings.clone() }
    }

    /// The map `[B, C, H, W]` behind block or stage `index` through the gates that stand there. Spatial gates `[B, H W]` are added
    /// to `spatial`.
    pub(super) fn forward(
        &self,
        index: usize,
        map: Tensor<4>,
        statistics: &mut Statistics<'_>,
        spatial: &mut Vec<Tensor<2>>,
    ) -> Tensor<4> {
        let Some(gates) = self.settings.behind(index).and_then(|place| self.gates.get(place)) else { return map };
        let gated = gates.forward(map, statistics);
        spatial.extend(gated.spatial.map(|(gate, _)| gate.flatten::<2>(1, 3)));
        gated.map
    }

    /// Whether gates stand behind block or stage `index`.
    pub(super) fn stands_behind(&self, index: usize) -> bool {
        self.settings.behind(index).is_some()
    }
}

/// Runs RGA on the map `input.features` `[B, C, H, W]` of a trace at inference, with the parameters `weights` (named as the
/// fields here): `out.spatial_gate` `[B, 1, H, W]`, `out.spatial` `[B, C, H, W]`, `out.channel_gate` `[B, C, 1, 1]` and
/// `out.spatial_channel` `[B, C, H, W]`, as far as `settings` have them.
///
/// # Errors
/// [`TensorError`] for a tensor that is missing, of another shape or not finite.
pub fn trace(
    settings: &architecture::Rga,
    tensors: &TensorMap,
    weights: &TensorMap,
    device: &Device,
) -> Result<TensorMap, TensorError> {
    let map: Tensor<4> = inward(tensors, "input.features", device)?;
    let [_, channels, height, width] = map.dims();
    let rga = load(Rga::new(settings, channels, [height, width], device), weights)?;
    let gated = rga.forward(map, &mut Statistics::Running);
    let mut trace = TensorMap::default();
    if let Some((gate, map)) = &gated.spatial {
        trace.insert("out.spatial_gate", real(gate));
        trace.insert("out.spatial", real(map));
    }
    if let Some(gate) = &gated.channel {
        trace.insert("out.channel_gate", real(gate));
        trace.insert("out.spatial_channel", real(&gated.map));
    }
    Ok(trace)
}

//! Global-local cross-attention, GLCA (DCAL paper, section 3.3, equation 4).

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};

use super::bottleneck::Bottleneck;
use super::layer_norm::LayerNorm;
use super::vit::{Block, behind, class_feature, classifier};
use super::{host, indices};
use crate::architecture::Architecture;
use crate::select::select;

/// One transformer block whose queries are the local ones, its norm and its classifier.
#[derive(Module, Debug)]
pub struct Glca {
    /// The block; shares no weight with the backbone.
    pub block: Block,
    /// Norm before the classifier.
    pub norm: LayerNorm,
    /// Batch norm between feature and classifier, in re-identification.
    pub bottleneck: Option<Bottleneck>,
    /// Classifier, `D -> classes`.
    pub head: Linear,
}

/// Results of the GLCA branch.
#[derive(Debug, Clone)]
pub struct GlcaOutput {
    /// The local queries of each image, highest rollout first, class token not listed: `B` times `[k]`.
    pub selected: Vec<Vec<u32>>,
    /// Attention of class token and local queries over all tokens, `[B, heads, 1 + k, N + 1]`.
    pub map: Tensor<4>,
    /// The block's result, `[B, 1 + k, D]`.
    pub tokens: Tensor<3>,
    /// The class token after the norm, `[B, D]`.
    pub feature: Tensor<2>,
    /// Logits `[B, classes]`.
    pub logits: Tensor<2>,
}

impl Glca {
    /// Random weights for `architecture`.
    pub fn new(architecture: &Architecture, device: &Device) -> Self {
        Self {
            block: Block::new(architecture, device),
            norm: LayerNorm::new(architecture, device),
            bottleneck: None,
            head: classifier(architecture.dim, architecture.classes, device),
        }
    }

    /// `softmax(Q^l K^g^T / sqrt(d)) V^g`: `count` local queries chosen by `rollout` `[B, N + 1]` look at all tokens
    /// `x` `[B, N + 1, D]`; residuals and MLP run on the class token and the selected ones only.
    pub fn forward(&self, x: Tensor<3>, rollout: Tensor<2>, count: usize) -> GlcaOutput {
        let [batch, tokens, dim] = x.dims();
        let device = x.device();
        let selected: Vec<Vec<u32>> = host(rollout).chunks(tokens).map(|row| select(row, count)).collect();
        let queries = 1 + selected.first().map_or(0, Vec::len);
        // Rows of the flattened [B * (N + 1), D]: the class token, then the selected patches.
        let rows = selected
            .iter()
            .enumerate()
            .flat_map(|(b, chosen)| {
                std::iter::once(0).chain(chosen.iter().copied()).map(move |token| (b * tokens) as i32 + token as i32)
            })
            .collect();
        let rows = indices(rows, [batch * queries], &device);
        let gather =
            |t: Tensor<3>| t.reshape([batch * tokens, dim]).select(0, rows.clone()).reshape([batch, queries, dim]);

        let normed = self.block.norm1.forward(x.clone());
        let (mixed, map) = self.block.attn.over(gather(normed.clone()), normed);
        let result = self.block.feed_forward(gather(x) + mixed);
        let feature = class_feature(&self.norm, result.clone());
        let logits = behind(self.bottleneck.as_ref(), &self.head, feature.clone());
        GlcaOutput { selected, map, tokens: result, feature, logits }
    }
}

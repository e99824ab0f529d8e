//! Patch embedding: each patch of p x p pixels becomes a token of width D; of a hybrid each position of its last map.

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor, module::linear};

use super::hybrid::Hybrid;
use super::precision::{like, wide};
use crate::architecture::Architecture;

/// The convolution with kernel and stride `p` of a ViT, as timm names it.
#[derive(Module, Debug)]
pub struct PatchEmbed {
    /// What a hybrid has before it.
    pub backbone: Option<Hybrid>,
    /// Its weights.
    pub proj: PatchProjection,
}

/// Weights of the patch embedding.
#[derive(Module, Debug)]
pub struct PatchProjection {
    /// `[D, 3, p, p]`, of a hybrid `[D, C, 1, 1]`.
    pub weight: Param<Tensor<4>>,
    /// `[D]`.
    pub bias: Param<Tensor<1>>,
}

impl PatchEmbed {
    /// Random weights for `architecture`.
    pub fn new(architecture: &Architecture, device: &Device) -> Self {
        let dim = architecture.dim;
        let [channels, patch] = match &architecture.hybrid {
            Some(hybrid) => [hybrid.channels(hybrid.blocks.len()), 1],
            None => [3, architecture.patch_size],
        };
        let std = (1.0 / (channels * patch * patch) as f64).sqrt();
        let weight = Initializer::Normal { mean: 0.0, std }.init([dim, channels, patch, patch], device);
        Self {
            backbone: architecture.hybrid.as_ref().map(|hybrid| Hybrid::new(hybrid, device)),
            proj: PatchProjection { weight, bias: Initializer::Zeros.init([dim], device) },
        }
    }

    /// `images` `[B, 3, H, W]` to patch tokens `[B, N, D]`, row by row of the grid.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<3> {
        let map = match &self.backbone {
            Some(hybrid) => hybrid.forward(images),
            None => images,
        };
        let [batch, channels, height, width] = map.dims();
        let weight = self.proj.weight.val();
        let [dim, _, patch, _] = weight.dims();
        let (rows, columns) = (height / patch, width / patch);
        // A product over unfolded patches: images need no gradient and a hybrid's patches are positions, so this is cheaper than a
        // general convolution.
        let patches = map
            .reshape([batch, channels, rows, patch, columns, patch])
            .permute([0, 2, 4, 1, 3, 5])
            .reshape([batch, rows * columns, channels * patch * patch]);
        let weight = weight.reshape([dim, channels * patch * patch]).transpose();
        wide(linear(like(patches, weight.dtype()), weight, Some(self.proj.bias.val())))
    }
}

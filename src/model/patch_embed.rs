//! Patch embedding: each patch of p x p pixels becomes a token of width D.

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor, module::linear};

use super::precision::{like, wide};
use crate::architecture::Architecture;

/// The convolution with kernel and stride `p` of a ViT, as timm names it.
#[derive(Module, Debug)]
pub struct PatchEmbed {
    /// Its weights.
    pub proj: PatchProjection,
}

/// Weights of the patch embedding.
#[derive(Module, Debug)]
pub struct PatchProjection {
    /// `[D, 3, p, p]`.
    pub weight: Param<Tensor<4>>,
    /// `[D]`.
    pub bias: Param<Tensor<1>>,
}

impl PatchEmbed {
    /// Random weights for `architecture`.
    pub fn new(architecture: &Architecture, device: &Device) -> Self {
        let (dim, patch) = (architecture.dim, architecture.patch_size);
        let std = (1.0 / (3 * patch * patch) as f64).sqrt();
        let weight = Initializer::Normal { mean: 0.0, std }.init([dim, 3, patch, patch], device);
        Self { proj: PatchProjection { weight, bias: Initializer::Zeros.init([dim], device) } }
    }

    /// `images` `[B, 3, H, W]` to patch tokens `[B, N, D]`, row by row of the grid.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<3> {
        let [batch, channels, height, width] = images.dims();
        let weight = self.proj.weight.val();
        let [dim, _, patch, _] = weight.dims();
        let (rows, columns) = (height / patch, width / patch);
        // A product over unfolded patches: the images need no gradient, so this is cheaper than a general convolution.
        let patches = images
            .reshape([batch, channels, rows, patch, columns, patch])
            .permute([0, 2, 4, 1, 3, 5])
            .reshape([batch, rows * columns, channels * patch * patch]);
        let weight = weight.reshape([dim, channels * patch * patch]).transpose();
        wide(linear(like(patches, weight.dtype()), weight, Some(self.proj.bias.val())))
    }
}

//! Multi-head attention: softmax(Q K^T / sqrt(d)) V (DCAL paper, equation 1).

use burn::module::Module;
use burn::nn::{Initializer, Linear, LinearConfig};
use burn::tensor::{Device, Int, Tensor, module::linear};

use super::fused;
use super::precision::{apply, like, wide};
use crate::architecture::Architecture;

/// Query, key and value projections (one matrix, as in timm) and the output projection.
#[derive(Module, Debug)]
pub struct Attention {
    /// `D -> 3 D`: queries, keys, values.
    pub qkv: Linear,
    /// `D -> D`.
    pub proj: Linear,
    heads: usize,
}

impl Attention {
    /// Random weights for `architecture`.
    pub fn new(architecture: &Architecture, device: &Device) -> Self {
        let dim = architecture.dim;
        Self { qkv: projection(dim, 3 * dim, device), proj: projection(dim, dim, device), heads: architecture.heads }
    }

    /// Self-attention (SA) of the tokens `x` `[B, T, D]`: the projected result `[B, T, D]` and the head-averaged map
    /// `[B, T, T]`, without gradient.
    pub fn over_itself(&self, x: Tensor<3>) -> (Tensor<3>, Tensor<3>) {
        let (mixed, map) = fused::self_attention(apply(&self.qkv, x), self.heads);
        (wide(apply(&self.proj, mixed)), map)
    }

    /// Pair-wise cross-attention of the tokens `x` `[B, T, D]`: each image's queries over its own keys and values and
    /// those of its partner, one softmax over 2 T scores; `partners` is a permutation `[B]`. Returns `[B, T, D]`.
    pub fn over_pairs(&self, x: Tensor<3>, partners: Tensor<1, Int>) -> Tensor<3> {
        wide(apply(&self.proj, fused::pair_attention(apply(&self.qkv, x), partners, self.heads)))
    }

    /// Cross-attention of the tokens `local` `[B, Q, D]` over the tokens `global` `[B, T, D]`: the projected result
    /// `[B, Q, D]` and the map `[B, heads, Q, T]`, without gradient.
    pub fn over(&self, local: Tensor<3>, global: Tensor<3>) -> (Tensor<3>, Tensor<4>) {
        let queries = self.rows_of_qkv(local, 0, 1);
        let (mixed, map) = fused::cross_attention(queries, self.rows_of_qkv(global, 1, 2), self.heads);
        (wide(apply(&self.proj, mixed)), map)
    }

    /// `count` of the three parts of `qkv`, from part `first` on, applied to `x`.
    fn rows_of_qkv(&self, x: Tensor<3>, first: usize, count: usize) -> Tensor<3> {
        let [_, _, dim] = x.dims();
        let weight = self.qkv.weight.val().narrow(1, first * dim, count * dim);
        let bias = self.qkv.bias.as_ref().map(|bias| bias.val().narrow(0, first * dim, count * dim));
        linear(like(x, weight.dtype()), weight, bias)
    }
}

/// A linear layer as a ViT starts it: small normal weights, no bias.
pub(crate) fn projection(inputs: usize, outputs: usize, device: &Device) -> Linear {
    let mut linear =
        LinearConfig::new(inputs, outputs).with_initializer(Initializer::Normal { mean: 0.0, std: 0.02 }).init(device);
    // burn draws the bias from the same initialiser; a ViT starts it at zero.
    linear.bias = Some(Initializer::Zeros.init([outputs], device));
    linear
}

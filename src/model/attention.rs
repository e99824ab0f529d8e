//! Multi-head attention: softmax(Q K^T / sqrt(d)) V (DCAL paper, equation 1).

use burn::module::Module;
use burn::nn::{Initializer, Linear, LinearConfig};
use burn::tensor::{Device, Tensor, activation::softmax, module::linear};

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

/// Keys and values of one image's tokens, each `[B, heads, T, d]`.
#[derive(Debug, Clone)]
pub struct KeysValues {
    /// Keys.
    pub keys: Tensor<4>,
    /// Values.
    pub values: Tensor<4>,
}

impl Attention {
    /// Random weights for `architecture`.
    pub fn new(architecture: &Architecture, device: &Device) -> Self {
        let dim = architecture.dim;
        Self { qkv: projection(dim, 3 * dim, device), proj: projection(dim, dim, device), heads: architecture.heads }
    }

    /// Queries `[B, heads, T, d]`, keys and values of the tokens `x` `[B, T, D]`.
    pub fn project(&self, x: Tensor<3>) -> (Tensor<4>, KeysValues) {
        let [_, _, dim] = x.dims();
        let qkv = self.qkv.forward(x);
        let part = |i: usize| self.split(qkv.clone().narrow(2, i * dim, dim));
        (part(0), KeysValues { keys: part(1), values: part(2) })
    }

    /// Only the queries `[B, heads, T, d]` of the tokens `x` `[B, T, D]`.
    pub fn queries(&self, x: Tensor<3>) -> Tensor<4> {
        self.split(self.rows_of_qkv(x, 0, 1))
    }

    /// Only the keys and values of the tokens `x` `[B, T, D]`.
    pub fn keys_values(&self, x: Tensor<3>) -> KeysValues {
        let [_, _, dim] = x.dims();
        let kv = self.rows_of_qkv(x, 1, 2);
        let part = |i: usize| self.split(kv.clone().narrow(2, i * dim, dim));
        KeysValues { keys: part(0), values: part(1) }
    }

    /// Attention of `queries` `[B, heads, Q, d]` over keys and values of `T` tokens.
    ///
    /// Returns the projected result `[B, Q, D]` and the map `[B, heads, Q, T]`.
    pub fn attend(&self, queries: Tensor<4>, global: KeysValues) -> (Tensor<3>, Tensor<4>) {
        let [batch, heads, count, width] = queries.dims();
        let scale = (width as f64).powf(-0.5);
        // Scaling the queries costs less than scaling the map.
        let map = softmax((queries * scale).matmul(global.keys.transpose()), 3);
        let mixed = map.clone().matmul(global.values).swap_dims(1, 2).reshape([batch, count, heads * width]);
        (self.proj.forward(mixed), map)
    }

    /// `[B, T, D]` to `[B, heads, T, d]`.
    fn split(&self, x: Tensor<3>) -> Tensor<4> {
        let [batch, tokens, dim] = x.dims();
        x.reshape([batch, tokens, self.heads, dim / self.heads]).swap_dims(1, 2)
    }

    /// `count` of the three parts of `qkv`, from part `first` on, applied to `x`.
    fn rows_of_qkv(&self, x: Tensor<3>, first: usize, count: usize) -> Tensor<3> {
        let [_, _, dim] = x.dims();
        let weight = self.qkv.weight.val().narrow(1, first * dim, count * dim);
        let bias = self.qkv.bias.as_ref().map(|bias| bias.val().narrow(0, first * dim, count * dim));
        linear(x, weight, bias)
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

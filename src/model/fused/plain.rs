//! The kernels' twins in plain tensors: every device, every precision, gradients by burn.

use burn::tensor::{Int, Tensor, activation};

use super::super::precision::{like, wide};

pub(super) fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    activation::gelu(x)
}

pub(super) fn layer_norm(x: Tensor<3>, gamma: Tensor<1>, beta: Tensor<1>, epsilon: f32) -> Tensor<3> {
    let centred = x.clone() - x.mean_dim(2);
    let variance = (centred.clone() * centred.clone()).mean_dim(2);
    centred * (variance + epsilon).sqrt().recip() * gamma.unsqueeze() + beta.unsqueeze()
}

pub(super) fn self_attention(qkv: Tensor<3>, heads: usize) -> (Tensor<3>, Tensor<3>) {
    let [queries, keys, values] = thirds(qkv);
    let (mixed, map) = attend(split(queries, heads), split(keys, heads), split(values, heads));
    (mixed, map.detach().mean_dim(1).squeeze_dim(1))
}

pub(super) fn pair_attention(qkv: Tensor<3>, partners: Tensor<1, Int>, heads: usize) -> Tensor<3> {
    let [queries, keys, values] = thirds(qkv);
    let pair = |own: Tensor<3>| Tensor::cat(vec![own.clone(), own.select(0, partners.clone())], 1);
    attend(split(queries, heads), split(pair(keys), heads), split(pair(values), heads)).0
}

pub(super) fn cross_attention(queries: Tensor<3>, kv: Tensor<3>, heads: usize) -> (Tensor<3>, Tensor<4>) {
    let [_, _, dim] = queries.dims();
    let part = |i: usize| split(kv.clone().narrow(2, i * dim, dim), heads);
    let (mixed, map) = attend(split(queries, heads), part(0), part(1));
    (mixed, map.detach())
}

/// `queries` `[B, heads, Q, d]` over `keys` and `values` `[B, heads, T, d]`: `[B, Q, D]` and the map
/// `[B, heads, Q, T]`.
fn attend(queries: Tensor<4>, keys: Tensor<4>, values: Tensor<4>) -> (Tensor<3>, Tensor<4>) {
    let [batch, heads, count, width] = queries.dims();
    // Scaling the queries costs less than scaling the map.
    // The softmax is in f32 whatever the products are in.
    let map = activation::softmax(wide((queries * (width as f64).powf(-0.5)).matmul(keys.transpose())), 3);
    (like(map.clone(), values.dtype()).matmul(values).swap_dims(1, 2).reshape([batch, count, heads * width]), map)
}

/// `[B, T, 3 D]` to three times `[B, T, D]`.
fn thirds(qkv: Tensor<3>) -> [Tensor<3>; 3] {
    let dim = qkv.dims()[2] / 3;
    [0, 1, 2].map(|i| qkv.clone().narrow(2, i * dim, dim))
}

/// `[B, T, D]` to `[B, heads, T, d]`.
fn split(x: Tensor<3>, heads: usize) -> Tensor<4> {
    let [batch, tokens, dim] = x.dims();
    x.reshape([batch, tokens, heads, dim / heads]).swap_dims(1, 2)
}

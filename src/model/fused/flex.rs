//! The kernels on tensors of burn's CPU back end: shapes in, slices to the kernels, tensors out.

use std::borrow::Cow;

use burn::backend::flex::{FlexTensor, Layout};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Flex, TensorMetadata};
use burn::tensor::{Bytes, DType, Shape};

use super::Fused;
#[cfg(feature = "autodiff")]
use crate::cpu::kernels::attention::Gradients;
use crate::cpu::kernels::attention::{Place, Scratch, apart, packed};
use crate::cpu::kernels::layer_norm::Statistics;
use crate::cpu::kernels::{gelu, layer_norm};

impl Fused for Flex {
    fn gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let mut y = values(&x).into_owned();
        gelu::forward(&mut y);
        tensor(y, x.shape())
    }

    fn layer_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        layer_norm_with_statistics(&x, &gamma, &beta, epsilon).0
    }

    fn self_attention(qkv: FloatTensor<Self>, heads: usize) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (mixed, map, _) = self_attention(&qkv, heads);
        (mixed, map)
    }

    fn pair_attention(qkv: FloatTensor<Self>, partners: IntTensor<Self>, heads: usize) -> FloatTensor<Self> {
        pair_attention(&qkv, &indices(partners), heads).0
    }

    fn cross_attention(
        queries: FloatTensor<Self>,
        kv: FloatTensor<Self>,
        heads: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let (mixed, map, _) = cross_attention(&queries, &kv, heads);
        (mixed, map)
    }
}

/// The norm of `x` `[.., D]` and each row's statistics.
pub(super) fn layer_norm_with_statistics(
    x: &FlexTensor,
    gamma: &FlexTensor,
    beta: &FlexTensor,
    epsilon: f32,
) -> (FlexTensor, Vec<Statistics>) {
    let x_values = values(x);
    let mut y = vec![0.0; x_values.len()];
    let mut statistics = Vec::new();
    layer_norm::forward(&x_values, &values(gamma), &values(beta), epsilon, &mut y, |row| statistics.push(row));
    (tensor(y, x.shape()), statistics)
}

/// Mixed values `[B, T, D]`, head-averaged map `[B, T, T]`, log-sum-exp `[B, heads, T]`.
pub(super) fn self_attention(qkv: &FlexTensor, heads: usize) -> (FlexTensor, FlexTensor, Vec<f32>) {
    let [batch, tokens, dim] = thirds(qkv);
    let values = values(qkv);
    let mut mixed = vec![0.0; batch * tokens * dim];
    let mut mean = vec![0.0; batch * tokens * tokens];
    let mut lse = vec![0.0; batch * heads * tokens];
    let mut scratch = Scratch::default();
    let share = 1.0 / heads as f32;
    for (place, lse) in places(batch, heads).zip(lse.chunks_exact_mut(tokens.max(1))) {
        let (head, out) = packed(place, [tokens, dim], None);
        let map = head.forward(&values, &values, (&mut mixed, out), lse, &mut scratch);
        let mean = &mut mean[place.image * tokens * tokens..][..tokens * tokens];
        mean.iter_mut().zip(map).for_each(|(mean, &p)| *mean += share * p);
    }
    (tensor(mixed, Shape::new([batch, tokens, dim])), tensor(mean, Shape::new([batch, tokens, tokens])), lse)
}

/// Mixed values `[B, T, D]`, log-sum-exp `[B, heads, T]`.
pub(super) fn pair_attention(qkv: &FlexTensor, partners: &[usize], heads: usize) -> (FlexTensor, Vec<f32>) {
    let [batch, tokens, dim] = thirds(qkv);
    let values = values(qkv);
    let mut mixed = vec![0.0; batch * tokens * dim];
    let mut lse = vec![0.0; batch * heads * tokens];
    let mut scratch = Scratch::default();
    for (place, lse) in places(batch, heads).zip(lse.chunks_exact_mut(tokens.max(1))) {
        let (head, out) = packed(place, [tokens, dim], Some(partners));
        head.forward(&values, &values, (&mut mixed, out), lse, &mut scratch);
    }
    (tensor(mixed, Shape::new([batch, tokens, dim])), lse)
}

/// The gradient of `qkv` `[B, T, 3 D]` from that of the mixed values, with partners or without.
#[cfg(feature = "autodiff")]
pub(super) fn packed_backward(
    qkv: &FlexTensor,
    partners: Option<&[usize]>,
    heads: usize,
    lse: &[f32],
    d_mixed: &FlexTensor,
) -> FlexTensor {
    let [batch, tokens, dim] = thirds(qkv);
    let (values, d_mixed) = (values(qkv), values(d_mixed));
    let mut gradient = vec![0.0; values.len()];
    let mut scratch = Scratch::default();
    for (place, lse) in places(batch, heads).zip(lse.chunks_exact(tokens.max(1))) {
        let (head, out) = packed(place, [tokens, dim], partners);
        let gradients = Gradients::Together(&mut gradient);
        head.backward(&values, &values, lse, (&d_mixed, out), gradients, &mut scratch);
    }
    tensor(gradient, qkv.shape())
}

/// Mixed values `[B, Q, D]`, map `[B, heads, Q, T]`, log-sum-exp `[B, heads, Q]`.
pub(super) fn cross_attention(
    queries: &FlexTensor,
    kv: &FlexTensor,
    heads: usize,
) -> (FlexTensor, FlexTensor, Vec<f32>) {
    let ([batch, count, dim], tokens) = (queries.shape().dims(), kv.shape()[1]);
    let (q, kv) = (values(queries), values(kv));
    let mut mixed = vec![0.0; batch * count * dim];
    let mut maps = Vec::with_capacity(batch * heads * count * tokens);
    let mut lse = vec![0.0; batch * heads * count];
    let mut scratch = Scratch::default();
    for (place, lse) in places(batch, heads).zip(lse.chunks_exact_mut(count.max(1))) {
        let (head, out) = apart(place, [count, tokens, dim]);
        maps.extend_from_slice(head.forward(&q, &kv, (&mut mixed, out), lse, &mut scratch));
    }
    let map = tensor(maps, Shape::new([batch, heads, count, tokens]));
    (tensor(mixed, Shape::new([batch, count, dim])), map, lse)
}

/// The gradients of queries `[B, Q, D]` and of keys and values `[B, T, 2 D]`.
#[cfg(feature = "autodiff")]
pub(super) fn cross_backward(
    queries: &FlexTensor,
    kv: &FlexTensor,
    heads: usize,
    lse: &[f32],
    d_mixed: &FlexTensor,
) -> (FlexTensor, FlexTensor) {
    let ([batch, count, dim], tokens) = (queries.shape().dims(), kv.shape()[1]);
    let (q_values, kv_values, d_mixed) = (values(queries), values(kv), values(d_mixed));
    let (mut dq, mut dkv) = (vec![0.0; q_values.len()], vec![0.0; kv_values.len()]);
    let mut scratch = Scratch::default();
    for (place, lse) in places(batch, heads).zip(lse.chunks_exact(count.max(1))) {
        let (head, out) = apart(place, [count, tokens, dim]);
        let gradients = Gradients::Apart(&mut dq, &mut dkv);
        head.backward(&q_values, &kv_values, lse, (&d_mixed, out), gradients, &mut scratch);
    }
    (tensor(dq, queries.shape()), tensor(dkv, kv.shape()))
}

/// Image and head, in the order of memory.
fn places(batch: usize, heads: usize) -> impl Iterator<Item = Place> {
    (0..batch).flat_map(move |image| (0..heads).map(move |head| Place { image, head, heads }))
}

/// `[B, T, D]` of `qkv` `[B, T, 3 D]`.
fn thirds(qkv: &FlexTensor) -> [usize; 3] {
    let [batch, tokens, packed] = qkv.shape().dims();
    [batch, tokens, packed / 3]
}

/// The partner of each image, from a tensor `[B]`.
pub(super) fn indices(partners: IntTensor<Flex>) -> Vec<usize> {
    let data = partners.into_data();
    data.iter::<i64>().map(|i| usize::try_from(i).unwrap_or(0)).collect()
}

/// The tensor's values, row by row.
pub(super) fn values(tensor: &FlexTensor) -> Cow<'_, [f32]> {
    match tensor.as_slice::<f32>() {
        Some(values) => Cow::Borrowed(values),
        None => Cow::Owned(tensor.to_contiguous().as_slice::<f32>().unwrap_or_default().to_vec()),
    }
}

/// A tensor of `values`.
pub(super) fn tensor(values: Vec<f32>, shape: Shape) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(values), Layout::contiguous(shape), DType::F32)
}

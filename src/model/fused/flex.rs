//! The kernels on tensors of burn's CPU back end: shapes in, slices to the kernels, tensors out.

use std::borrow::Cow;

use burn::backend::flex::{FlexTensor, Layout};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Flex, TensorMetadata};
use burn::tensor::{Bytes, DType, Shape};

use super::attention::{Gradients, Head, Rows, Scratch};
use super::{Fused, gelu, layer_norm};

impl Fused for Flex {
    fn gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        tensor(gelu::forward(&values(&x)), x.shape())
    }

    fn layer_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        tensor(layer_norm::forward(&values(&x), &values(&gamma), &values(&beta), epsilon).0, x.shape())
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
        let (head, out) = packed(place, [batch, tokens, dim], heads, None);
        let map = head.forward(&values, &values, (&mut mixed, out), lse, &mut scratch);
        let mean = &mut mean[place[0] * tokens * tokens..][..tokens * tokens];
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
        let (head, out) = packed(place, [batch, tokens, dim], heads, Some(partners));
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
        let (head, out) = packed(place, [batch, tokens, dim], heads, partners);
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
        let (head, out) = apart(place, [count, tokens, dim], heads);
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
        let (head, out) = apart(place, [count, tokens, dim], heads);
        let gradients = Gradients::Apart(&mut dq, &mut dkv);
        head.backward(&q_values, &kv_values, lse, (&d_mixed, out), gradients, &mut scratch);
    }
    (tensor(dq, queries.shape()), tensor(dkv, kv.shape()))
}

/// Image and head, in the order of memory.
fn places(batch: usize, heads: usize) -> impl Iterator<Item = [usize; 2]> {
    (0..batch).flat_map(move |image| (0..heads).map(move |head| [image, head]))
}

/// A head whose queries, keys and values lie side by side in `qkv` `[B, T, 3 D]`, and its rows of the result.
fn packed(
    [image, head]: [usize; 2],
    [_, tokens, dim]: [usize; 3],
    heads: usize,
    partners: Option<&[usize]>,
) -> (Head, Rows) {
    let width = dim / heads;
    let rows = |image: usize, part: usize| Rows {
        start: image * tokens * 3 * dim + part * dim + head * width,
        count: tokens,
        stride: 3 * dim,
    };
    let source = |image| [rows(image, 1), rows(image, 2)];
    let sources = std::iter::once(image).chain(partners.map(|partners| partners[image])).map(source).collect();
    let out = Rows { start: image * tokens * dim + head * width, count: tokens, stride: dim };
    (Head { width, queries: rows(image, 0), sources }, out)
}

/// A head whose queries lie in `[B, Q, D]` and whose keys and values lie in `[B, T, 2 D]`, and its rows of the result.
fn apart([image, head]: [usize; 2], [count, tokens, dim]: [usize; 3], heads: usize) -> (Head, Rows) {
    let width = dim / heads;
    let rows = |part: usize| Rows {
        start: image * tokens * 2 * dim + part * dim + head * width,
        count: tokens,
        stride: 2 * dim,
    };
    let queries = Rows { start: image * count * dim + head * width, count, stride: dim };
    (Head { width, queries, sources: vec![[rows(0), rows(1)]] }, queries)
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

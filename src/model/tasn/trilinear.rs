//! Trilinear attention and the two maps that it samples by (TASN, section 3.1).

use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor, TensorData};

use crate::model::indices;

/// `M = softmax_c(softmax_hw(s X) X^T) X`: each channel of the map `x` `[B, C, h, w]` becomes a mean of all channels,
/// weighted by how far they respond where it does. Same shape, without gradient.
pub fn trilinear(x: Tensor<4>, scale: f32) -> Tensor<4> {
    let shape = x.dims();
    let x: Tensor<3> = x.detach().flatten(2, 3);
    let relation = softmax(x.clone() * scale, 2).matmul(x.clone().swap_dims(1, 2));
    softmax(relation, 2).matmul(x).reshape(shape)
}

/// The structure map of attention maps `[B, C, h, w]`, resized to `size` `[H, W]`: the square of their sum, `[B, H, W]`.
pub fn structure(attention: Tensor<4>, size: [usize; 2]) -> Tensor<3> {
    let sum = resize(attention.sum_dim(1).squeeze_dim(1), size);
    sum.clone() * sum
}

/// The detail map of attention maps `[B, C, h, w]`, resized to `size` `[H, W]`: one channel of each image in training, the
/// sum of all where `channels` is `None` (at test), `[B, H, W]`.
pub fn detail(attention: Tensor<4>, channels: Option<&[usize]>, size: [usize; 2]) -> Tensor<3> {
    let [batch, count, height, width] = attention.dims();
    let map = match channels {
        Some(channels) => {
            let rows = channels.iter().enumerate().map(|(b, channel)| (b * count + channel) as i32).collect();
            let rows = indices(rows, [batch], &attention.device());
            attention.reshape([batch * count, height, width]).select(0, rows)
        }
        None => attention.sum_dim(1).squeeze_dim(1),
    };
    resize(map, size)
}

/// Maps `[B, h, w]` resized bilinearly to `size` `[H, W]`; corners are those of the pixels, not of their centres.
pub fn resize(map: Tensor<3>, size: [usize; 2]) -> Tensor<3> {
    let [_, height, width] = map.dims();
    let device = map.device();
    let rows = interpolation(size[0], height, &device);
    let columns = interpolation(size[1], width, &device);
    rows.unsqueeze::<3>().matmul(map).matmul(columns.transpose().unsqueeze::<3>())
}

/// What each of `to` values takes of `from` values, `[to, from]`.
fn interpolation(to: usize, from: usize, device: &Device) -> Tensor<2> {
    let mut weights = vec![0.0; to * from];
    for (i, row) in weights.chunks_mut(from).enumerate() {
        let position = ((i as f64 + 0.5) * from as f64 / to as f64 - 0.5).clamp(0.0, (from - 1) as f64);
        let before = position as usize;
        let share = position - before as f64;
        row[before] += (1.0 - share) as f32;
        row[(before + 1).min(from - 1)] += share as f32;
    }
    Tensor::from_data(TensorData::new(weights, [to, from]), device)
}

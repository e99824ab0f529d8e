//! The CPU twin of each kernel, one file each, named as the shader and written to be read beside it: plain loops, no
//! tiles, sums in f64. They are the kernels' oracle in tests; the CPU path for users is the burn model.
//!
//! A twin takes the uniform struct and the storage bindings in order, each as a vector of f32; `selected` holds its
//! integers, and a weight in f16 or eight bits its words, as the bits of an f32, as the shader's `array<u32>` does.

mod agreement;
mod attention;
mod attention_mean;
mod attention_row;
mod class_activation;
mod classifier;
mod contribution;
mod convolution;
mod coordinates;
mod cumulative;
mod direction;
mod gate;
mod gather;
mod global_gates;
mod grid_sample;
mod group_moments;
mod group_norm;
mod hypothesis;
mod layer_norm;
mod marginal;
mod matmul;
mod matmul_matrix;
mod max_pool;
mod neighbours;
mod normalise;
mod patch_embed;
mod probability;
mod probe_copy;
mod probe_fma;
mod probe_matrix;
mod product;
mod pull_back;
mod rollout;
mod select;
mod shared;
mod shrink;
mod softmax;
mod sum;

pub use agreement::agreement;
pub use attention::attention;
pub use attention_mean::{attention_heads, attention_mean};
pub use attention_row::attention_row;
pub use class_activation::class_activation;
pub use classifier::classifier;
pub use contribution::contribution;
pub use convolution::convolution;
pub use coordinates::coordinates;
pub use cumulative::cumulative;
pub use direction::direction;
pub use gate::gate;
pub use gather::gather;
pub use global_gates::{global_gates, global_gates_sigmoid};
pub use grid_sample::grid_sample;
pub use group_moments::group_moments;
pub use group_norm::group_norm;
pub use hypothesis::hypothesis;
pub use layer_norm::layer_norm;
pub use marginal::marginal;
pub use matmul::{matmul, matmul_gelu, matmul_residual};
pub use matmul_matrix::{matmul_matrix, matmul_matrix_gelu, matmul_matrix_residual};
pub use max_pool::max_pool;
pub use neighbours::neighbours;
pub use normalise::normalise;
pub use patch_embed::patch_embed;
pub use probability::{probability, probability_glca};
pub use probe_copy::probe_copy;
pub use probe_fma::probe_fma;
pub use probe_matrix::{probe_matrix, probe_matrix_eight};
pub use product::{product, product_relu, product_sigmoid};
pub use pull_back::pull_back;
pub use rollout::rollout;
pub use select::select;
pub use shared::{erf, gelu};
pub use shrink::shrink;
pub use softmax::softmax;
pub use sum::{sum, sum_relu};

use std::collections::BTreeMap;

use super::recording::{Command, Content, Recording};
use crate::tensors::{Tensor, TensorError, TensorMap};

/// Runs a recording with the twins: what the executor does, without a GPU. `image` is the input, `weights` are timm's.
///
/// # Errors
/// [`TensorError`] for a weight that is missing or wrong.
pub fn run(recording: &Recording, weights: &TensorMap, image: &[f32]) -> Result<TensorMap, TensorError> {
    run_after(&[], recording, weights, image)
}

/// Runs `earlier` recordings in order and then `recording`, which may read what they left behind; gives its results.
///
/// # Errors
/// As [`run`], and for a buffer that none of them left behind.
pub fn run_after(
    earlier: &[&Recording],
    recording: &Recording,
    weights: &TensorMap,
    image: &[f32],
) -> Result<TensorMap, TensorError> {
    let mut kept = BTreeMap::new();
    for recording in earlier {
        run_one(recording, weights, image, &mut kept)?;
    }
    run_one(recording, weights, image, &mut kept)
}

fn run_one(
    recording: &Recording,
    weights: &TensorMap,
    image: &[f32],
    kept: &mut BTreeMap<String, Vec<f32>>,
) -> Result<TensorMap, TensorError> {
    let mut buffers = recording
        .buffers()
        .iter()
        .map(|buffer| match &buffer.content {
            Content::Input => Ok(image.to_vec()),
            Content::Weight(layout) => Ok(layout.read(weights)?.into_iter().map(f32::from_bits).collect()),
            Content::Scratch => Ok(vec![0.0; buffer.len()]),
            Content::Workgroups => Ok(vec![0.0; buffer.len()]),
            Content::Kept => kept.get(&buffer.label).cloned().ok_or_else(|| TensorError::Missing(buffer.label.clone())),
        })
        .collect::<Result<Vec<_>, _>>()?;
    if let Some((workgroups, values)) = recording.workgroups() {
        buffers[workgroups.0] = values.into_iter().map(f32::from_bits).collect();
    }
    let mut results = TensorMap::default();
    for command in recording.commands() {
        match command {
            Command::Dispatch { kernel, uniforms, bindings, row, .. } => {
                let left =
                    recording.workgroups().zip(*row).map(|((workgroups, _), row)| buffers[workgroups.0][3 * row]);
                if left == Some(0.0) {
                    continue;
                }
                // A buffer may be bound twice for reading, so each binding gets a copy and the written ones go back.
                let mut bound: Vec<Vec<f32>> = bindings.iter().map(|id| buffers[id.0].clone()).collect();
                (kernel.cpu)(uniforms, &mut bound);
                for ((binding, id), values) in kernel.shader.bindings.iter().skip(1).zip(bindings).zip(bound) {
                    if binding.access == super::Access::ReadWrite {
                        buffers[id.0] = values;
                    }
                }
            }
            Command::ReadBack { name, buffer, integers } => {
                let shape = recording.buffers()[buffer.0].shape.clone();
                let values = buffers[buffer.0].clone();
                let tensor = if *integers {
                    Tensor::i32(shape, values.iter().map(|v| v.to_bits().cast_signed()).collect())
                } else {
                    Tensor::f32(shape, values)
                };
                results.insert(name.clone(), tensor);
            }
        }
    }
    for (buffer, values) in recording.buffers().iter().zip(buffers) {
        if buffer.content == Content::Scratch {
            kept.insert(buffer.label.clone(), values);
        }
    }
    Ok(results)
}

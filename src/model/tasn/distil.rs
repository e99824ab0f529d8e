//! The distillation loss (TASN, section 3.3): the master net learns from the part net's soft answers.

use burn::tensor::Tensor;
use burn::tensor::activation::{log_softmax, softmax};

/// `-sum softmax(z_detail / T) log softmax(z_structure / T)`, mean over the batch, `[1]`; logits are `[B, classes]`. There is
/// no factor T^2, and the teacher learns nothing from it.
pub fn distil(teacher: Tensor<2>, student: Tensor<2>, temperature: f32) -> Tensor<1> {
    let target = softmax(teacher.detach() / temperature, 1);
    -(target * log_softmax(student / temperature, 1)).sum_dim(1).mean()
}

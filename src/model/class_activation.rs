//! Class activation map (Zhou et al., CVPR 2016): where a residual network saw the class that it names, in the place of rollout.

use burn::tensor::{Device, Tensor, TensorData};

use super::host;

/// `a_p = max(0, w_c . f_p)` over the positions of the last map `f` `[B, D, H, W]`, divided by their sum (all 0 where that is 0), for
/// the most probable class `c` of `logits` `[B, classes]`, the first one on a tie; `weight` `[D, classes]` is the classifier's.
/// Gives `[B, N + 1]`, a 0 in the place of the class token first; without gradient.
pub fn class_activation(map: Tensor<4>, logits: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
    let ([batch, dim, height, width], [_, classes]) = (map.dims(), logits.dims());
    let positions = height * width;
    let features: Tensor<3> = map.detach().flatten(2, 3);
    let chosen = one_hot(&host(logits.detach()), classes, &features.device()).cast(features.dtype());
    let directions = chosen.matmul(weight.detach().transpose()).reshape([batch, 1, dim]);
    let activations = directions.matmul(features).clamp_min(0.0).reshape([batch, positions]);
    let sum = activations.clone().sum_dim(1);
    let empty = sum.clone().equal_elem(0.0).float().cast(sum.dtype());
    let shares = activations / (sum + empty);
    Tensor::cat(vec![shares.zeros_like().narrow(1, 0, 1), shares], 1)
}

/// 1 at the first highest of each row of `logits` `[B, classes]`, 0 elsewhere.
fn one_hot(logits: &[f32], classes: usize, device: &Device) -> Tensor<2> {
    let mut chosen = vec![0.0f32; logits.len()];
    for (row, chosen) in logits.chunks(classes).zip(chosen.chunks_mut(classes)) {
        let mut best = 0;
        for (class, logit) in row.iter().enumerate() {
            if *logit > row[best] {
                best = class;
            }
        }
        chosen[best] = 1.0;
    }
    Tensor::from_data(TensorData::new(chosen, [logits.len() / classes, classes]), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_most_probable_class_says_where() {
        let device = Device::flex();
        // Two photos, two channels, 1 x 2 positions; the classes look along channel 0, against it, along channel 1.
        let map = Tensor::<4>::from_floats([[[[1.0, 3.0]], [[2.0, 0.0]]], [[[1.0, 3.0]], [[5.0, -1.0]]]], &device);
        let weight = Tensor::<2>::from_floats([[1.0, -1.0, 0.0], [0.0, 0.0, 1.0]], &device);
        let found = |logits: [[f32; 3]; 2]| {
            host(class_activation(map.clone(), Tensor::from_floats(logits, &device), weight.clone()))
        };
        assert_eq!(found([[2.0, 2.0, 1.0], [0.0, 0.0, 1.0]]), [0.0, 0.25, 0.75, 0.0, 1.0, 0.0]);
        assert_eq!(found([[0.0, 2.0, 1.0], [0.0, 1.0, 1.0]]), [0.0; 6], "nothing speaks for it");
    }
}

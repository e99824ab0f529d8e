//! Layer norm over rows of width `D` and its gradients (arXiv 1607.06450).

use super::lanes::{sum, sum_of, vectorised};

/// Mean and reciprocal deviation of a row, kept for the backward pass.
pub(crate) type Statistics = [f32; 2];

/// Gradients of the input `[rows, D]`, of `gamma` and of `beta` `[D]`.
#[cfg(feature = "autodiff")]
pub(crate) struct Gradients {
    pub x: Vec<f32>,
    pub gamma: Vec<f32>,
    pub beta: Vec<f32>,
}

/// `y = (x - mean) / sqrt(variance + epsilon) gamma + beta`, row by row of `x` `[rows, D]`; `keep` gets each row's
/// statistics.
pub(crate) fn forward(
    x: &[f32],
    gamma: &[f32],
    beta: &[f32],
    epsilon: f32,
    y: &mut [f32],
    mut keep: impl FnMut(Statistics),
) {
    let dim = gamma.len();
    vectorised(|| {
        for (x, y) in x.chunks_exact(dim).zip(y.chunks_exact_mut(dim)) {
            let mean = sum(x) / dim as f32;
            let variance = sum_of(x, x, |a, _| (a - mean) * (a - mean)) / dim as f32;
            let scale = 1.0 / (variance + epsilon).sqrt();
            keep([mean, scale]);
            for i in 0..dim {
                y[i] = (x[i] - mean) * scale * gamma[i] + beta[i];
            }
        }
    });
}

/// The gradients, from the output's gradient `dy` `[rows, D]`.
#[cfg(feature = "autodiff")]
pub(crate) fn backward(x: &[f32], gamma: &[f32], statistics: &[Statistics], dy: &[f32]) -> Gradients {
    let dim = gamma.len();
    let mut result = Gradients { x: vec![0.0; x.len()], gamma: vec![0.0; dim], beta: vec![0.0; dim] };
    vectorised(|| {
        let (d_gamma, d_beta) = (&mut result.gamma[..dim], &mut result.beta[..dim]);
        let (mut normal, mut inner) = (vec![0.0f32; dim], vec![0.0f32; dim]);
        let rows = x.chunks_exact(dim).zip(dy.chunks_exact(dim)).zip(result.x.chunks_exact_mut(dim)).zip(statistics);
        for (((x, dy), dx), &[mean, scale]) in rows {
            for i in 0..dim {
                normal[i] = (x[i] - mean) * scale;
                inner[i] = dy[i] * gamma[i];
                d_gamma[i] += dy[i] * normal[i];
                d_beta[i] += dy[i];
            }
            let shift = sum(&inner) / dim as f32;
            let slope = sum_of(&inner, &normal, |a, b| a * b) / dim as f32;
            for i in 0..dim {
                dx[i] = scale * (inner[i] - shift - normal[i] * slope);
            }
        }
    });
    result
}

//! BNNeck: a batch norm between a branch's feature and its classifier, for re-identification (Luo et al., "Bag of Tricks
//! and a Strong Baseline for Deep Person Re-identification", CVPRW 2019; TransReID's baseline, which DCAL builds on).
//!
//! The triplet loss wants distances, cross-entropy wants angles: the first sees the feature before the norm, the second
//! what comes out of it. The norm has no shift (the baseline freezes it at 0), the classifier behind it no bias.

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};

use super::batch_norm::{BatchStatistics, by_batch, towards};
use crate::fold::BATCH_NORM_EPSILON;

/// Batch norm over features `[B, D]`: `gamma (x - mean) / sqrt(variance + 1e-5)`.
///
/// In training mean and variance are the batch's; otherwise the running ones, which are no parameters (nothing is
/// derived by them) and are stored, averaged and loaded like the weights.
#[derive(Module, Debug)]
pub struct Bottleneck {
    /// `[D]`, starts at 1.
    pub gamma: Param<Tensor<1>>,
    /// Running mean, `[D]`, starts at 0.
    pub running_mean: Param<Tensor<1>>,
    /// Running variance, `[D]`, starts at 1.
    pub running_var: Param<Tensor<1>>,
}

impl Bottleneck {
    /// The norm as it starts, for features of width `dim`.
    pub fn new(dim: usize, device: &Device) -> Self {
        let init = |initializer: Initializer| -> Param<Tensor<1>> { initializer.init([dim], device) };
        Self {
            gamma: init(Initializer::Ones),
            running_mean: init(Initializer::Zeros).set_require_grad(false),
            running_var: init(Initializer::Ones).set_require_grad(false),
        }
    }

    /// `x` `[B, D]` normalised by the running statistics.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let row = |param: &Param<Tensor<1>>| param.val().unsqueeze::<2>();
        let scale = row(&self.gamma) / (row(&self.running_var) + BATCH_NORM_EPSILON).sqrt();
        (x - row(&self.running_mean)) * scale
    }

    /// `x` `[B, D]` normalised by its own statistics, which come along for [`Bottleneck::observe`].
    pub fn forward_batch(&self, x: Tensor<2>) -> (Tensor<2>, BatchStatistics) {
        let (normed, statistics) = by_batch(x.unsqueeze_dim(2));
        (normed.squeeze_dim::<2>(2) * self.gamma.val().unsqueeze::<2>(), statistics)
    }

    /// Moves the running statistics towards those of a batch, by a tenth.
    pub fn observe(mut self, batch: &BatchStatistics) -> Self {
        self.running_mean = towards(self.running_mean, &batch.mean);
        self.running_var = towards(self.running_var, &batch.variance);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::host;

    #[test]
    fn a_batch_is_normalised_by_hand() {
        let device = Device::flex();
        let mut neck = Bottleneck::new(2, &device);
        neck.gamma = neck.gamma.map(|_| Tensor::from_floats([1.0, 3.0], &device));
        // Columns 1 2 3 and 5 5 8: means 2 and 6, variances 2/3 and 2; of the population 1 and 3.
        let x = Tensor::<2>::from_floats([[1.0, 5.0], [2.0, 5.0], [3.0, 8.0]], &device);
        let (y, statistics) = neck.forward_batch(x.clone());
        let (a, b) = (1.0 / (2f32 / 3.0 + 1e-5).sqrt(), 3.0 / (2f32 + 1e-5).sqrt());
        for (found, expected) in host(y).into_iter().zip([-a, -b, 0.0, -b, a, 2.0 * b]) {
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
        let near = |found: &[f32], expected: [f32; 2]| found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(near(&statistics.mean, [2.0, 6.0]) && near(&statistics.variance, [1.0, 3.0]), "{statistics:?}");

        let neck = neck.observe(&statistics).observe(&statistics);
        let (mean, variance) = (host(neck.running_mean.val()), host(neck.running_var.val()));
        assert!(near(&mean, [0.38, 1.14]) && near(&variance, [1.0, 1.38]), "{mean:?} {variance:?}");
        let found = host(neck.forward(x))[1];
        let expected = 3.0 * (5.0 - 1.14) / (1.38f32 + 1e-5).sqrt();
        assert!((found - expected).abs() < 1e-4, "{found} {expected}");
    }
}

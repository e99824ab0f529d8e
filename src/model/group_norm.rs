//! Group norm over the channels of a map (Wu and He, ECCV 2018), as hybrids have it.

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};

use crate::fold::GROUP_NORM_EPSILON;

/// `weight (x - mean) / sqrt(variance + 1e-5) + bias`: mean and variance over the positions of some channels of one photo.
#[derive(Module, Debug)]
pub struct GroupNorm {
    /// `[C]`, starts at 1.
    pub weight: Param<Tensor<1>>,
    /// `[C]`, starts at 0.
    pub bias: Param<Tensor<1>>,
    groups: usize,
}

impl GroupNorm {
    /// The norm as it starts.
    pub(super) fn new(channels: usize, groups: usize, device: &Device) -> Self {
        let init = |initializer: Initializer| -> Param<Tensor<1>> { initializer.init([channels], device) };
        Self { weight: init(Initializer::Ones), bias: init(Initializer::Zeros), groups }
    }

    /// The same that starts at 0, so that what it is added to passes alone.
    pub(super) fn closed(mut self) -> Self {
        let weight = self.weight.val();
        self.weight = Initializer::Zeros.init(weight.dims(), &weight.device());
        self
    }

    /// `x` `[B, C, H, W]` normalised, same shape.
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let shape @ [batch, channels, height, width] = x.dims();
        let rows = x.reshape([batch * self.groups, channels / self.groups * height * width]);
        let channels = |param: &Param<Tensor<1>>| param.val().unsqueeze_dims::<4>(&[0, 2, 3]);
        normalised(rows, GROUP_NORM_EPSILON).reshape(shape) * channels(&self.weight) + channels(&self.bias)
    }
}

/// The rows of `x` `[M, K]` with mean 0 and variance 1.
pub(super) fn normalised(x: Tensor<2>, epsilon: f64) -> Tensor<2> {
    let centred = x.clone() - x.mean_dim(1);
    let variance = (centred.clone() * centred.clone()).mean_dim(1);
    centred * (variance + epsilon).sqrt().recip()
}

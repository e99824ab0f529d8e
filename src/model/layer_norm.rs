//! Layer norm over the width of a token.

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};

use super::fused;
use crate::architecture::Architecture;

/// `(x - mean) / sqrt(variance + epsilon) gamma + beta`.
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// `[D]`, starts at 1.
    pub gamma: Param<Tensor<1>>,
    /// `[D]`, starts at 0.
    pub beta: Param<Tensor<1>>,
    epsilon: f32,
}

impl LayerNorm {
    /// The identity's weights for `architecture`.
    pub fn new(architecture: &Architecture, device: &Device) -> Self {
        let init = |initializer: Initializer| initializer.init([architecture.dim], device);
        Self { gamma: init(Initializer::Ones), beta: init(Initializer::Zeros), epsilon: architecture.layer_norm_eps }
    }

    /// The norm of each token of `x` `[B, T, D]`.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        fused::layer_norm(x, self.gamma.val(), self.beta.val(), self.epsilon)
    }
}

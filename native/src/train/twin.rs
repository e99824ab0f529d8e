//! The network of one backward pass, with gradients.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor};
use finegrain::model::Network;

/// Fresh leaves for one backward pass: workers that shared them would share, and wait for, one autodiff graph.
pub(super) struct Twin {
    /// Has the parameters that gradients arrive at, in f32.
    pub leaves: Network,
    /// Runs: the same, or a view of it in bf16.
    pub runs: Network,
}

impl Twin {
    /// Of `network` on the plain device, for `device` with gradients; the twin has its way of checkpointing.
    pub(super) fn new(network: &Network, device: &Device, bf16: bool) -> Self {
        let leaves = network.clone().train().map(&mut On(device));
        let runs = if bf16 { leaves.in_bf16() } else { leaves.clone() };
        Self { leaves, runs }
    }
}

/// burn refuses operations between tensors that are checkpointed in different ways.
struct On<'a>(&'a Device);

impl ModuleMapper for On<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.0.gradient_checkpointing_strategy() {
            Some(strategy) => param.map(|value| value.with_gradient_checkpointing_strategy(strategy)),
            None => param,
        }
    }
}

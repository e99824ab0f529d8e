//! Dual cross-attention learning, DCAL (Zhu et al., CVPR 2022): GLCA and PWCA beside self-attention.

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};

use super::glca::{Glca, GlcaOutput};
use crate::architecture::{self, Architecture};

/// What DCAL adds to a backbone.
#[derive(Module, Debug)]
pub struct Dcal {
    /// Global-local cross-attention, where it is switched on.
    pub glca: Option<Glca>,
    /// `w_k` of the loss for SA, GLCA and PWCA, `[3]`; used in training only.
    pub loss_log_var: Param<Tensor<1>>,
    pwca: bool,
    selected: usize,
}

impl Dcal {
    /// Random weights; `w_k` start at 0.
    pub fn new(architecture: &Architecture, settings: &architecture::Dcal, device: &Device) -> Self {
        Self {
            glca: settings.glca.then(|| Glca::new(architecture, device)),
            loss_log_var: Initializer::Zeros.init([3], device),
            pwca: settings.pwca,
            selected: settings.selected(architecture.patches()),
        }
    }

    /// True when training has a PWCA stream.
    pub fn has_pwca(&self) -> bool {
        self.pwca
    }

    /// The GLCA branch on the last block's tokens `[B, N + 1, D]` and the rollout `[B, N + 1]`.
    pub fn glca(&self, tokens: Tensor<3>, rollout: Tensor<2>) -> Option<GlcaOutput> {
        self.glca.as_ref().map(|glca| glca.forward(tokens, rollout, self.selected))
    }
}

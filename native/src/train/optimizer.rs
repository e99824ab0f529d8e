//! The optimizers that a recipe can choose.

use std::collections::BTreeMap;

use burn::optim::GradientsParams;
use burn::tensor::Device;
use finegrain::model::Network;
use finegrain::tensors::{TensorError, TensorMap};

use super::adamw::AdamW;
use super::config::{OptimizerKind, Train};
use super::sgd::Sgd;
use super::walk::{self, Parameter};

/// What one parameter is trained with in one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rates {
    /// Learning rate.
    pub lr: f64,
    /// Weight decay.
    pub decay: f64,
}

/// An optimizer with its state.
#[derive(Debug)]
pub(super) enum Optimizer {
    /// AdamW.
    AdamW(AdamW),
    /// SGD with momentum.
    Sgd(Sgd),
}

impl Optimizer {
    /// The recipe's optimizer, before the first step.
    pub(super) fn new(train: &Train) -> Self {
        match train.optimizer {
            OptimizerKind::AdamW => Self::AdamW(AdamW::default()),
            OptimizerKind::Sgd => Self::Sgd(Sgd::new(train.momentum)),
        }
    }

    /// Updates every parameter that has a gradient. Gradients are first multiplied by `scale` (clipping).
    ///
    /// `rates` is asked with burn's path of the parameter ("vit.blocks.3.attn.qkv.weight").
    pub(super) fn step(
        &mut self,
        network: Network,
        gradients: GradientsParams,
        scale: f64,
        rates: &dyn Fn(&str) -> Rates,
    ) -> Network {
        match self {
            Self::AdamW(adamw) => adamw.step(network, gradients, scale, rates),
            Self::Sgd(sgd) => sgd.step(network, gradients, scale, rates),
        }
    }

    /// The state as named tensors, each under the optimizer's name.
    pub(super) fn tensors(&self) -> TensorMap {
        let (name, state) = match self {
            Self::AdamW(adamw) => ("adamw.", adamw.tensors()),
            Self::Sgd(sgd) => ("sgd.", sgd.tensors()),
        };
        let mut map = TensorMap::default();
        for (path, tensor) in state.iter() {
            map.insert(format!("{name}{path}"), tensor.clone());
        }
        map
    }

    /// Reads back what [`Optimizer::tensors`] gave, among other tensors.
    ///
    /// # Errors
    /// [`TensorError`] where a part of the state is missing, or belongs to no parameter of `network`.
    pub(super) fn restore(
        train: &Train,
        map: &TensorMap,
        network: &Network,
        device: &Device,
    ) -> Result<Self, TensorError> {
        let mut lengths = BTreeMap::new();
        walk::change(network.clone(), &mut |Parameter { path, value }| {
            lengths.insert(path, value.dims().to_vec());
            value
        });
        for (name, tensor) in map.iter() {
            let of = ["adamw.first.", "adamw.second.", "sgd.velocity."].iter().find_map(|kind| name.strip_prefix(kind));
            let Some(path) = of else { continue };
            let expected = lengths.get(path).cloned().unwrap_or_default();
            if tensor.shape != expected {
                return Err(TensorError::Shape { name: name.to_owned(), found: tensor.shape.clone(), expected });
            }
        }
        Ok(match train.optimizer {
            OptimizerKind::AdamW => Self::AdamW(AdamW::restore(&map.under("adamw."), device)?),
            OptimizerKind::Sgd => Self::Sgd(Sgd::restore(train.momentum, &map.under("sgd."), device)?),
        })
    }
}

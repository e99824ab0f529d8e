//! Batch norm over the channels of a map (Ioffe and Szegedy, ICML 2015), in training and at inference.

use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::nn::Initializer;
use burn::tensor::{Device, Tensor};

use super::host;
use crate::fold::BATCH_NORM_EPSILON;

/// The share of a batch in the running statistics, PyTorch's.
const MOMENTUM: f64 = 0.1;

/// `weight (x - mean) / sqrt(variance + 1e-5) + bias` for each channel of `[B, C, L]`.
///
/// In training mean and variance are the batch's; otherwise the running ones, which are no parameters (nothing is
/// derived by them) and are stored, averaged and loaded like the weights.
#[derive(Module, Debug)]
pub struct BatchNorm {
    /// `[C]`, starts at 1.
    pub weight: Param<Tensor<1>>,
    /// `[C]`, starts at 0.
    pub bias: Param<Tensor<1>>,
    /// Running mean, `[C]`, starts at 0.
    pub running_mean: Param<Tensor<1>>,
    /// Running variance, `[C]`, starts at 1.
    pub running_var: Param<Tensor<1>>,
}

/// Mean and variance of a batch, on the host.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchStatistics {
    /// `[C]`.
    pub mean: Vec<f32>,
    /// `[C]`, divided by one less than the number of values.
    pub variance: Vec<f32>,
}

/// What a batch norm saw in training.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The running mean and variance of the norm that saw it.
    norm: [ParamId; 2],
    /// What it saw.
    pub batch: BatchStatistics,
}

/// What the batch norms of a forward pass normalise by.
#[derive(Debug)]
pub enum Statistics<'a> {
    /// The running statistics: inference.
    Running,
    /// The batch's own: training. They are added to the list, for [`observe`] afterwards. A norm that is not trained (frozen)
    /// normalises by its running statistics and adds nothing.
    Batch(&'a mut Vec<Seen>),
}

impl BatchNorm {
    /// The norm as it starts, for `channels` channels.
    pub fn new(channels: usize, device: &Device) -> Self {
        let init = |initializer: Initializer| -> Param<Tensor<1>> { initializer.init([channels], device) };
        Self {
            weight: init(Initializer::Ones),
            bias: init(Initializer::Zeros),
            running_mean: init(Initializer::Zeros).set_require_grad(false),
            running_var: init(Initializer::Ones).set_require_grad(false),
        }
    }

    /// `x` `[B, C, L]` normalised, same shape.
    pub fn forward(&self, x: Tensor<3>, statistics: &mut Statistics<'_>) -> Tensor<3> {
        let channels = |param: &Param<Tensor<1>>| param.val().unsqueeze_dims::<3>(&[0, 2]);
        let normed = match statistics {
            Statistics::Batch(list) if !self.is_frozen() => {
                let (normed, batch) = by_batch(x);
                list.push(Seen { norm: [self.running_mean.id, self.running_var.id], batch });
                normed
            }
            _ => {
                let deviation = (channels(&self.running_var) + BATCH_NORM_EPSILON).sqrt();
                (x - channels(&self.running_mean)) / deviation
            }
        };
        normed * channels(&self.weight) + channels(&self.bias)
    }

    /// True where there are gradients, and none for this norm.
    fn is_frozen(&self) -> bool {
        let weight = self.weight.val();
        weight.is_autodiff() && !weight.is_require_grad()
    }

    /// A map `[B, C, H, W]` normalised, same shape.
    pub fn forward_map(&self, map: Tensor<4>, statistics: &mut Statistics<'_>) -> Tensor<4> {
        let shape = map.dims();
        self.forward(map.flatten(2, 3), statistics).reshape(shape)
    }
}

/// A network, or a part of one, whose running statistics have moved towards those that its batch norms `saw`, by a tenth each time,
/// in the order of the list.
pub fn observe<M: Module>(module: M, saw: &[Seen]) -> M {
    let mut lists: HashMap<ParamId, Vec<&[f32]>> = HashMap::new();
    for Seen { norm: [mean, variance], batch } in saw {
        lists.entry(*mean).or_default().push(&batch.mean);
        lists.entry(*variance).or_default().push(&batch.variance);
    }
    if lists.is_empty() { module } else { module.map(&mut Running(lists)) }
}

struct Running<'a>(HashMap<ParamId, Vec<&'a [f32]>>);

impl ModuleMapper for Running<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(batches) = self.0.get(&param.id) else { return param };
        batches.iter().fold(param, |param, batch| towards(param, batch))
    }
}

/// `x` `[B, C, L]` with mean 0 and variance 1 in each channel, and the statistics that made it so.
pub(super) fn by_batch(x: Tensor<3>) -> (Tensor<3>, BatchStatistics) {
    let [batch, _, length] = x.dims();
    let count = batch * length;
    let mean_of = |x: Tensor<3>| x.mean_dim(2).mean_dim(0);
    let mean = mean_of(x.clone());
    let centred = x - mean.clone();
    let variance = mean_of(centred.clone() * centred.clone());
    // PyTorch normalises by the batch's own variance and keeps the one of the population.
    let population = count as f32 / (count.max(2) - 1) as f32;
    let statistics = BatchStatistics {
        mean: host(mean.detach()),
        variance: host(variance.clone().detach()).into_iter().map(|v| v * population).collect(),
    };
    (centred * (variance + BATCH_NORM_EPSILON).sqrt().recip(), statistics)
}

/// A running statistic moved towards a batch's.
pub(super) fn towards<const D: usize>(running: Param<Tensor<D>>, batch: &[f32]) -> Param<Tensor<D>> {
    running.map(|old| {
        let new = Tensor::<1>::from_floats(batch, &old.device()).reshape(old.dims());
        old * (1.0 - MOMENTUM) + new * MOMENTUM
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_normalised_by_hand() {
        let device = Device::flex();
        let mut norm = BatchNorm::new(2, &device);
        norm.weight = norm.weight.map(|_| Tensor::from_floats([1.0, 3.0], &device));
        norm.bias = norm.bias.map(|_| Tensor::from_floats([0.5, -1.0], &device));
        // Channels 1 2 | 3 6 and 5 5 | 5 9: means 3 and 6, variances 3.5 and 3; of the population 14/3 and 4.
        let x = Tensor::<3>::from_floats([[[1.0, 2.0], [5.0, 5.0]], [[3.0, 6.0], [5.0, 9.0]]], &device);
        let mut list = Vec::new();
        let y = host(norm.forward(x.clone(), &mut Statistics::Batch(&mut list)));
        let (a, b) = (1.0 / (3.5f32 + 1e-5).sqrt(), 3.0 / (3f32 + 1e-5).sqrt());
        let expected = [0.5 - 2.0 * a, 0.5 - a, -1.0 - b, -1.0 - b, 0.5, 0.5 + 3.0 * a, -1.0 - b, -1.0 + 3.0 * b];
        for (found, expected) in y.into_iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
        let near = |found: &[f32], expected: [f32; 2]| found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(near(&list[0].batch.mean, [3.0, 6.0]) && near(&list[0].batch.variance, [14.0 / 3.0, 4.0]), "{list:?}");

        let norm = observe(norm, &list);
        let found = host(norm.forward(x, &mut Statistics::Running));
        let expected = 0.5 + (1.0 - 0.3) / (0.9f32 + 1.4 / 3.0 + 1e-5).sqrt();
        assert!((found[0] - expected).abs() < 1e-5, "{} {expected}", found[0]);
    }
}

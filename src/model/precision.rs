//! Mixed precision (Micikevicius et al., "Mixed Precision Training", ICLR 2018): the large products in bf16, the rest in
//! f32.
//!
//! Weights stay in f32; a network in bf16 is a view of them, cast inside the graph, so that gradients arrive at the f32
//! weights in f32. The products of patch embedding, attention and MLP are in bf16; the tokens between the blocks, norms,
//! softmax, classifiers and losses are in f32. bf16 has the range of f32, so that no loss needs scaling.

use burn::module::{Module, ModuleMapper, Param};
use burn::nn::Linear;
use burn::tensor::{DType, FloatDType, Tensor};

use super::Network;

impl Network {
    /// This network with its large products in bf16. Gradients belong to this network's parameters, not to the result's.
    pub fn in_bf16(&self) -> Self {
        self.clone().map(&mut Narrow { path: Vec::new() })
    }
}

/// Layers whose weights are cast.
const LARGE: [&str; 4] = ["qkv", "proj", "fc1", "fc2"];

struct Narrow {
    path: Vec<String>,
}

impl ModuleMapper for Narrow {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let layer = self.path.iter().rev().nth(1);
        match layer.is_some_and(|layer| LARGE.contains(&layer.as_str())) {
            true => param.map(|weight| weight.cast(FloatDType::BF16)),
            false => param,
        }
    }
}

/// A linear layer in the precision of its weights; `x` `[B, T, in]` to `[B, T, out]`.
pub(super) fn apply(layer: &Linear, x: Tensor<3>) -> Tensor<3> {
    layer.forward(like(x, layer.weight.val().dtype()))
}

/// `x` in bf16 where `dtype` is that, else as it is.
pub(super) fn like<const D: usize>(x: Tensor<D>, dtype: DType) -> Tensor<D> {
    if dtype == DType::BF16 && x.dtype() != DType::BF16 { x.cast(FloatDType::BF16) } else { x }
}

/// `x` in f32 where it is in bf16, else as it is.
pub(super) fn wide<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if x.dtype() == DType::BF16 { x.cast(FloatDType::F32) } else { x }
}

#[cfg(all(test, feature = "autodiff"))]
mod tests {
    use burn::tensor::{Device, Int, TensorData};

    use super::*;
    use crate::architecture::{Architecture, Dcal, Mechanism};
    use crate::tensors::{TensorMap, Values};

    /// On the CPU too, if slowly: the same network, loss and gradients to what bf16's 8 bits allow.
    #[test]
    fn bf16_is_near_f32_and_gradients_arrive_in_f32() {
        let architecture = Architecture {
            resnet: None,
            hybrid: None,
            image_size: [16, 8],
            patch_size: 4,
            dim: 32,
            depth: 2,
            heads: 2,
            mlp_ratio: 2,
            layer_norm_eps: 1e-6,
            classes: 3,
            mechanism: Mechanism::Dcal(Dcal { ratio: 1.0, glca: true, pwca: true, gates: None }),
        };
        let device = Device::flex().autodiff();
        let weights = crate::model::random::weights(&architecture, 1.0, 8);
        let network = Network::new(&architecture, &device).load(&weights).unwrap();
        let images: Vec<f32> = (0..4 * 384).map(|i| (i as f32 * 0.7).sin()).collect();
        let run = |runs: &Network| {
            let numbers = |values: [i32; 4]| Tensor::<1, Int>::from_data(TensorData::from(values), &device);
            let images = runs.images(&images, &device);
            let losses = runs.losses(images, numbers([0, 1, 2, 1]), Some(numbers([1, 2, 3, 0])), 0.1);
            assert_eq!(losses.forward.tokens.as_ref().unwrap().last().dtype(), DType::F32);
            let loss = losses.total.clone().into_data().iter::<f32>().next().unwrap();
            // Of the parameters that the cast ones are made of.
            (loss, network.gradients(&losses.total.backward()))
        };
        let narrow = network.in_bf16();
        let vit = narrow.backbone.vit().unwrap();
        assert_eq!(vit.blocks[0].mlp.fc1.weight.val().dtype(), DType::BF16);
        assert_eq!(vit.blocks[0].norm1.gamma.val().dtype(), DType::F32);
        let ((loss, gradients), (near, found)) = (run(&network), run(&narrow));
        assert!((loss - near).abs() < 0.01 * loss.abs() && loss != near, "{loss} {near}");
        let flat = |map: &TensorMap| -> Vec<f32> {
            let values = |(_, tensor): (&str, &crate::tensors::Tensor)| match &tensor.values {
                Values::F32(values) => values.clone(),
                Values::I32(_) => Vec::new(),
            };
            map.iter().flat_map(values).collect()
        };
        assert_eq!(gradients.len(), found.len(), "every weight gets one");
        let (truth, found) = (flat(&gradients), flat(&found));
        let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>().sqrt();
        let apart = norm(&mut truth.iter().zip(&found).map(|(a, b)| a - b)) / norm(&mut truth.iter().copied());
        assert!(apart > 1e-5 && apart < 0.03, "{apart}");
    }
}

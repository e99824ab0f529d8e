//! A walk over the parameters of a network: what optimizers and the average have in common.

use burn::module::{Module, ModuleMapper, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use finegrain::model::Network;
use finegrain::tensors;

/// One parameter on the way.
pub(super) struct Parameter {
    /// burn's path ("vit.blocks.3.attn.qkv.weight").
    pub path: String,
    /// Its value, flat: one kind of state for parameters of every rank.
    pub value: Tensor<1>,
}

/// `network` with every parameter replaced by what `change` makes of it.
pub(super) fn change(network: Network, change: &mut dyn FnMut(Parameter) -> Tensor<1>) -> Network {
    network.map(&mut Walk { path: Vec::new(), gradients: None, change: &mut |parameter, _| change(parameter) })
}

/// `network` after one step of an optimizer: every parameter that has a gradient is replaced by what `step` makes of it and
/// of its gradient, flat and multiplied by `scale` (clipping).
pub(super) fn step(
    network: Network,
    gradients: GradientsParams,
    scale: f64,
    step: &mut dyn FnMut(Parameter, Tensor<1>) -> Tensor<1>,
) -> Network {
    let mut change = |parameter: Parameter, gradient: Option<Tensor<1>>| match gradient {
        Some(gradient) if scale == 1.0 => step(parameter, gradient),
        Some(gradient) => step(parameter, gradient * scale),
        None => parameter.value,
    };
    network.map(&mut Walk { path: Vec::new(), gradients: Some(gradients), change: &mut change })
}

/// Part of an optimizer's state as it stands in a checkpoint.
pub(super) fn to_file(state: &Tensor<1>) -> tensors::Tensor {
    let values: Vec<f32> = state.clone().into_data().iter::<f32>().collect();
    tensors::Tensor::f32([values.len()], values)
}

/// And back.
pub(super) fn from_file(values: &[f32], device: &Device) -> Tensor<1> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}

/// A component of a path. The backbone goes by its kind ("vit", "resnet"), as it does in the checkpoints there are.
fn within(name: &str, holder: &str) -> String {
    match (name, holder) {
        ("backbone", "Struct:Network") => String::new(),
        (kind, "Enum:Backbone") => kind.to_lowercase(),
        (name, _) => name.to_owned(),
    }
}

struct Walk<'a> {
    path: Vec<String>,
    /// Without them every parameter is visited, with them those that have one.
    gradients: Option<GradientsParams>,
    change: &'a mut dyn FnMut(Parameter, Option<Tensor<1>>) -> Tensor<1>,
}

impl ModuleMapper for Walk<'_> {
    fn enter_module(&mut self, name: &str, holder: &str) {
        self.path.push(within(name, holder));
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let gradient = match &mut self.gradients {
            None => None,
            Some(gradients) => match gradients.remove::<D>(param.id) {
                Some(gradient) => Some(gradient.flatten(0, D - 1)),
                None => return param,
            },
        };
        let path = self.path.iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join(".");
        param.map(|value| {
            let shape = value.dims();
            (self.change)(Parameter { path, value: value.flatten(0, D - 1) }, gradient).reshape(shape)
        })
    }
}

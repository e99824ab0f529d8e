//! Weights in and out under timm's names and in its layouts.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};

use super::{Network, host};
use crate::architecture::Architecture;
use crate::tensors::{self, TensorError, TensorMap};

impl Network {
    /// The same network with the weights of `weights`, timm's names and layouts.
    ///
    /// Tensors that the network does not have are left alone; those of training alone may be absent (a bundle has
    /// none).
    ///
    /// # Errors
    /// [`TensorError`] names the first tensor that is missing, of another shape, or not finite.
    pub fn load(self, weights: &TensorMap) -> Result<Self, TensorError> {
        load(self, weights)
    }

    /// Every weight under timm's names and layouts.
    pub fn weights(&self) -> TensorMap {
        let mut weights = Weights::default();
        self.visit(&mut weights);
        weights.found
    }

    /// The gradients of a backward pass, under the names and in the layouts of [`Network::weights`].
    #[cfg(feature = "autodiff")]
    pub fn gradients(&self, gradients: &burn::tensor::Gradients) -> TensorMap {
        let mut collector = GradientTensors { path: Path::default(), gradients, found: TensorMap::default() };
        self.visit(&mut collector);
        collector.found
    }
}

/// A module with the weights of `weights`, under the names of its fields: for a part of a network by itself.
///
/// # Errors
/// As [`Network::load`].
pub fn load<M: Module>(module: M, weights: &TensorMap) -> Result<M, TensorError> {
    let mut loader = Loader { path: Path::default(), weights, error: None };
    let module = module.map(&mut loader);
    loader.error.map_or(Ok(module), Err)
}

/// Where a traversal is in the module tree: each component with the kind of module that holds it.
#[derive(Default)]
struct Path(Vec<(String, String)>);

impl Path {
    fn enter(&mut self, name: &str, holder: &str) {
        self.0.push((name.to_owned(), holder.to_owned()));
    }

    fn exit(&mut self) {
        self.0.pop();
    }

    /// timm's name of the parameter, and whether burn holds it transposed (linear weights are `[in, out]` in burn).
    fn timm(&self) -> (String, bool) {
        let joined = self.0.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(".");
        if let Some(name) = joined.strip_prefix("backbone.ResNet.") {
            return resnet(name);
        }
        let name = match joined.strip_prefix("backbone.Vit.").unwrap_or(&joined) {
            "dcal.loss_log_var" => "loss_log_var".to_owned(),
            other => other
                .replacen("dcal.glca.block.", "glca.", 1)
                .replacen("dcal.glca.norm.", "glca_norm.", 1)
                .replacen("dcal.glca.bottleneck.", "glca_bottleneck.", 1)
                .replacen("dcal.glca.head.", "glca_head.", 1)
                .replacen("rga.gates.", "rga.", 1)
                .replacen("rectify.modules.", "rectify.", 1)
                .replacen(".attend.", ".", 1),
        };
        let (last, holder) = self.0.last().map_or(("", ""), |(name, holder)| (name, holder));
        let stem = name.strip_suffix(last).unwrap_or(&name);
        match (holder, last) {
            ("Struct:LayerNorm" | "Struct:Bottleneck", "gamma") => (format!("{stem}weight"), false),
            ("Struct:LayerNorm", "beta") => (format!("{stem}bias"), false),
            ("Struct:Linear", "weight") => (name, true),
            _ => (name, false),
        }
    }
}

/// timm's name of a residual network's parameter `name`, and whether burn holds it transposed.
fn resnet(name: &str) -> (String, bool) {
    let named = match name.strip_prefix("stages.").and_then(|rest| rest.split_once('.')) {
        Some((stage, rest)) => format!("layer{}.{rest}", stage.parse().map_or(0, |stage: usize| stage + 1)),
        None => name.to_owned(),
    };
    let named =
        named.replacen(".downsample.conv.", ".downsample.0.", 1).replacen(".downsample.bn.", ".downsample.1.", 1);
    let named = named.replacen("bottleneck.gamma", "bottleneck.weight", 1);
    (named, name == "head.weight")
}

/// A tensor of burn as it stands at the border.
fn outward<const D: usize>(tensor: Tensor<D>, transposed: bool) -> tensors::Tensor {
    let tensor = if transposed { tensor.transpose() } else { tensor };
    tensors::Tensor::f32(tensor.dims(), host(tensor))
}

struct Loader<'a> {
    path: Path,
    weights: &'a TensorMap,
    error: Option<TensorError>,
}

impl ModuleMapper for Loader<'_> {
    fn enter_module(&mut self, name: &str, holder: &str) {
        self.path.enter(name, holder);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (name, transposed) = self.path.timm();
        if self.error.is_some() || (Architecture::training_only(&name) && self.weights.get(&name).is_none()) {
            return param;
        }
        let mut shape = param.val().dims();
        if transposed {
            shape.reverse();
        }
        match self.weights.weight(&name, &shape) {
            Ok(values) => {
                let data = TensorData::new(values.to_vec(), shape);
                param.map(|old| {
                    let active = old.is_require_grad();
                    let new = Tensor::<D>::from_data(data, &old.device());
                    let new = if transposed { new.transpose() } else { new };
                    // A fresh leaf: gradients must arrive at the parameter, not at the tensor before its transposition.
                    new.detach().set_require_grad(active)
                })
            }
            Err(error) => {
                self.error = Some(error);
                param
            }
        }
    }
}

#[derive(Default)]
struct Weights {
    path: Path,
    found: TensorMap,
}

impl ModuleVisitor for Weights {
    fn enter_module(&mut self, name: &str, holder: &str) {
        self.path.enter(name, holder);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let (name, transposed) = self.path.timm();
        self.found.insert(name, outward(param.val(), transposed));
    }
}

#[cfg(feature = "autodiff")]
struct GradientTensors<'a> {
    path: Path,
    gradients: &'a burn::tensor::Gradients,
    found: TensorMap,
}

#[cfg(feature = "autodiff")]
impl ModuleVisitor for GradientTensors<'_> {
    fn enter_module(&mut self, name: &str, holder: &str) {
        self.path.enter(name, holder);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad(self.gradients) {
            let (name, transposed) = self.path.timm();
            self.found.insert(name, outward(gradient, transposed));
        }
    }
}

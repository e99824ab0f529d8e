//! Backbones by name: numbers that a recipe need not repeat.

use finegrain::architecture::{Architecture, Hybrid, Mechanism, ResNet};
use serde::de::IntoDeserializer as _;
use serde::de::value::Error as NameError;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::ConfigError;

/// Side of every transformer's patches, in pixels.
const PATCH: usize = 16;

/// Mean and deviation of ImageNet's pixels.
const IMAGENET: [[f64; 3]; 2] = [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]];

/// The choices of `model.backbone`: transformers with patch 16, any input size that 16 divides, a hybrid likewise, and residual
/// networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "their names say it")]
pub enum Backbone {
    VitTiny,
    VitSmall,
    VitBase,
    DeitTiny,
    DeitSmall,
    DeitBase,
    #[serde(rename = "r50-vit-base")]
    R50VitBase,
    #[serde(rename = "resnet-18")]
    ResNet18,
    #[serde(rename = "resnet-50")]
    ResNet50,
    #[serde(rename = "wrn-28-10")]
    Wrn28x10,
}

/// What a backbone is.
enum Kind {
    /// Width, blocks and heads (Dosovitskiy et al., 2021; Touvron et al., 2021); what stands before a hybrid's patches.
    Vit([usize; 3], Option<Hybrid>),
    ResNet(ResNet),
}

impl Backbone {
    fn kind(self) -> Kind {
        match self {
            Self::VitTiny | Self::DeitTiny => Kind::Vit([192, 12, 3], None),
            Self::VitSmall | Self::DeitSmall => Kind::Vit([384, 12, 6], None),
            Self::VitBase | Self::DeitBase => Kind::Vit([768, 12, 12], None),
            Self::R50VitBase => Kind::Vit([768, 12, 12], Some(Hybrid::r50())),
            Self::ResNet18 => Kind::ResNet(ResNet::resnet_18()),
            Self::ResNet50 => Kind::ResNet(ResNet::resnet_50()),
            Self::Wrn28x10 => Kind::ResNet(ResNet::wrn_28_10()),
        }
    }

    /// The backbone of this name, as in a recipe.
    ///
    /// # Errors
    /// Names the ones that there are.
    pub fn named(name: &str) -> Result<Self, NameError> {
        Self::deserialize(name.into_deserializer())
    }

    /// The residual network, where it is one.
    pub fn resnet(self) -> Option<ResNet> {
        match self.kind() {
            Kind::ResNet(resnet) => Some(resnet),
            Kind::Vit(..) => None,
        }
    }

    /// The network of this backbone for square photos of `size` pixels.
    pub fn architecture(self, size: usize, classes: usize, mechanism: Mechanism) -> Architecture {
        let ([dim, depth, heads], hybrid) = match self.kind() {
            Kind::ResNet(resnet) => return resnet.architecture([size, size], classes, mechanism),
            Kind::Vit(numbers, hybrid) => (numbers, hybrid),
        };
        Architecture {
            resnet: None,
            hybrid,
            image_size: [size, size],
            patch_size: PATCH,
            dim,
            depth,
            heads,
            mlp_ratio: 4,
            layer_norm_eps: 1e-6,
            classes,
            mechanism,
        }
    }

    /// Mean and deviation of the pixels that its published weights were trained with.
    fn pixels(self) -> [[f64; 3]; 2] {
        match self {
            Self::VitTiny | Self::VitSmall | Self::VitBase | Self::R50VitBase => [[0.5; 3], [0.5; 3]],
            _ => IMAGENET,
        }
    }

    /// Fills in what the recipe leaves open.
    fn fill(self, recipe: &mut Table) -> Result<(), ConfigError> {
        let [mean, std] = self.pixels().map(|values| values.map(Value::Float).to_vec());
        fill(recipe, "pixels", [("mean", Value::Array(mean)), ("std", Value::Array(std))]);
        match self.kind() {
            Kind::Vit([dim, depth, heads], hybrid) => {
                if let Some(hybrid) = hybrid {
                    fill(recipe, "model", [("hybrid", Value::try_from(hybrid)?)]);
                }
                let numbers = [("patch_size", PATCH), ("dim", dim), ("depth", depth), ("heads", heads)];
                fill(recipe, "model", numbers.map(|(key, value)| (key, Value::Integer(value as i64))));
            }
            Kind::ResNet(resnet) => fill(recipe, "model", [("resnet", Value::try_from(resnet)?)]),
        }
        Ok(())
    }
}

/// Fills in what a recipe leaves open and its backbone, its hybrid's convolutions or its residual network tell; true where there was something to tell.
///
/// # Errors
/// A name that no backbone has, or a residual network or hybrid that cannot be.
pub(super) fn complete(recipe: &mut Table) -> Result<bool, ConfigError> {
    let model = |recipe: &Table, key: &str| recipe.get("model").and_then(|model| model.get(key)).cloned();
    let backbone = model(recipe, "backbone");
    if let Some(backbone) = &backbone {
        backbone.clone().try_into::<Backbone>()?.fill(recipe)?;
    }
    if let Some(hybrid) = model(recipe, "hybrid") {
        let hybrid = hybrid.try_into::<Hybrid>()?;
        hybrid.check_numbers()?;
        let patch_size = hybrid.stride(hybrid.blocks.len()) as i64;
        fill(recipe, "model", [("patch_size", Value::Integer(patch_size))]);
        return Ok(true);
    }
    let Some(resnet) = model(recipe, "resnet") else { return Ok(backbone.is_some()) };
    let mut resnet = resnet.try_into::<ResNet>()?;
    resnet.check_numbers()?;
    if let (Some(stride), Some(last)) = (model(recipe, "last_stride"), resnet.strides.last_mut()) {
        *last = stride.try_into::<usize>()?;
        resnet.check_numbers()?;
    }
    let Architecture { patch_size, dim, depth, heads, mlp_ratio, .. } =
        resnet.clone().architecture([1, 1], 1, Mechanism::None);
    if let Some(Value::Table(model)) = recipe.get_mut("model") {
        model.insert("resnet".into(), Value::try_from(resnet)?);
    }
    let numbers =
        [("patch_size", patch_size), ("dim", dim), ("depth", depth), ("heads", heads), ("mlp_ratio", mlp_ratio)];
    fill(recipe, "model", numbers.map(|(key, value)| (key, Value::Integer(value as i64))));
    Ok(true)
}

/// Adds keys that a table of the recipe does not have.
fn fill<const N: usize>(recipe: &mut Table, name: &str, keys: [(&str, Value); N]) {
    if let Value::Table(table) = recipe.entry(name).or_insert_with(|| Value::Table(Table::new())) {
        for (key, value) in keys {
            table.entry(key).or_insert(value);
        }
    }
}

//! Backbones by name: numbers that a recipe need not repeat.

use finegrain::architecture::{Architecture, Mechanism};
use serde::de::IntoDeserializer as _;
use serde::de::value::Error as NameError;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

/// Side of every backbone's patches, in pixels.
const PATCH: usize = 16;

/// The choices of `model.backbone`: patch 16, any input size that 16 divides.
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
}

impl Backbone {
    /// Width, blocks and heads (Dosovitskiy et al., 2021; Touvron et al., 2021).
    fn numbers(self) -> [usize; 3] {
        match self {
            Self::VitTiny | Self::DeitTiny => [192, 12, 3],
            Self::VitSmall | Self::DeitSmall => [384, 12, 6],
            Self::VitBase | Self::DeitBase => [768, 12, 12],
        }
    }

    /// The backbone of this name, as in a recipe.
    ///
    /// # Errors
    /// Names the ones that there are.
    pub fn named(name: &str) -> Result<Self, NameError> {
        Self::deserialize(name.into_deserializer())
    }

    /// The network of this backbone for square photos of `size` pixels.
    pub fn architecture(self, size: usize, classes: usize, mechanism: Mechanism) -> Architecture {
        let [dim, depth, heads] = self.numbers();
        Architecture {
            resnet: None,
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
            Self::VitTiny | Self::VitSmall | Self::VitBase => [[0.5; 3], [0.5; 3]],
            Self::DeitTiny | Self::DeitSmall | Self::DeitBase => [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]],
        }
    }

    /// Fills in what the recipe leaves open.
    pub(super) fn fill(self, recipe: &mut Table) {
        let [dim, depth, heads] = self.numbers().map(|number| number as i64);
        let [mean, std] = self.pixels().map(|values| values.map(Value::Float).to_vec());
        let numbers = [("patch_size", PATCH as i64), ("dim", dim), ("depth", depth), ("heads", heads)];
        fill(recipe, "model", numbers.map(|(key, value)| (key, Value::Integer(value))));
        fill(recipe, "pixels", [("mean", Value::Array(mean)), ("std", Value::Array(std))]);
    }
}

/// Adds keys that a table of the recipe does not have.
fn fill<const N: usize>(recipe: &mut Table, name: &str, keys: [(&str, Value); N]) {
    if let Value::Table(table) = recipe.entry(name).or_insert_with(|| Value::Table(Table::new())) {
        for (key, value) in keys {
            table.entry(key).or_insert(value);
        }
    }
}

//! The recipe of a training run: a TOML file, every key checked, written back in full beside the result.

mod augment;
mod backbone;
mod check;
mod keys;
mod overrides;
mod print;
mod reid;
mod table;
mod teachers;
mod unknown;

use finegrain::architecture::Architecture;
use finegrain::photo::Fit;
use toml::Table;

use crate::data::detect::Layout;

pub use augment::{Augment, Policy};
pub use backbone::Backbone;
pub use keys::{Choice, Data, Model, OptimizerKind, Pixels, PrecisionChoice, Train};
pub use reid::{FeatureChoice, Reid};
pub use teachers::Teachers;

table::table! {
    /// A whole recipe.
    #[serde(deny_unknown_fields)]
    Config {
        /// Short name without spaces: the bundle's id.
        id: String,
        /// Name for people.
        title: String,
        /// The data set.
        data: Data,
        /// The network.
        model: Model,
        /// Epochs, rates, optimizer.
        train: Train,
        /// What is done to training photos.
        #[serde(default)]
        augment: Augment,
        /// How pixels become numbers.
        #[serde(default)]
        pixels: Pixels,
        /// What re-identification adds; only where data.kind is one of its data sets.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reid: Option<Reid>,
        /// Trained networks that this one learns from beside the labels (knowledge distillation).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        teachers: Option<Teachers>,
    }
}

/// A recipe that cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not TOML, an unknown key, a wrong type: the parser's words name line and key.
    #[error("the recipe cannot be read: {0}")]
    Syntax(#[from] toml::de::Error),
    /// A key that no recipe has.
    #[error("the recipe has no key {key}; did you mean {nearest}?")]
    Unknown {
        /// The key, with its table.
        key: String,
        /// The valid key that is written most like it.
        nearest: String,
    },
    /// A `--set` that cannot be understood.
    #[error("--set {0} cannot be understood; write --set TABLE.KEY=VALUE, such as --set train.lr=1e-4")]
    Override(String),
    /// A recipe that TOML cannot hold.
    #[error("the recipe cannot be written: {0}")]
    Write(#[from] toml::ser::Error),
    /// A value that cannot be.
    #[error("the recipe's {key} is {value}, it must be {must}")]
    Value {
        /// The key, with its table.
        key: &'static str,
        /// What it is.
        value: String,
        /// What it may be.
        must: &'static str,
    },
    /// A network that cannot be built.
    #[error("the recipe's [model]: {0}")]
    Architecture(#[from] finegrain::architecture::ArchitectureError),
}

impl Config {
    /// Reads and checks a recipe.
    ///
    /// # Errors
    /// [`ConfigError`] names the line or the key.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        Self::parse_with(text, &[])
    }

    /// Reads a recipe whose keys are overridden by `overrides`, each `TABLE.KEY=VALUE`, later ones last.
    ///
    /// # Errors
    /// [`ConfigError`] names the line, the key or the override.
    pub fn parse_with(text: &str, overrides: &[String]) -> Result<Self, ConfigError> {
        let mut table: Table = toml::from_str(text)?;
        overrides::apply(&mut table, overrides)?;
        unknown::check(&table)?;
        let completed = backbone::complete(&mut table)?;
        // The file itself where nothing was changed: an error then names its line.
        let mut config: Self = match overrides.is_empty() && !completed {
            true => toml::from_str(text)?,
            false => toml::from_str(&toml::to_string(&table)?)?,
        };
        if config.pixels.resize == 0 {
            let [height, width] = config.input_size();
            config.pixels.resize = match config.pixels.fit {
                Fit::Crop => height.max(width),
                Fit::Stretch => height.min(width),
            };
        }
        if matches!(config.data.kind, Layout::Identities(_)) {
            config.reid.get_or_insert_default();
        }
        config.check()?;
        Ok(config)
    }

    /// Height and width of the photos that the network is given.
    pub fn input_size(&self) -> [usize; 2] {
        self.architecture(1).input_size()
    }

    /// The network for a data set with `classes` classes.
    pub fn architecture(&self, classes: usize) -> Architecture {
        Architecture {
            resnet: self.model.resnet.clone(),
            hybrid: self.model.hybrid.clone(),
            image_size: self.model.image_size,
            patch_size: self.model.patch_size,
            dim: self.model.dim,
            depth: self.model.depth,
            heads: self.model.heads,
            mlp_ratio: self.model.mlp_ratio,
            layer_norm_eps: 1e-6,
            classes,
            mechanism: self.model.mechanism.clone(),
        }
    }
}

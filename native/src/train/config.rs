//! The recipe of a training run: a TOML file, every key checked, written back in full beside the result.

use std::path::PathBuf;

use finegrain::architecture::{Architecture, Mechanism};
use finegrain::photo::Fit;
use serde::{Deserialize, Serialize};

use super::augment::STRONGEST;
use crate::data::DatasetKind;

/// A whole recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Short name without spaces: the bundle's id.
    pub id: String,
    /// Name for people.
    pub title: String,
    /// The data set.
    pub data: Data,
    /// The network.
    pub model: Model,
    /// Epochs, rates, optimizer.
    pub train: Train,
    /// What is done to training photos.
    #[serde(default)]
    pub augment: Augment,
    /// How pixels become numbers.
    #[serde(default)]
    pub pixels: Pixels,
}

/// `[data]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Layout of the folder given by `--data`.
    pub kind: DatasetKind,
    /// Share of the training photos that is held out, of each class: measured after each epoch, never trained on. Test
    /// photos have no say in anything.
    #[serde(default)]
    pub held_out: f64,
    /// Decoded photos are kept in memory up to this many MiB; the rest is decoded each time.
    #[serde(default = "cache_mib")]
    pub cache_mib: usize,
}

/// `[model]`: an [`Architecture`] but for the number of classes, which the data set tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Height and width in pixels.
    pub image_size: [usize; 2],
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// Width of a token.
    pub dim: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Number of heads.
    pub heads: usize,
    /// Width of the MLP's hidden layer, as a multiple of `dim`.
    #[serde(default = "mlp_ratio")]
    pub mlp_ratio: usize,
    /// The attention mechanism.
    pub mechanism: Mechanism,
}

/// `[train]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Train {
    /// Pretrained weights (safetensors, timm's names); `--init` overrides. Without, training starts from noise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,
    /// Passes over the training photos.
    pub epochs: usize,
    /// Photos per optimizer step.
    pub batch: usize,
    /// Photos per forward and backward pass; their gradients are summed over a batch. 0: 8 on the CPU, `batch` on GPUs.
    /// PWCA pairs photos within one such part.
    #[serde(default)]
    pub micro_batch: usize,
    /// Single-threaded workers on the CPU; 0: one per core. Does not change the result.
    #[serde(default)]
    pub workers: usize,
    /// Learning rate of the body after warm-up.
    pub lr: f64,
    /// The classifiers' rate is this many times `lr`.
    #[serde(default = "head_lr_factor")]
    pub head_lr_factor: f64,
    /// The rate of block `i` is multiplied by `layer_decay^(depth - 1 - i)`; 1: all alike.
    #[serde(default = "one")]
    pub layer_decay: f64,
    /// Rate at the end of the cosine.
    #[serde(default)]
    pub min_lr: f64,
    /// Epochs of linear warm-up, fractions allowed.
    #[serde(default)]
    pub warmup_epochs: f64,
    /// AdamW's decoupled weight decay; not applied to biases, norms, embeddings and the loss's `w_k`.
    #[serde(default = "weight_decay")]
    pub weight_decay: f64,
    /// Global norm to which gradients are cut; 0: never.
    #[serde(default = "one")]
    pub clip_norm: f64,
    /// Share of the label spread evenly over all classes.
    #[serde(default)]
    pub label_smoothing: f32,
    /// Decay of the exponential moving average of the weights, such as 0.999; the average is what is measured and kept.
    /// 0: the last step's weights are.
    #[serde(default)]
    pub ema: f64,
    /// The embedding and the first so many blocks keep their pretrained weights; 0: everything is trained.
    #[serde(default)]
    pub freeze: usize,
    /// Ends training when the held-out photos were not named better for so many epochs; 0: never.
    #[serde(default)]
    pub early_stopping: usize,
    /// Which weights the run ends with: "last", or "best" on the held-out photos.
    #[serde(default)]
    pub result: Choice,
    /// Checkpoints of so many last epochs are kept; 1: only where the run stands.
    #[serde(default = "keep")]
    pub keep: usize,
    /// Minutes between checkpoints inside an epoch; each epoch ends with one anyway.
    #[serde(default = "checkpoint_minutes")]
    pub checkpoint_minutes: f64,
    /// Seed of everything random: order, augmentation, pairs, weights that are not pretrained.
    #[serde(default)]
    pub seed: u64,
}

/// The choices of `train.result`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// Those after the last step.
    #[default]
    Last,
    /// Those that named the held-out photos best.
    Best,
}

/// `[augment]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augment {
    /// Share of the photo's area that a random crop covers, smallest and largest.
    pub crop_scale: [f64; 2],
    /// Width over height of a random crop, smallest and largest; relative to the photo's own shape where `pixels.fit` is
    /// "stretch".
    pub crop_aspect: [f64; 2],
    /// Probability of a horizontal flip.
    pub flip: f64,
    /// Brightness is multiplied by up to `1 +- brightness`.
    pub brightness: f32,
    /// Contrast likewise, around the photo's mean grey.
    pub contrast: f32,
    /// Saturation likewise, around each pixel's grey.
    pub saturation: f32,
    /// Random operations on each photo: "none", "trivial" (TrivialAugment) or "rand" (RandAugment).
    pub policy: Policy,
    /// RandAugment's number of operations.
    pub rand_operations: usize,
    /// RandAugment's magnitude, 0 to 30.
    pub rand_magnitude: u32,
    /// Probability that a random box is erased.
    pub erase: f64,
    /// Mixup's alpha: shares are drawn from Beta(alpha, alpha); 0: off. PWCA's stream trains on the mixed label, too.
    pub mixup: f64,
    /// Cutmix's alpha; 0: off. Where mixup is on as well, each photo gets one or the other.
    pub cutmix: f64,
    /// Probability that a photo is mixed at all.
    pub mix_probability: f64,
}

/// The choices of `augment.policy`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// No operation.
    #[default]
    None,
    /// TrivialAugment: one operation of random magnitude.
    Trivial,
    /// RandAugment: `rand_operations` of magnitude `rand_magnitude`.
    Rand,
}

impl Default for Augment {
    fn default() -> Self {
        Self {
            crop_scale: [0.4, 1.0],
            crop_aspect: [0.75, 4.0 / 3.0],
            flip: 0.5,
            brightness: 0.0,
            contrast: 0.0,
            saturation: 0.0,
            policy: Policy::None,
            rand_operations: 2,
            rand_magnitude: 9,
            erase: 0.0,
            mixup: 0.0,
            cutmix: 0.0,
            mix_probability: 1.0,
        }
    }
}

/// `[pixels]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pixels {
    /// Mean of each channel, of values in 0..1.
    pub mean: [f32; 3],
    /// Standard deviation of each channel.
    pub std: [f32; 3],
    /// Short side to which photos are resized at inference, before the centre crop; 0: the crop's short side.
    pub resize: usize,
    /// "crop": photos of another shape than the network's are cut; "stretch": they are stretched.
    pub fit: Fit,
}

impl Default for Pixels {
    fn default() -> Self {
        Self { mean: [0.5; 3], std: [0.5; 3], resize: 0, fit: Fit::Crop }
    }
}

fn cache_mib() -> usize {
    2048
}

fn mlp_ratio() -> usize {
    4
}

fn head_lr_factor() -> f64 {
    10.0
}

fn weight_decay() -> f64 {
    0.05
}

fn one() -> f64 {
    1.0
}

fn keep() -> usize {
    1
}

fn checkpoint_minutes() -> f64 {
    5.0
}

/// A recipe that cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not TOML, an unknown key, a wrong type: the parser's words name line and key.
    #[error("the recipe cannot be read: {0}")]
    Syntax(#[from] toml::de::Error),
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
        let mut config: Self = toml::from_str(text)?;
        if config.pixels.resize == 0 {
            config.pixels.resize = config.model.image_size[0].min(config.model.image_size[1]);
        }
        config.check()?;
        Ok(config)
    }

    /// The network for a data set with `classes` classes.
    pub fn architecture(&self, classes: usize) -> Architecture {
        Architecture {
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

    fn check(&self) -> Result<(), ConfigError> {
        let (train, augment, pixels) = (&self.train, &self.augment, &self.pixels);
        let range = |[low, high]: [f64; 2], most: f64| low > 0.0 && low <= high && high <= most;
        let shares = [augment.brightness, augment.contrast, augment.saturation];
        let id_ok = !self.id.is_empty()
            && self.id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_');
        // Written so that NaN fails every check.
        let checks: [(bool, &'static str, String, &'static str); 32] = [
            (id_ok, "id", format!("\"{}\"", self.id), "made of lower-case letters, digits, - and _"),
            ((1..=100_000).contains(&train.epochs), "train.epochs", train.epochs.to_string(), "from 1 to 100000"),
            ((1..=65_536).contains(&train.batch), "train.batch", train.batch.to_string(), "from 1 to 65536"),
            (
                (0.0..=0.9).contains(&self.data.held_out),
                "data.held_out",
                self.data.held_out.to_string(),
                "from 0 to 0.9",
            ),
            (
                train.early_stopping == 0 || self.data.held_out > 0.0,
                "train.early_stopping",
                train.early_stopping.to_string(),
                "0 without held-out photos (data.held_out)",
            ),
            (
                train.result == Choice::Last || self.data.held_out > 0.0,
                "train.result",
                "\"best\"".into(),
                "\"last\" without held-out photos (data.held_out)",
            ),
            ((1..=10_000).contains(&train.keep), "train.keep", train.keep.to_string(), "from 1 to 10000"),
            (
                train.micro_batch <= train.batch,
                "train.micro_batch",
                train.micro_batch.to_string(),
                "at most train.batch",
            ),
            (train.workers <= 1024, "train.workers", train.workers.to_string(), "at most 1024"),
            (train.lr > 0.0 && train.lr <= 1.0, "train.lr", train.lr.to_string(), "above 0 and at most 1"),
            (
                train.min_lr >= 0.0 && train.min_lr <= train.lr,
                "train.min_lr",
                train.min_lr.to_string(),
                "from 0 to train.lr",
            ),
            (
                train.head_lr_factor > 0.0 && train.head_lr_factor <= 1e4,
                "train.head_lr_factor",
                train.head_lr_factor.to_string(),
                "above 0 and at most 10000",
            ),
            (
                train.layer_decay > 0.0 && train.layer_decay <= 1.0,
                "train.layer_decay",
                train.layer_decay.to_string(),
                "above 0 and at most 1",
            ),
            (
                train.warmup_epochs >= 0.0 && train.warmup_epochs <= train.epochs as f64,
                "train.warmup_epochs",
                train.warmup_epochs.to_string(),
                "from 0 to train.epochs",
            ),
            (
                train.weight_decay >= 0.0 && train.weight_decay <= 10.0,
                "train.weight_decay",
                train.weight_decay.to_string(),
                "from 0 to 10",
            ),
            (train.clip_norm >= 0.0, "train.clip_norm", train.clip_norm.to_string(), "0 or more"),
            (
                train.label_smoothing >= 0.0 && train.label_smoothing < 1.0,
                "train.label_smoothing",
                train.label_smoothing.to_string(),
                "at least 0 and below 1",
            ),
            ((0.0..1.0).contains(&train.ema), "train.ema", train.ema.to_string(), "at least 0 and below 1"),
            (train.freeze <= self.model.depth, "train.freeze", train.freeze.to_string(), "at most model.depth"),
            (
                train.checkpoint_minutes > 0.0,
                "train.checkpoint_minutes",
                train.checkpoint_minutes.to_string(),
                "above 0",
            ),
            (
                range(augment.crop_scale, 1.0),
                "augment.crop_scale",
                format!("{:?}", augment.crop_scale),
                "two rising values above 0 and at most 1",
            ),
            (
                range(augment.crop_aspect, 10.0),
                "augment.crop_aspect",
                format!("{:?}", augment.crop_aspect),
                "two rising values above 0 and at most 10",
            ),
            ((0.0..=1.0).contains(&augment.flip), "augment.flip", augment.flip.to_string(), "from 0 to 1"),
            (
                shares.iter().all(|s| (0.0..=1.0).contains(s)),
                "augment brightness, contrast or saturation",
                format!("{shares:?}"),
                "from 0 to 1 each",
            ),
            (
                augment.rand_operations <= 20,
                "augment.rand_operations",
                augment.rand_operations.to_string(),
                "at most 20",
            ),
            (
                augment.rand_magnitude <= STRONGEST,
                "augment.rand_magnitude",
                augment.rand_magnitude.to_string(),
                "at most 30",
            ),
            ((0.0..=1.0).contains(&augment.erase), "augment.erase", augment.erase.to_string(), "from 0 to 1"),
            ((0.0..=100.0).contains(&augment.mixup), "augment.mixup", augment.mixup.to_string(), "from 0 to 100"),
            ((0.0..=100.0).contains(&augment.cutmix), "augment.cutmix", augment.cutmix.to_string(), "from 0 to 100"),
            (
                (0.0..=1.0).contains(&augment.mix_probability),
                "augment.mix_probability",
                augment.mix_probability.to_string(),
                "from 0 to 1",
            ),
            (
                pixels.std.iter().all(|s| *s > 0.0 && s.is_finite()) && pixels.mean.iter().all(|m| m.is_finite()),
                "pixels.mean or pixels.std",
                format!("{:?}, {:?}", pixels.mean, pixels.std),
                "finite, and the deviations above 0",
            ),
            (
                pixels.resize >= self.model.image_size[0].min(self.model.image_size[1]) && pixels.resize <= 65_536,
                "pixels.resize",
                pixels.resize.to_string(),
                "at least the short side of model.image_size",
            ),
        ];
        for (fine, key, value, must) in checks {
            if !fine {
                return Err(ConfigError::Value { key, value, must });
            }
        }
        Ok(self.architecture(2).check()?)
    }
}

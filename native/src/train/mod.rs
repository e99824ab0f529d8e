//! `finegrain train`: fine-tunes a network on a data set after a recipe.

mod adamw;
mod arguments;
mod augment;
mod checkpoint;
mod config;
mod csv_log;
mod device;
mod ema;
mod epochs;
mod gradients;
mod identities;
mod loader;
mod log;
mod measure;
mod memory;
mod noise;
mod optimizer;
mod out_of_memory;
mod outcome;
mod parameters;
mod rates;
mod recipes;
mod record;
mod sampler;
mod schedule;
mod session;
mod sgd;
mod start;
mod teachers;
mod twin;
mod walk;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub use arguments::Arguments;
pub use config::{
    Augment, Backbone, Choice, Config, ConfigError, Data, FeatureChoice, Model, OptimizerKind, Pixels, Policy,
    PrecisionChoice, Reid, Teachers, Train,
};
pub use device::DeviceChoice;
pub use recipes::{RECIPES, recipe};
pub use record::{Best, Ingredient, RunRecord, TestAccuracy, Training};
pub use schedule::Schedule;
pub use session::train;
pub use teachers::Teacher;

/// What a training run is told beside its recipe.
#[derive(Debug, Clone)]
pub struct TrainOptions {
    /// The recipe (TOML), or the name of one that comes with the program ([`RECIPES`]).
    pub config: PathBuf,
    /// `TABLE.KEY=VALUE` that override the recipe, later ones last.
    pub set: Vec<String>,
    /// Folder of the data set, in its official layout.
    pub data: PathBuf,
    /// Folder for the result: model.safetensors, run.json, config.toml, log.jsonl, checkpoint/.
    pub out: PathBuf,
    /// Continue where the run in `out` stopped.
    pub resume: bool,
    /// Where to compute; auto takes a GPU that this build supports, else the CPU.
    pub device: DeviceChoice,
    /// Numbers of the CUDA devices to share each batch; empty: the first one alone.
    pub devices: Vec<usize>,
    /// Pretrained weights; overrides the recipe's `train.init`.
    pub init: Option<PathBuf>,
    /// Raised from outside (Ctrl-C) to save a checkpoint and stop.
    pub stop: Arc<AtomicBool>,
}

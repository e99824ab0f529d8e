//! `finegrain train`: fine-tunes a network on a data set after a recipe.

mod adamw;
mod augment;
mod checkpoint;
mod config;
mod device;
mod ema;
mod epochs;
mod gradients;
mod loader;
mod log;
mod measure;
mod memory;
mod noise;
mod rates;
mod record;
mod schedule;
mod session;
mod start;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub use config::{Config, ConfigError};
pub use device::DeviceChoice;
pub use record::{Best, RunRecord, TestAccuracy, Training};
pub use schedule::Schedule;
pub use session::train;

/// What `finegrain train` is told on the command line.
#[derive(Debug, Clone, clap::Args)]
pub struct TrainOptions {
    /// The recipe (TOML); recipes/ has those of the bundles we ship
    #[arg(value_name = "CONFIG.toml")]
    pub config: PathBuf,
    /// Folder of the data set, in its official layout
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Folder for the result: model.safetensors, run.json, config.toml, log.jsonl, checkpoint/
    #[arg(long, value_name = "RUN")]
    pub out: PathBuf,
    /// Continue where the run in --out stopped
    #[arg(long)]
    pub resume: bool,
    /// Where to compute; auto takes a GPU that this build supports, else the CPU
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    pub device: DeviceChoice,
    /// Pretrained weights (safetensors, timm's names); overrides the recipe's train.init
    #[arg(long, value_name = "FILE")]
    pub init: Option<PathBuf>,
    /// Raised from outside (Ctrl-C) to save a checkpoint and stop
    #[arg(skip)]
    pub stop: Arc<AtomicBool>,
}

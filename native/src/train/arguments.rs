//! What a run was told on the command line, so that `--resume` needs nothing but the run's folder.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::config::Config;
use super::{DeviceChoice, TrainOptions, checkpoint};

/// `arguments.json` of a run; the recipe lies beside it as `config.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arguments {
    /// Folder of the data set, absolute.
    pub data: PathBuf,
    /// Where to compute.
    pub device: DeviceChoice,
    /// The CUDA devices that share each batch; empty: the first one alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<usize>,
    /// The recipe's teachers, absolute.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub teachers: Vec<PathBuf>,
}

impl Arguments {
    /// Reads those of the run in `run`.
    ///
    /// # Errors
    /// When there is no run.
    pub fn read(run: &Path) -> Result<Self> {
        let path = run.join("arguments.json");
        let text =
            std::fs::read(&path).with_context(|| format!("there is no run to resume in \"{}\"", run.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("\"{}\" is damaged", path.display()))
    }

    /// Writes those of a new run.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(super) fn write(options: &TrainOptions, config: &Config) -> Result<()> {
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let teachers = config.teachers.iter().flat_map(|teachers| &teachers.runs).map(absolute).collect();
        let (data, device, devices) = (absolute(&options.data), options.device, options.devices.clone());
        let arguments = Self { data, device, devices, teachers };
        checkpoint::replace(&options.out.join("arguments.json"), &serde_json::to_vec_pretty(&arguments)?)
    }
}

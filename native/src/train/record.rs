//! `run.json`: what a finished run was made of, for `export` and for anyone who wants to repeat it.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, ensure};
use finegrain::architecture::Architecture;
use finegrain::bundle::{FileEntry, Level};
use finegrain::photo::Preprocessing;
use finegrain::tensors::TensorMap;
use serde::{Deserialize, Serialize};

use super::config::Config;
use super::teachers::Teacher;
use crate::data::Task;
use crate::measure::Ranking;

/// The content of `run.json`; the weights lie beside it in `model.safetensors` (f32, timm's names).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunRecord {
    /// Version of this file.
    pub format: u32,
    /// Short name: the bundle's id.
    pub id: String,
    /// Name for people.
    pub title: String,
    /// The network.
    pub architecture: Architecture,
    /// How a photo becomes its input.
    pub preprocessing: Preprocessing,
    /// Names of the classes.
    pub labels: Vec<String>,
    /// Coarser names for the classes: what the recipe names, or the data set's own tree (NABirds).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hierarchy: Vec<Level>,
    /// How the weights came about.
    pub training: Training,
}

/// Provenance.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Training {
    /// Version of the program.
    pub finegrain: String,
    /// Where it computed ("cpu", "cuda", "wgpu").
    pub device: String,
    /// Training photos.
    pub train_photos: usize,
    /// Test photos, which training never saw.
    pub test_photos: usize,
    /// Photos that could not be decoded and were left out.
    #[serde(default)]
    pub skipped_photos: usize,
    /// Training photos that were held out: measured after each epoch, never trained on.
    #[serde(default)]
    pub held_out_photos: usize,
    /// The epoch whose weights named the held-out photos best; `best/` in the run's folder has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<Best>,
    /// SHA-256 of the pretrained weights, if there were any.
    pub init_sha256: Option<String>,
    /// Their file name.
    pub init_file: Option<String>,
    /// The run that made them, if it was one of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_run: Option<Box<Training>>,
    /// The trained networks that it learned from, where it did (`[teachers]`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub teachers: Vec<Teacher>,
    /// Where the weights are a mean: the runs that were considered, the best by itself first, which this record is otherwise about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub averaged: Vec<Ingredient>,
    /// Epochs trained.
    pub epochs: usize,
    /// Optimizer steps.
    pub steps: usize,
    /// Seconds of training, pauses left out.
    pub seconds: f64,
    /// Mean loss over the last epoch.
    pub final_train_loss: f64,
    /// Share of the augmented photos of the last epoch that were named rightly, before each update.
    pub final_train_accuracy: f64,
    /// Top-1 on the test photos after the last epoch through the trainer's network; informative, nothing is chosen by it.
    pub test_top1: Option<TestAccuracy>,
    /// The ranking of the test photos by re-identification, by the features of SA and GLCA together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_ranking: Option<Ranking>,
    /// The whole recipe, without the folders of the pretrained weights and of the teachers.
    pub recipe: Config,
}

/// A run whose weights may be in an average (`finegrain average`).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ingredient {
    /// The last part of its folder.
    pub run: String,
    /// SHA-256 of its weights.
    pub sha256: String,
    /// Share of the held-out photos that it names rightly by itself.
    pub held_out_top1: f64,
    /// Whether its weights are in the mean.
    pub kept: bool,
    /// How they came about.
    pub training: Box<Training>,
}

/// What an epoch's weights made of the held-out photos.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// The epoch, from 1.
    pub epoch: usize,
    /// Optimizer steps by then.
    pub step: usize,
    /// Share that was named rightly.
    pub top1: f64,
    /// Mean negative log-likelihood of the right class.
    pub loss: f64,
}

impl Best {
    /// More photos are named rightly, or as many with a lower loss.
    pub(super) fn beats(&self, former: &Self) -> bool {
        self.top1 > former.top1 || self.top1 == former.top1 && self.loss < former.loss
    }
}

/// Top-1 of both branches and of the answer.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct TestAccuracy {
    /// Mean of both branches' probabilities.
    pub answer: f64,
    /// SA alone.
    pub sa: f64,
    /// GLCA alone, where the network has it.
    pub glca: Option<f64>,
}

impl RunRecord {
    /// Reads `run.json` of a finished run.
    ///
    /// # Errors
    /// When the run has not finished or the file is damaged.
    pub fn read(run: &Path) -> Result<Self> {
        let path = run.join("run.json");
        let text = std::fs::read(&path)
            .with_context(|| format!("\"{}\" is missing; has this training run finished?", path.display()))?;
        let record: Self =
            serde_json::from_slice(&text).with_context(|| format!("\"{}\" is damaged", path.display()))?;
        record.check().with_context(|| format!("\"{}\" contradicts itself", path.display()))?;
        Ok(record)
    }

    /// The data set in `data` as the run saw it: without the photos that it left out, and with as many held out, or `share` of them.
    ///
    /// # Errors
    /// Another data set than the run's.
    pub fn data_set(&self, data: &Path, share: Option<f64>) -> Result<Task> {
        let recipe = &self.training.recipe;
        let mut task = Task::open(recipe.data.kind, data)?;
        ensure!(
            task.labels() == self.labels,
            "the data set has other classes or identities than the run: give the one that it was trained on"
        );
        // As the trainer did, so that the same photos are held out and places in the lists are those of the run.
        if recipe.data.skip_broken {
            task.without_broken(&AtomicBool::new(false), &|| ());
        }
        task.hold_out(share.unwrap_or(recipe.data.held_out), recipe.train.seed);
        Ok(task)
    }

    /// What a file written by hand could get wrong, and nothing else would name.
    fn check(&self) -> Result<()> {
        ensure!(self.format == 1, "its format is {}, this program reads 1", self.format);
        self.architecture.check()?;
        let share = self.training.recipe.data.held_out;
        ensure!((0.0..=0.9).contains(&share), "data.held_out is {share}, it must be from 0 to 0.9");
        self.preprocessing.check()?;
        let ([height, width], [h, w]) = (self.architecture.input_size(), self.preprocessing.crop);
        ensure!([height, width] == [h, w], "the crop is {h} x {w} pixels, the network takes {height} x {width}");
        Ok(())
    }

    /// The weights of a finished run, and their SHA-256.
    ///
    /// # Errors
    /// When the file is missing or damaged.
    pub fn weights(run: &Path) -> Result<(TensorMap, String)> {
        let path = run.join("model.safetensors");
        let bytes = std::fs::read(&path).with_context(|| format!("\"{}\" cannot be read", path.display()))?;
        let weights = TensorMap::read(&bytes).with_context(|| format!("\"{}\" cannot be used", path.display()))?;
        Ok((weights, FileEntry::of("", &bytes).sha256))
    }
}

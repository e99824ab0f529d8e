//! The most confused pairs, and photos of them where the data set is at hand.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use burn::tensor::Device;
use finegrain::model::Network;
use finegrain::photo::Preprocessing;
use finegrain::tensors::TensorMap;

use super::picture;
use crate::data::{Dataset, Sample, Task};
use crate::measure::{Measured, Measures, Pass, Rerank, Views, of_task};
use crate::train::{DeviceChoice, Reid, RunRecord};

/// Pairs that are shown with photos.
const PAIRS: usize = 10;

/// Photos for the page.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// In the order of [`Measured::confused`]; fewer than pairs.
    pub(super) pairs: Vec<Pair>,
}

/// The photos of one pair.
#[derive(Debug)]
pub(super) struct Pair {
    /// A test photo that was misnamed.
    pub(super) misnamed: Look,
    /// A training photo of the class that it was taken for.
    pub(super) other: Option<Look>,
}

/// A photo as the network saw it, and where it looked.
#[derive(Debug)]
pub(super) struct Look {
    /// The address of the photo's data.
    pub(super) photo: String,
    /// The same with the rollout over it.
    pub(super) heat: String,
    /// Probability of the class that was named.
    pub(super) probability: f32,
}

/// A run's network, to look at photos with.
pub(super) struct Looker {
    network: Network,
    device: Device,
    workers: usize,
    preprocessing: Preprocessing,
    reid: Option<Reid>,
}

impl Looker {
    /// Loads the weights of a finished run.
    pub(super) fn open(run: &Path, record: &RunRecord) -> Result<Self> {
        let (device, name) = DeviceChoice::Auto.open()?;
        let path = run.join("model.safetensors");
        let bytes = fs::read(&path).with_context(|| format!("\"{}\" cannot be read", path.display()))?;
        let weights = TensorMap::read(&bytes).with_context(|| format!("\"{}\" cannot be used", path.display()))?;
        let reid = record.training.recipe.reid.clone();
        let network = Network::new(&record.architecture, &device);
        let network = if reid.is_some() { network.for_identities() } else { network }.load(&weights)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = if name == "cpu" { cores } else { 0 };
        let preprocessing = record.preprocessing.clone();
        Ok(Self { network, device, workers, preprocessing, reid })
    }

    /// Measures the held-out and the test photos, as the trainer does at the end of a run; `rerank` ranks again too.
    pub(super) fn measure(&self, task: &Task, rerank: Option<Rerank>) -> Result<Measures> {
        of_task(&self.pass(), task, self.reid.as_ref(), rerank)
    }

    /// Looks at the most confused pairs of the test photos.
    pub(super) fn look(&self, dataset: &Dataset, test: &Measured) -> Result<Shown> {
        ensure!(
            dataset.test.len() == test.photos + test.skipped.len(),
            "the data set has {} test photos, the run was measured on {}: give the data set that it was trained on",
            dataset.test.len(),
            test.photos + test.skipped.len()
        );
        let mut pairs = Vec::new();
        for confused in test.confused.iter().take(PAIRS) {
            let Some(sample) = confused.examples.first().and_then(|&place| dataset.test.get(place)) else { break };
            let misnamed = self.at(sample)?;
            let other = dataset.train.iter().find(|sample| sample.class == confused.named);
            pairs.push(Pair { misnamed, other: other.map(|sample| self.at(sample)).transpose()? });
        }
        Ok(Shown { pairs })
    }

    fn pass(&self) -> Pass<'_> {
        Pass {
            network: &self.network,
            device: &self.device,
            workers: self.workers,
            preprocessing: &self.preprocessing,
            views: Views::Single,
        }
    }

    fn at(&self, sample: &Sample) -> Result<Look> {
        let unusable = || format!("\"{}\" cannot be shown", sample.path.display());
        let cropped = self.preprocessing.crop(&sample.photo()?).with_context(unusable)?;
        let named = self.pass().answers(std::slice::from_ref(sample))?.pop();
        let answer = named.context("the network gave no answer")?.answer.map_err(|reason| anyhow!(reason))?;
        let grid = self.network.architecture().grid();
        let heat = picture::heat(&cropped, &answer.rollout_over_photo(grid), grid)?;
        let probability = answer.probability.iter().copied().fold(0.0, f32::max);
        let photo = picture::address(&picture::image(&cropped)?)?;
        Ok(Look { photo, heat: picture::address(&heat)?, probability })
    }
}

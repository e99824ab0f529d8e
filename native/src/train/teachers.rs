//! Knowledge distillation: trained networks whose answers are part of the target (Hinton, Vinyals and Dean, "Distilling the
//! knowledge in a neural network", 2015).
//!
//! Teachers and student see the same view of each photo, augmented and mixed (Beyer et al., "Knowledge distillation: a good teacher is
//! patient and consistent", CVPR 2022). Their answer is a soft label like those of mixup, so every branch and every mechanism learns
//! from it as from a label.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use burn::tensor::Device;
use finegrain::architecture::Architecture;
use finegrain::bundle::{Bundle, MANIFEST, WEIGHTS};
use finegrain::cpu::Cpu;
use finegrain::model::Network;
use finegrain::photo::Preprocessing;
use finegrain::tensors::TensorMap;
use serde::{Deserialize, Serialize};

use super::config::Config;
use super::record::{RunRecord, Training};
use super::start::preprocessing;
use crate::store;

/// A teacher in the record of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Teacher {
    /// The last part of its path.
    pub run: String,
    /// SHA-256 of its weights.
    pub sha256: String,
}

/// The teachers of a run, ready to answer.
pub(super) struct Staff {
    teachers: Vec<Teacher>,
    answering: Vec<Answering>,
    classes: usize,
    share: f32,
    temperature: f32,
    /// Sentences on what their past may do to the run's measures.
    warnings: Vec<String>,
}

/// How a teacher computes.
enum Answering {
    /// One photo after the other, on the thread that asks: there much faster than a tensor library.
    Cpu(Box<Cpu>),
    /// On each of the run's devices.
    Burn(Vec<(Device, Network)>),
}

/// A teacher as it lies on the disk.
struct Found {
    teacher: Teacher,
    architecture: Architecture,
    preprocessing: Preprocessing,
    labels: Vec<String>,
    weights: TensorMap,
    training: Option<Training>,
}

impl Staff {
    /// Opens the recipe's teachers for a student of the classes `labels`, if it names any: on the CPU path where `devices` are
    /// the CPU, else on each of the devices.
    ///
    /// # Errors
    /// Names the first teacher that cannot be opened, or that has other classes, another input size or other pixels.
    pub(super) fn open(config: &Config, labels: &[String], devices: &[Device], on_cpu: bool) -> Result<Option<Self>> {
        let Some(settings) = &config.teachers else { return Ok(None) };
        let (share, temperature) = (settings.share as f32, settings.temperature as f32);
        let (teachers, answering, warnings) = (Vec::new(), Vec::new(), Vec::new());
        let mut staff = Self { teachers, answering, classes: labels.len(), share, temperature, warnings };
        for path in &settings.runs {
            let cannot = || format!("the teacher \"{}\" cannot be used", path.display());
            let found = Found::read(path).with_context(cannot)?;
            found.check(config, labels).with_context(cannot)?;
            if !found.held_out_the_same(config) {
                staff.warnings.push(format!(
                    "the teacher {} was not trained with the same data.kind, data.held_out and train.seed: it may have seen photos \
                     that this run holds out, and measures of those may come out too good",
                    found.teacher.run
                ));
            }
            staff.answering.push(Answering::load(&found, devices, on_cpu).with_context(cannot)?);
            staff.teachers.push(found.teacher);
        }
        Ok(Some(staff))
    }

    /// The teachers, for the record.
    pub(super) fn teachers(&self) -> &[Teacher] {
        &self.teachers
    }

    /// What the log says of them.
    pub(super) fn lines(&self) -> Vec<String> {
        let names: Vec<&str> = self.teachers.iter().map(|teacher| teacher.run.as_str()).collect();
        let taught = format!("{:.0} % of the target from the teachers {}", 100.0 * self.share, names.join(", "));
        std::iter::once(taught).chain(self.warnings.iter().cloned()).collect()
    }

    /// Whether these are the teachers that a run `began_with`.
    ///
    /// # Errors
    /// Names the first one that is not.
    pub(super) fn check_same(&self, began_with: &[Teacher]) -> Result<()> {
        let (own, former) = (self.teachers.len(), began_with.len());
        ensure!(own == former, "the recipe names {own} teachers and the run began with {former}: name the same ones");
        for (own, former) in self.teachers.iter().zip(began_with) {
            ensure!(
                own.sha256 == former.sha256,
                "the teacher {} is not the one that the run began with, {}: its weights have the SHA-256 {} and had {}; put the \
                 former one back, or start a new run",
                own.run,
                former.run,
                own.sha256,
                former.sha256
            );
        }
        Ok(())
    }

    /// Mixes the labels' `shares` `[B, classes]` with the teachers' mean answer to `images` `[B, 3, H, W]`; they compute on the
    /// `place`-th of the run's devices.
    ///
    /// # Errors
    /// When a teacher's answer is no number.
    pub(super) fn teach(&self, images: &[f32], place: usize, shares: &mut [f32]) -> Result<()> {
        shares.iter_mut().for_each(|share| *share *= 1.0 - self.share);
        let weight = self.share / self.answering.len() as f32;
        for (answering, Teacher { run, .. }) in self.answering.iter().zip(&self.teachers) {
            let answers = answering.answers(images, place).with_context(|| format!("the teacher {run}"))?;
            // A device says nothing of it by itself.
            let fine = answers.iter().all(|p| p.is_finite());
            ensure!(fine, "the teacher {run} answers with what is no number: its weights are damaged, leave it out");
            let softened = answers.chunks_exact(self.classes).flat_map(|answer| softened(answer, self.temperature));
            shares.iter_mut().zip(softened).for_each(|(share, p)| *share += weight * p);
        }
        Ok(())
    }
}

impl Answering {
    fn load(found: &Found, devices: &[Device], on_cpu: bool) -> Result<Self> {
        let Found { architecture, weights, .. } = found;
        if on_cpu {
            return Ok(Self::Cpu(Box::new(Cpu::load(architecture, weights)?)));
        }
        let on = |device: &Device| Ok((device.clone(), Network::new(architecture, device).load(weights)?));
        Ok(Self::Burn(devices.iter().map(on).collect::<Result<_>>()?))
    }

    /// Probabilities `[B, classes]` of `images` `[B, 3, H, W]`.
    fn answers(&self, images: &[f32], place: usize) -> Result<Vec<f32>> {
        match self {
            Self::Cpu(cpu) => {
                let [height, width] = cpu.architecture().input_size();
                let photos = images.chunks_exact(3 * height * width);
                let answers = photos.map(|photo| Ok(cpu.classify(photo)?.probability)).collect::<Result<Vec<_>>>()?;
                Ok(answers.concat())
            }
            Self::Burn(places) => {
                let (device, network) = places.get(place).context("it is not on this device")?;
                let probability = network.forward(network.images(images, device)).probability();
                Ok(probability.into_data().iter::<f32>().collect())
            }
        }
    }
}

impl Found {
    /// Of a run's folder or of a bundle.
    fn read(path: &Path) -> Result<Self> {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        if path.is_file() || path.join(MANIFEST).is_file() {
            let Bundle { manifest, weights, .. } = store::open(path)?;
            let sha256 = manifest.file(WEIGHTS)?.sha256.clone();
            return Ok(Self {
                teacher: Teacher { run: name, sha256 },
                architecture: manifest.architecture,
                preprocessing: manifest.preprocessing,
                labels: manifest.labels,
                weights,
                training: serde_json::from_value(manifest.training).ok(),
            });
        }
        let RunRecord { architecture, preprocessing, labels, training, .. } = RunRecord::read(path)?;
        let (weights, sha256) = RunRecord::weights(path)?;
        let teacher = Teacher { run: name, sha256 };
        Ok(Self { teacher, architecture, preprocessing, labels, weights, training: Some(training) })
    }

    /// Whether it answers what the student is asked, about the same numbers.
    fn check(&self, config: &Config, labels: &[String]) -> Result<()> {
        let same = self.labels == labels && self.architecture.classes == labels.len();
        ensure!(same, "its classes are not those of the data set, in the same order");
        let ([own_height, own_width], [height, width]) = (self.architecture.input_size(), config.input_size());
        ensure!(
            [own_height, own_width] == [height, width],
            "it sees photos of {own_height} x {own_width} pixels, and the recipe's are of {height} x {width}"
        );
        let (own, pixels) = (&self.preprocessing, preprocessing(config));
        ensure!(
            own.mean == pixels.mean && own.std == pixels.std,
            "its pixels.mean and pixels.std are {:?} and {:?}, and the recipe's {:?} and {:?}",
            own.mean,
            own.std,
            pixels.mean,
            pixels.std
        );
        Ok(())
    }

    /// Whether it is known not to have seen what the student holds out, nor the runs that it began with.
    fn held_out_the_same(&self, config: &Config) -> bool {
        let of = |config: &Config| (config.data.kind, config.data.held_out, config.train.seed);
        let mut runs = std::iter::successors(self.training.as_ref(), |training| training.init_run.as_deref());
        let known = self.training.is_some() && runs.all(|training| of(&training.recipe) == of(config));
        known || config.data.held_out == 0.0
    }
}

/// The probabilities of one photo, their logits divided by `temperature`.
fn softened(probability: &[f32], temperature: f32) -> Vec<f32> {
    if temperature == 1.0 {
        return probability.to_vec();
    }
    let logits: Vec<f32> = probability.iter().map(|p| p.ln() / temperature).collect();
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|logit| (logit - highest).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

#[cfg(test)]
mod tests;

//! Where a run stands, in one file that is replaced at once: weights, their average, optimizer, position.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::Device;
use finegrain::bundle::FileEntry;
use finegrain::model::Network;
use finegrain::tensors::{Precision, TensorMap};
use serde::{Deserialize, Serialize};

use super::config::Train;
use super::log::EpochLine;
use super::optimizer::Optimizer;
use super::outcome::Outcome;
use super::record::{Best, Training};
use super::teachers::Teacher;
use crate::data::Task;

/// Raised whenever an older program could misread a checkpoint.
const FORMAT: u32 = 1;
const FILE: &str = "state.safetensors";
const BEST: &str = "best";

/// How far a run has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Position {
    /// The epoch that runs, from 0: as many are done.
    pub epoch: usize,
    /// Batches of it that are done.
    pub batch: usize,
    /// Optimizer steps of the whole run that are done.
    pub step: usize,
    /// Seconds of training so far.
    pub seconds: f64,
    /// Sums over the photos of the running epoch.
    #[serde(with = "sums")]
    pub epoch_sums: Outcome,
    /// The last epoch that is done.
    #[serde(default)]
    pub last: Option<EpochLine>,
    /// What was best on the held-out photos so far.
    #[serde(default)]
    pub best: Option<Best>,
}

impl Position {
    /// Refuses a place that a run of so many `epochs` of so many `batches` does not have.
    pub(super) fn check(&self, epochs: usize, batches: usize) -> Result<()> {
        let sums = self.epoch_sums;
        let fine = self.epoch <= epochs
            && self.batch <= batches
            && self.step <= epochs.saturating_mul(batches)
            && sums.correct <= sums.count
            && sums.count < usize::MAX / 2;
        ensure!(
            fine,
            "the checkpoint stands at step {} of {} x {batches}: it is damaged, or the data set is another one than when this run began",
            self.step,
            epochs
        );
        Ok(())
    }
}

/// [`Outcome`] in a file.
mod sums {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Outcome;

    pub(super) fn serialize<S: Serializer>(o: &Outcome, serializer: S) -> Result<S::Ok, S::Error> {
        (o.loss, o.parts, o.correct, o.count).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Outcome, D::Error> {
        let (loss, parts, correct, count) = Deserialize::deserialize(deserializer)?;
        Ok(Outcome { loss, parts, correct, count })
    }
}

/// The checkpoint file of a run.
pub(super) fn path(run: &Path) -> PathBuf {
    run.join("checkpoint").join(FILE)
}

/// Pretrained weights that a run began with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Init {
    /// Their file name.
    pub name: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// The run that made them, where its record lies beside them.
    pub run: Option<Box<Training>>,
}

/// What a run learns from: another data set would be another run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Source {
    /// Training photos.
    pub photos: usize,
    /// SHA-256 of the names of the classes or identities, in order.
    pub labels: String,
}

impl Source {
    pub(super) fn of(task: &Task) -> Self {
        let names = task.labels().join("\n");
        Self { photos: task.train().len(), labels: FileEntry::of("", names.as_bytes()).sha256 }
    }
}

/// Saves a checkpoint; the former one stays until the new one is complete.
///
/// # Errors
/// When the disk refuses; what was saved before is untouched.
pub(super) fn save(
    run: &Path,
    network: &Network,
    optimizer: &Optimizer,
    average: Option<&Network>,
    position: &Position,
    began: (&Source, Option<&Init>, &[Teacher]),
) -> Result<()> {
    let (source, init, teachers) = began;
    let mut map = TensorMap::default();
    let average = average.map(Network::weights).unwrap_or_default();
    for (prefix, tensors) in [("model.", network.weights()), ("", optimizer.tensors()), ("ema.", average)] {
        for (name, tensor) in tensors.iter() {
            map.insert(format!("{prefix}{name}"), tensor.clone());
        }
    }
    map.metadata.insert("format".into(), FORMAT.to_string());
    map.metadata.insert("position".into(), serde_json::to_string(position)?);
    map.metadata.insert("source".into(), serde_json::to_string(source)?);
    map.metadata.insert("init".into(), serde_json::to_string(&init)?);
    map.metadata.insert("teachers".into(), serde_json::to_string(teachers)?);
    replace(&path(run), &map.write(Precision::F32)?)
}

/// What a checkpoint holds.
pub(super) struct Saved {
    /// The network with its weights.
    pub network: Network,
    /// The optimizer with its state.
    pub optimizer: Optimizer,
    /// The network with the average weights, where an average is kept.
    pub average: Option<Network>,
    /// How far the run has come.
    pub position: Position,
    /// What it learns from; older checkpoints do not tell.
    pub source: Option<Source>,
    /// What it began with.
    pub init: Option<Init>,
    /// Whom it learns from.
    pub teachers: Vec<Teacher>,
}

/// Loads the checkpoint of a run into `network`.
///
/// # Errors
/// When there is none, or it is of another version or network.
pub(super) fn load(run: &Path, train: &Train, network: Network, device: &Device) -> Result<Saved> {
    let path = path(run);
    let bytes = std::fs::read(&path)
        .with_context(|| format!("there is no checkpoint to resume from (\"{}\")", path.display()))?;
    let read = || -> Result<Saved> {
        let map = TensorMap::read(&bytes)?;
        match map.metadata.get("format").map(String::as_str) {
            Some(found) if found == FORMAT.to_string() => {}
            found => bail!("its format is {}, this program reads {FORMAT}", found.unwrap_or("unknown")),
        }
        let average = map.under("ema.");
        let average = (!average.is_empty()).then(|| network.clone().load(&average)).transpose()?;
        let text = |key: &str| map.metadata.get(key).map_or("", String::as_str);
        let steps = map.integers("adamw.steps").ok().and_then(|steps| steps.first());
        ensure!(
            steps.is_none_or(|&steps| (0..i32::MAX / 2).contains(&steps)),
            "its optimizer's count of steps is damaged"
        );
        let optimizer = Optimizer::restore(train, &map, &network, device)?;
        Ok(Saved {
            network: network.load(&map.under("model."))?,
            optimizer,
            average,
            position: serde_json::from_str(text("position"))?,
            source: map.metadata.get("source").map(|text| serde_json::from_str(text)).transpose()?,
            init: serde_json::from_str(text("init"))?,
            // Checkpoints of older programs had none.
            teachers: map.metadata.get("teachers").map_or_else(|| Ok(Vec::new()), |text| serde_json::from_str(text))?,
        })
    };
    read().with_context(|| format!("the checkpoint \"{}\" cannot be used", path.display()))
}

/// Keeps the weights that named the held-out photos best so far: `best/model.safetensors`, `best/best.json`.
///
/// # Errors
/// When the disk refuses.
pub(super) fn save_best(run: &Path, weights: &TensorMap, best: &Best) -> Result<()> {
    replace(&run.join(BEST).join("model.safetensors"), &weights.write(Precision::F32)?)?;
    replace(&run.join(BEST).join("best.json"), &serde_json::to_vec_pretty(best)?)
}

/// The best weights so far, in `network`.
///
/// # Errors
/// When they are missing or damaged.
pub(super) fn load_best(run: &Path, network: Network) -> Result<Network> {
    let path = run.join(BEST).join("model.safetensors");
    let read = || -> Result<Network> { Ok(network.load(&TensorMap::read(&std::fs::read(&path)?)?)?) };
    read().with_context(|| format!("the best weights \"{}\" cannot be used", path.display()))
}

/// Keeps the state after epoch `epoch` (from 1) as `epoch-<epoch>.safetensors`, and the states of the `count` last
/// epochs in all; 1 keeps only where the run stands.
///
/// # Errors
/// When the disk refuses.
pub(super) fn keep(run: &Path, epoch: usize, count: usize) -> Result<()> {
    let state = path(run);
    let of_epoch = |epoch: usize| state.with_file_name(format!("epoch-{epoch:04}.safetensors"));
    if count > 1 {
        let kept = of_epoch(epoch);
        let _ = std::fs::remove_file(&kept);
        // The state is replaced, never rewritten, so a second name for it is a copy that costs nothing.
        std::fs::hard_link(&state, &kept)
            .or_else(|_| std::fs::copy(&state, &kept).map(|_| ()))
            .with_context(|| format!("cannot write \"{}\"", kept.display()))?;
    }
    for old in 1..=epoch.saturating_sub(count) {
        let _ = std::fs::remove_file(of_epoch(old));
    }
    Ok(())
}

/// Writes a file so that it is either the old or the new one, whatever happens.
///
/// # Errors
/// When the disk refuses.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || -> Result<()> {
        let path = &crate::store::file_behind(path)?;
        let folder = path.parent().context("it has no folder")?;
        std::fs::create_dir_all(folder)?;
        let mut file = builder().tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write \"{}\"", path.display()))
}

/// Temporary files are private by default; what a run writes is as readable as any other file.
fn builder() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder
}

//! `measures.json`: what a finished run is worth.

use std::path::Path;

use anyhow::{Context, Result};
use finegrain::bundle::Calibration;
use serde::{Deserialize, Serialize};

use super::{Measured, Named, Pass, Rerank, Retrieval, Tally, calibrate, retrieve};
use crate::data::{Sample, Task};
use crate::train::{FeatureChoice, Reid};

/// Name of the file in the run's folder.
const FILE: &str = "measures.json";

/// The version of the file.
const FORMAT: u32 = 1;

/// The content of `measures.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measures {
    /// Version of this file.
    pub format: u32,
    /// Temperature and threshold, from the held-out photos alone; none without such photos.
    pub calibration: Option<Calibration>,
    /// The held-out training photos. The calibrated part is measured on the photos that it was fitted on.
    pub held_out: Option<Measured>,
    /// The test photos, which had no say in anything.
    pub test: Option<Measured>,
    /// The search of re-identification, in place of everything above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retrieval: Option<Retrieval>,
}

/// Measures a finished network on the data set that it was trained for; `reid` is its recipe's, `settings` re-ranks too.
///
/// # Errors
/// When the pass fails; photos that cannot be used are listed.
pub fn of_task(pass: &Pass<'_>, task: &Task, reid: Option<&Reid>, settings: Option<Rerank>) -> Result<Measures> {
    let dataset = match task {
        Task::Classes(dataset) => return of_run(pass, &dataset.held_out, &dataset.test),
        Task::Identities(dataset) => dataset,
    };
    let behind = reid.is_some_and(|reid| reid.feature == FeatureChoice::Behind);
    let there = !dataset.query.is_empty() && !dataset.gallery.is_empty();
    let search = || retrieve(pass, &dataset.query, &dataset.gallery, behind, settings);
    let retrieval = there.then(search).transpose()?;
    Ok(Measures { format: FORMAT, calibration: None, held_out: None, test: None, retrieval })
}

/// Measures a finished network: the calibration is fitted on the held-out photos, then both lists are measured with it.
///
/// # Errors
/// When the pass fails; photos that cannot be used are listed in [`Measured::skipped`].
pub fn of_run(pass: &Pass<'_>, held_out: &[Sample], test: &[Sample]) -> Result<Measures> {
    let classes = pass.network.architecture().classes;
    let named = pass.answers(held_out)?;
    let usable: Vec<_> = named.iter().filter_map(|n| n.answer.as_ref().ok().map(|answer| (answer, n.class))).collect();
    let calibration = calibrate(&usable);
    let measured = |named: &[Named]| {
        let mut tally = Tally::new(classes, calibration);
        for Named { place, class, answer } in named {
            match answer {
                Ok(answer) => tally.add(*place, answer, *class),
                Err(reason) => tally.skip(*place, reason.clone()),
            }
        }
        (!named.is_empty()).then(|| tally.measured())
    };
    let held_out = measured(&named);
    drop(named);
    let test = measured(&pass.answers(test)?);
    Ok(Measures { format: FORMAT, calibration, held_out, test, retrieval: None })
}

impl Measures {
    /// Reads the measures of a run; `None` where the run has none (it is unfinished, or older than they are).
    ///
    /// # Errors
    /// When the file is damaged or of another version.
    pub fn read(run: &Path) -> Result<Option<Self>> {
        let path = run.join(FILE);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("\"{}\" cannot be read", path.display())),
        };
        let measures: Self =
            serde_json::from_slice(&text).with_context(|| format!("\"{}\" is damaged", path.display()))?;
        anyhow::ensure!(
            measures.format == FORMAT,
            "\"{}\" has format version {}, this program reads {FORMAT}: use the program that made it",
            path.display(),
            measures.format
        );
        Ok(Some(measures))
    }

    /// Writes them into the run's folder.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&self, run: &Path) -> Result<()> {
        crate::store::replace(&run.join(FILE), &serde_json::to_vec_pretty(self)?)
    }
}

//! `finegrain report`: one HTML page about one or several training runs, with everything in it.
//!
//! The page loads nothing: no script, no font, no style sheet, no picture from elsewhere. It can be opened from disk,
//! sent as one file, and reads in light and dark and on a phone.

pub(crate) mod ablation;
mod chart;
mod confused;
mod facts;
mod history;
mod page;
mod picture;
mod run;
mod sections;

use std::path::Path;

use anyhow::{Context, Result, bail};

pub use run::Run;

use crate::data::Task;
use crate::measure::{Measures, Rerank};
use confused::Shown;

/// A page about the runs in these folders, in their order; with the data set's folder also with photos.
///
/// # Errors
/// A folder that is no run, files that are damaged, or a data set that is not the one of the run.
pub fn report(folders: &[&Path], data: Option<&Path>, say: &dyn Fn(&str)) -> Result<String> {
    let mut runs = folders.iter().map(|folder| Run::read(folder)).collect::<Result<Vec<_>>>()?;
    let mut photos = Vec::new();
    for run in &mut runs {
        photos.push(match data {
            Some(data) => shown(run, data, say).with_context(|| format!("the run \"{}\"", run.name))?,
            None => Shown::default(),
        });
    }
    let about: Vec<_> = runs.iter().zip(&photos).collect();
    page::page(&about)
}

/// Names the held-out and the test photos of a finished run, as training does at its end, and writes `measures.json` into
/// its folder: for runs that are older than their measures. In a run of re-identification the queries search the gallery,
/// with `rerank` once more after k-reciprocal re-ranking.
///
/// # Errors
/// As [`report`], when the run has not finished, and for `rerank` with a run that names photos.
pub fn measure(folder: &Path, data: &Path, rerank: Option<Rerank>) -> Result<Measures> {
    let run = Run::read(folder)?;
    let Some(record) = &run.record else { bail!("\"{}\" has not finished; resume it first", folder.display()) };
    let recipe = &record.training.recipe;
    if rerank.is_some() && recipe.reid.is_none() {
        bail!("\"{}\" names photos, there is nothing to rank: leave --rerank out", folder.display());
    }
    let task = record.data_set(data, None)?;
    let measures = confused::Looker::open(folder, record)?.measure(&task, rerank)?;
    measures.write(folder)?;
    Ok(measures)
}

/// Photos of the most confused pairs; measures a finished run that has no measures first.
fn shown(run: &mut Run, data: &Path, say: &dyn Fn(&str)) -> Result<Shown> {
    let Some(record) = &run.record else { return Ok(Shown::default()) };
    let task = record.data_set(data, None)?;
    let network = confused::Looker::open(&run.folder, record)?;
    let photos = task.test_photos() + task.held_out().len();
    if run.measures.is_none() && photos > 0 {
        say(&format!("\"{}\" has no measures.json: looking at its {photos} test and held-out photos", run.name));
        run.measures = Some(network.measure(&task, None)?);
    }
    match (&task, run.measures.as_ref().and_then(|measures| measures.test.as_ref())) {
        (Task::Classes(dataset), Some(test)) => network.look(dataset, test),
        _ => Ok(Shown::default()),
    }
}

//! What is measured of a run's network: held-out photos after an epoch, everything once at the end; nothing is chosen
//! by the test photos.

use std::path::Path;

use anyhow::{Result, bail};
use burn::tensor::Device;
use finegrain::model::Network;
use finegrain::photo::Preprocessing;

use super::config::Reid;
use super::record::TestAccuracy;
use crate::data::{Sample, Task};
use crate::measure::{Measured, Measures, Pass, Tally, Views, of_task};

/// What the held-out photos say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct HeldOut {
    /// Share whose most probable class is right.
    pub top1: f64,
    /// Mean negative log-likelihood of the right class.
    pub loss: f64,
}

/// Runs `network` over the held-out `samples`; photos that cannot be used are left out.
///
/// # Errors
/// When none of the photos can be used.
pub(super) fn held_out(
    network: &Network,
    device: &Device,
    workers: usize,
    preprocessing: &Preprocessing,
    samples: &[Sample],
) -> Result<HeldOut> {
    let mut tally = Tally::new(network.architecture().classes, None);
    for named in (Pass { network, device, workers, preprocessing, views: Views::Single }).answers(samples)? {
        match named.answer {
            Ok(answer) => tally.add(named.place, &answer, named.class),
            Err(reason) => tally.skip(named.place, reason),
        }
    }
    let measured = tally.measured();
    match measured.skipped.first() {
        Some(skipped) if measured.photos == 0 => bail!("no held-out photo can be used: {}", skipped.reason),
        _ => Ok(HeldOut { top1: measured.answer.top1, loss: measured.nll }),
    }
}

/// Measures a finished network and writes `measures.json` into `run`.
///
/// # Errors
/// When the pass fails or the disk refuses.
pub(super) fn at_end(
    run: &Path,
    network: &Network,
    device: &Device,
    workers: usize,
    preprocessing: &Preprocessing,
    task: &Task,
    reid: Option<&Reid>,
) -> Result<Measures> {
    let pass = Pass { network, device, workers, preprocessing, views: Views::Single };
    let measures = of_task(&pass, task, reid, None)?;
    measures.write(run)?;
    Ok(measures)
}

impl TestAccuracy {
    /// Top-1 of a list of photos.
    pub(crate) fn of(measured: &Measured) -> Self {
        Self { answer: measured.answer.top1, sa: measured.sa.top1, glca: measured.glca.map(|glca| glca.top1) }
    }
}

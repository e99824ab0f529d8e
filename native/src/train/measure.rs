//! What is measured of a run's network: held-out photos after an epoch, everything once at the end; nothing is chosen
//! by the test photos.

use std::path::Path;

use anyhow::{Result, bail};
use burn::tensor::Device;
use finegrain::model::Network;
use finegrain::photo::Preprocessing;

use super::record::TestAccuracy;
<<<<<<< HEAD
use crate::data::Sample;
use burn::tensor::Device;

/// Photos per forward pass.
const BATCH: usize = 8;
=======
use crate::data::{Dataset, Sample};
use crate::measure::{Measured, Pass, Tally, Views, of_run};
>>>>>>> adab400 (Measures: calibration, confusion, reliability, views, the pass over photos, re-identification)

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

/// Measures a finished network, writes `measures.json` into `run`, and returns top-1 on the test photos, where there are
/// any.
///
/// # Errors
/// When the pass fails or the disk refuses.
pub(super) fn at_end(
    run: &Path,
    network: &Network,
    device: &Device,
    workers: usize,
    preprocessing: &Preprocessing,
    dataset: &Dataset,
) -> Result<Option<TestAccuracy>> {
    let pass = Pass { network, device, workers, preprocessing, views: Views::Single };
    let measures = of_run(&pass, &dataset.held_out, &dataset.test)?;
    measures.write(run)?;
    Ok(measures.test.as_ref().filter(|test| test.photos > 0).map(TestAccuracy::of))
}

<<<<<<< HEAD
/// Hits of the answer, SA and GLCA, and the sum of the negative log-likelihoods.
fn pass(
    network: &Network,
    device: &Device,
    workers: usize,
    preprocessing: &Preprocessing,
    samples: &[Sample],
) -> Result<([usize; 3], f64)> {
    let hits = |chunk: &[Sample]| -> Result<([usize; 3], f64)> {
        let mut images = Vec::new();
        for sample in chunk {
            images.extend(preprocessing.apply(&sample.photo()?)?);
        }
        let answers = network.classify(network.images(&images, device));
        let count = |pick: &dyn Fn(&finegrain::answer::Answer) -> Vec<f32>| {
            let right =
                |(answer, sample): &(&finegrain::answer::Answer, &Sample)| first(&pick(answer)) == Some(sample.class);
            answers.iter().zip(chunk).filter(right).count()
        };
        // A probability of 0 is a rounded one: the loss stays a number.
        let likelihood = |(answer, sample): (&finegrain::answer::Answer, &Sample)| {
            answer.probability.get(sample.class).map_or(0.0, |p| -f64::from(p.max(f32::MIN_POSITIVE)).ln())
        };
        let loss = answers.iter().zip(chunk).map(likelihood).sum();
        Ok(([count(&|a| a.probability.clone()), count(&|a| a.sa.clone()), count(&|a| a.glca.clone())], loss))
    };
    let chunks: Vec<&[Sample]> = samples.chunks(BATCH).collect();
    let pools: Vec<rayon::ThreadPool> = (0..workers.max(1))
        .map(|_| rayon::ThreadPoolBuilder::new().num_threads(1).build())
        .collect::<Result<_, _>>()?;
    let found: Vec<Result<([usize; 3], f64)>> = std::thread::scope(|scope| {
        let handles: Vec<_> = pools
            .iter()
            .enumerate()
            .map(|(w, pool)| {
                let (chunks, hits) = (&chunks, &hits);
                scope.spawn(move || {
                    pool.install(|| {
                        (w..chunks.len()).step_by(workers.max(1)).map(|i| hits(chunks[i])).collect::<Vec<_>>()
                    })
                })
            })
            .collect();
        handles
            .into_iter()
            .flat_map(|handle| handle.join().unwrap_or_else(|_| vec![Err(anyhow::anyhow!("a worker stopped"))]))
            .collect()
    });
    let (mut total, mut total_loss) = ([0usize; 3], 0.0);
    for found in found {
        let (hits, loss) = found?;
        total.iter_mut().zip(hits).for_each(|(sum, hit)| *sum += hit);
        total_loss += loss;
=======
impl TestAccuracy {
    fn of(measured: &Measured) -> Self {
        Self { answer: measured.answer.top1, sa: measured.sa.top1, glca: measured.glca.map(|glca| glca.top1) }
>>>>>>> adab400 (Measures: calibration, confusion, reliability, views, the pass over photos, re-identification)
    }
}

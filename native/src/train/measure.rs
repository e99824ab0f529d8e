//! Top-1 on held-out photos after an epoch, and on the test photos after training: information for the record, nothing
//! is chosen by the test photos.

use anyhow::Result;
use finegrain::model::Network;
use finegrain::photo::Preprocessing;

use super::record::TestAccuracy;
use crate::data::Sample;
use burn::tensor::Device;

/// Photos per forward pass.
const BATCH: usize = 8;

/// What the held-out photos say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct HeldOut {
    /// Share whose most probable class is right.
    pub top1: f64,
    /// Mean negative log-likelihood of the right class.
    pub loss: f64,
}

/// Runs `network` over the held-out `samples`.
///
/// # Errors
/// When a photo cannot be read.
pub(super) fn held_out(
    network: &Network,
    device: &Device,
    workers: usize,
    preprocessing: &Preprocessing,
    samples: &[Sample],
) -> Result<HeldOut> {
    let (hits, loss) = pass(network, device, workers, preprocessing, samples)?;
    let photos = samples.len().max(1) as f64;
    Ok(HeldOut { top1: hits[0] as f64 / photos, loss: loss / photos })
}

/// Runs `network` over `samples` on `device`, with one single-threaded pass per worker on the CPU.
///
/// # Errors
/// When a photo cannot be read.
pub(super) fn top1(
    network: &Network,
    device: &Device,
    workers: usize,
    preprocessing: &Preprocessing,
    samples: &[Sample],
) -> Result<TestAccuracy> {
    let (hits, _) = pass(network, device, workers, preprocessing, samples)?;
    let [answer, sa, glca] = hits.map(|hits| hits as f64 / samples.len().max(1) as f64);
    Ok(TestAccuracy { answer, sa, glca: network.architecture().glca().map(|_| glca) })
}

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
    }
    Ok((total, total_loss))
}

fn first(probability: &[f32]) -> Option<usize> {
    let best = probability.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    probability.iter().position(|p| *p == best)
}

//! The forward pass over a list of photos, with all cores busy or with a GPU that never waits.

use std::sync::mpsc::sync_channel;

use anyhow::{Context, Result, anyhow};
use burn::tensor::Device;
use finegrain::answer::Answer;
use finegrain::model::Network;
use finegrain::photo::Preprocessing;
use rayon::prelude::*;

use super::Views;
use crate::data::Sample;

/// Inputs per forward pass.
const BATCH: usize = 8;

/// Batches that are decoded before a GPU asks for them.
const READY: usize = 4;

/// A network and how photos are put through it.
#[derive(Debug, Clone, Copy)]
pub struct Pass<'a> {
    /// The network, on `device`.
    pub network: &'a Network,
    /// Where it computes.
    pub device: &'a Device,
    /// Single-threaded workers on the CPU; 0 for a GPU: one pass after the other, photos decoded meanwhile.
    pub workers: usize,
    /// How a photo becomes an input.
    pub preprocessing: &'a Preprocessing,
    /// What is shown of each photo.
    pub views: Views,
}

/// What became of one photo.
#[derive(Debug, Clone)]
pub struct Named {
    /// Its place in the list.
    pub place: usize,
    /// Its right class.
    pub class: usize,
    /// The answer, the mean over all views; or one sentence on why the photo cannot be used.
    pub answer: Result<Answer, String>,
}

/// Decoded inputs of some photos, in their order.
type Inputs = Vec<Result<Vec<f32>, String>>;

impl Pass<'_> {
    /// The answers to `samples`, in their order.
    ///
    /// # Errors
    /// When a worker cannot be started or fails; a photo that cannot be used is told in its [`Named::answer`].
    pub fn answers(&self, samples: &[Sample]) -> Result<Vec<Named>> {
        let chunks: Vec<&[Sample]> = samples.chunks((BATCH / self.views.count()).max(1)).collect();
        let found = if self.workers == 0 { self.one_by_one(&chunks) } else { self.side_by_side(&chunks) }?;
        let answers = found.into_iter().zip(samples).enumerate();
        Ok(answers.map(|(place, (answer, sample))| Named { place, class: sample.class, answer }).collect())
    }

    /// Each worker takes every so many-th chunk, decodes it and computes, on one thread of its own.
    fn side_by_side(&self, chunks: &[&[Sample]]) -> Result<Vec<Result<Answer, String>>> {
        let workers = self.workers.min(chunks.len()).max(1);
        let pools: Vec<rayon::ThreadPool> = (0..workers)
            .map(|_| rayon::ThreadPoolBuilder::new().num_threads(1).build())
            .collect::<Result<_, _>>()
            .context("a worker cannot be started")?;
        let work = |worker: usize| -> Vec<_> {
            let own = chunks.iter().skip(worker).step_by(workers);
            own.map(|chunk| self.chunk(chunk.iter().map(|sample| self.input(sample)).collect())).collect()
        };
        let mut by_worker = std::thread::scope(|scope| -> Result<Vec<_>> {
            let work = &work;
            let mut handles = Vec::new();
            for (worker, pool) in pools.iter().enumerate() {
                handles.push(scope.spawn(move || pool.install(|| work(worker)).into_iter()));
            }
            handles.into_iter().map(|handle| handle.join().map_err(|_| anyhow!("a worker stopped"))).collect()
        })?;
        let in_order = (0..chunks.len()).filter_map(|chunk| by_worker[chunk % workers].next());
        Ok(in_order.flatten().collect())
    }

    /// All cores decode ahead while the device computes.
    fn one_by_one(&self, chunks: &[&[Sample]]) -> Result<Vec<Result<Answer, String>>> {
        let (sender, receiver) = sync_channel::<Inputs>(READY);
        Ok(std::thread::scope(|scope| {
            scope.spawn(move || {
                for chunk in chunks {
                    let inputs = chunk.par_iter().map(|sample| self.input(sample)).collect();
                    if sender.send(inputs).is_err() {
                        return;
                    }
                }
            });
            receiver.iter().flat_map(|inputs| self.chunk(inputs)).collect()
        }))
    }

    fn input(&self, sample: &Sample) -> Result<Vec<f32>, String> {
        let photo = sample.photo().map_err(|error| error.to_string())?;
        let unusable = |error| format!("\"{}\" cannot be used: {error}", sample.path.display());
        self.views.of(&photo, self.preprocessing).map_err(unusable)
    }

    /// The answers to the photos of one forward pass.
    fn chunk(&self, inputs: Inputs) -> Vec<Result<Answer, String>> {
        let images: Vec<f32> = inputs.iter().flatten().flatten().copied().collect();
        let answers = if images.is_empty() {
            Vec::new()
        } else {
            self.network.classify(self.network.images(&images, self.device))
        };
        let mut photos = answers.chunks(self.views.count());
        let mut next = || photos.next().and_then(Views::mean).ok_or_else(|| "the network gave no answer".to_owned());
        inputs.into_iter().map(|input| input.and_then(|_| next())).collect()
    }
}

//! The forward pass over a list of photos, with all cores busy or with a GPU that never waits.

use std::sync::mpsc::sync_channel;

use anyhow::{Context, Result, anyhow, ensure};
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

/// What the network makes of the inputs of one forward pass, `[B, 3, H, W]` on the host: one value each.
type Look<'a, T> = &'a (dyn Fn(&[f32]) -> Vec<T> + Sync);

impl Pass<'_> {
    /// The answers to `samples`, in their order.
    ///
    /// # Errors
    /// When a worker cannot be started or fails; a photo that cannot be used is told in its [`Named::answer`].
    pub fn answers(&self, samples: &[Sample]) -> Result<Vec<Named>> {
        let look = |inputs: &[f32]| self.network.classify(self.network.images(inputs, self.device));
        let answers = self.look(samples, &look)?;
        let numbers = |answer: &Answer| answer.probability.iter().all(|p| p.is_finite());
        for (views, sample) in answers.iter().zip(samples) {
            let fine = views.iter().flatten().all(numbers);
            let photo = sample.path.display();
            ensure!(fine, "the network computes what is no number for \"{photo}\": its weights are damaged");
        }
        let answers = answers.into_iter().zip(samples).enumerate();
        let mean = |views: Vec<Answer>| Views::mean(&views).ok_or_else(|| "the network gave no answer".to_owned());
        Ok(answers
            .map(|(place, (views, sample))| Named { place, class: sample.class, answer: views.and_then(mean) })
            .collect())
    }

    /// The features of SA and GLCA (empty without it) that `samples` are compared by, in their order, not normalised;
    /// those before the bottlenecks or `behind` them. Only the first view is looked at. Or one sentence on why a photo
    /// cannot be used.
    ///
    /// # Errors
    /// When a worker cannot be started or fails.
    pub fn features(&self, samples: &[Sample], behind: bool) -> Result<Vec<Result<[Vec<f32>; 2], String>>> {
        let look = |inputs: &[f32]| -> Vec<[Vec<f32>; 2]> {
            let images = self.network.images(inputs, self.device);
            let [count, ..] = images.dims();
            let [sa, glca] = self.network.features(images, behind).map(|features| {
                let Some(features) = features else { return vec![Vec::new(); count] };
                let [_, width] = features.dims();
                let values: Vec<f32> = features.into_data().iter::<f32>().collect();
                values.chunks(width).map(<[f32]>::to_vec).collect()
            });
            sa.into_iter().zip(glca).map(|(sa, glca)| [sa, glca]).collect()
        };
        let first = |views: Vec<[Vec<f32>; 2]>| {
            views.into_iter().next().ok_or_else(|| "the network gave no feature".to_owned())
        };
        Ok(self.look(samples, &look)?.into_iter().map(|views| views.and_then(first)).collect())
    }

    /// What `look` makes of the views of each of `samples`, in their order.
    fn look<T: Send>(&self, samples: &[Sample], look: Look<'_, T>) -> Result<Vec<Result<Vec<T>, String>>> {
        let chunks: Vec<&[Sample]> = samples.chunks((BATCH / self.views.count()).max(1)).collect();
        if self.workers == 0 { self.one_by_one(&chunks, look) } else { self.side_by_side(&chunks, look) }
    }

    /// Each worker takes every so many-th chunk, decodes it and computes, on one thread of its own.
    fn side_by_side<T: Send>(&self, chunks: &[&[Sample]], look: Look<'_, T>) -> Result<Vec<Result<Vec<T>, String>>> {
        let workers = self.workers.min(chunks.len()).max(1);
        let pools: Vec<rayon::ThreadPool> = (0..workers)
            .map(|_| rayon::ThreadPoolBuilder::new().num_threads(1).build())
            .collect::<Result<_, _>>()
            .context("a worker cannot be started")?;
        let work = |worker: usize| -> Vec<_> {
            let own = chunks.iter().skip(worker).step_by(workers);
            own.map(|chunk| self.chunk(chunk.iter().map(|sample| self.input(sample)).collect(), look)).collect()
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
    fn one_by_one<T: Send>(&self, chunks: &[&[Sample]], look: Look<'_, T>) -> Result<Vec<Result<Vec<T>, String>>> {
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
            receiver.iter().flat_map(|inputs| self.chunk(inputs, look)).collect()
        }))
    }

    fn input(&self, sample: &Sample) -> Result<Vec<f32>, String> {
        let photo = sample.photo().map_err(|error| error.to_string())?;
        let unusable = |error| format!("\"{}\" cannot be used: {error}", sample.path.display());
        self.views.of(&photo, self.preprocessing).map_err(unusable)
    }

    /// What `look` makes of each photo's views, all in one forward pass.
    fn chunk<T>(&self, inputs: Inputs, look: Look<'_, T>) -> Vec<Result<Vec<T>, String>> {
        let images: Vec<f32> = inputs.iter().flatten().flatten().copied().collect();
        let mut seen = if images.is_empty() { Vec::new() } else { look(&images) }.into_iter();
        let count = self.views.count();
        inputs.into_iter().map(|input| input.map(|_| seen.by_ref().take(count).collect())).collect()
    }
}

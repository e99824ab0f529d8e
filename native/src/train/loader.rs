//! Batches of augmented photos, made by background threads while the network trains.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result};
use burn::tensor::Device;
use finegrain::model::DropPath;
use finegrain::photo::Photo;
use rand::seq::SliceRandom;
use rayon::prelude::*;

use super::augment::{self, Mixed, Second};
use super::config::Config;
use super::sampler::Sampler;
use crate::data::Sample;

/// One batch on the host.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Batch {
    /// `[B, 3, H, W]`, normalised.
    pub images: Vec<f32>,
    /// `[B]`.
    pub labels: Vec<i32>,
    /// The lesser label of each mixed photo; empty where nothing is mixed.
    pub seconds: Vec<Second>,
    /// A random number per photo; PWCA's pairs follow from their order.
    pub pair_keys: Vec<u64>,
}

/// Training photos, decoded once where memory allows.
pub(super) struct Loader {
    samples: Vec<Sample>,
    cache: Vec<OnceLock<Photo>>,
    room: AtomicUsize,
    sampler: Option<Sampler>,
    config: Config,
    threads: rayon::ThreadPool,
}

impl Loader {
    /// A loader of `samples` with `threads` threads.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub(super) fn new(samples: Vec<Sample>, config: &Config, threads: usize) -> Result<Arc<Self>> {
        let threads = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("loader {i}"))
            .build()
            .context("cannot start the loader's threads")?;
        let sampler = config.reid.as_ref().map(|reid| {
            let labels: Vec<usize> = samples.iter().map(|sample| sample.class).collect();
            Sampler::new(&labels, config.train.batch / reid.photos, reid.photos)
        });
        Ok(Arc::new(Self {
            sampler,
            cache: samples.iter().map(|_| OnceLock::new()).collect(),
            samples,
            room: AtomicUsize::new(config.data.cache_mib << 20),
            config: config.clone(),
            threads,
        }))
    }

    /// Batches in an epoch; the last one may be short.
    pub(super) fn batches(&self) -> usize {
        if let Some(sampler) = &self.sampler {
            return sampler.batches();
        }
        self.samples.len().div_ceil(self.config.train.batch)
    }

    /// How many photos there are.
    pub(super) fn photos(&self) -> usize {
        self.samples.len()
    }

    /// The photos of an epoch, batch after batch, each with the number of its random source.
    fn order(&self, epoch: usize) -> Vec<(usize, usize)> {
        let seed = self.config.train.seed;
        match &self.sampler {
            // A photo may come twice, and is then augmented in two ways.
            Some(sampler) => sampler.order(seed, epoch).into_iter().enumerate().map(|(i, photo)| (photo, i)).collect(),
            None => augment::order(seed, epoch, self.photos()).into_iter().map(|photo| (photo, photo)).collect(),
        }
    }

    /// Sends the batches of `epoch` from batch `first` on, in order; they depend on nothing but the config, the epoch
    /// and the samples. Dropping the receiver ends the work.
    pub(super) fn epoch(self: &Arc<Self>, epoch: usize, first: usize) -> Receiver<Result<Batch>> {
        let (sender, receiver) = sync_channel(2);
        let loader = Arc::clone(self);
        std::thread::spawn(move || {
            let order = loader.order(epoch);
            for indices in order.chunks(loader.config.train.batch).skip(first) {
                let batch = loader.batch(epoch, indices);
                let failed = batch.is_err();
                if sender.send(batch).is_err() || failed {
                    return;
                }
            }
        });
        receiver
    }

    fn batch(&self, epoch: usize, indices: &[(usize, usize)]) -> Result<Batch> {
        let Config { train, augment, pixels, .. } = &self.config;
        let size = self.config.input_size();
        let views = self.threads.install(|| {
            indices
                .par_iter()
                .map(|&(index, source)| {
                    let mut random = augment::source(train.seed, epoch, source);
                    let view = |photo: &Photo, random: &mut _| augment::view(photo, size, augment, pixels, random);
                    let view = self.with_photo(index, |photo| view(photo, &mut random))?;
                    Ok((view, rand::Rng::random(&mut random)))
                })
                .collect::<Result<Vec<(Vec<f32>, u64)>>>()
        })?;
        let (views, pair_keys): (Vec<Vec<f32>>, Vec<u64>) = views.into_iter().unzip();
        let labels: Vec<i32> = indices.iter().map(|&(index, _)| self.samples[index].class as i32).collect();
        let slices: Vec<&[f32]> = views.iter().map(Vec::as_slice).collect();
        Ok(match augment::mix(&slices, &labels, &pair_keys, size, augment) {
            Some(Mixed { images, labels, seconds }) => Batch { images, labels, seconds, pair_keys },
            None => Batch { images: views.concat(), labels, seconds: Vec::new(), pair_keys },
        })
    }

    fn with_photo<T>(&self, index: usize, use_it: impl FnOnce(&Photo) -> T) -> Result<T> {
        if let Some(photo) = self.cache[index].get() {
            return Ok(use_it(photo));
        }
        let photo = self.samples[index].photo()?;
        let result = use_it(&photo);
        let bytes = photo.rgb().len();
        let taken = self.room.try_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(bytes));
        if taken.is_ok() {
            // Another thread may have filled its place meanwhile.
            if self.cache[index].set(photo).is_err() {
                self.room.fetch_add(bytes, Ordering::Relaxed);
            }
        }
        Ok(result)
    }
}

impl Batch {
    /// Photos in the batch.
    pub(super) fn len(&self) -> usize {
        self.labels.len()
    }

    /// The batch in parts of at most `size` photos.
    pub(super) fn parts(&self, size: usize) -> Vec<Self> {
        let pixels = self.images.len() / self.len().max(1);
        (0..self.len())
            .step_by(size)
            .map(|start| {
                let end = (start + size).min(self.len());
                Self {
                    images: self.images[start * pixels..end * pixels].to_vec(),
                    labels: self.labels[start..end].to_vec(),
                    seconds: self.seconds.get(start..end).unwrap_or_default().to_vec(),
                    pair_keys: self.pair_keys[start..end].to_vec(),
                }
            })
            .collect()
    }

    /// The labels as shares of `classes` classes, `[B, classes]`, smoothed; a mixed photo has two labels.
    pub(super) fn shares(&self, classes: usize, smoothing: f32) -> Vec<f32> {
        let mut shares = vec![smoothing / classes as f32; self.len() * classes];
        for (i, (row, label)) in shares.chunks_exact_mut(classes).zip(&self.labels).enumerate() {
            let second = self.seconds.get(i);
            row[*label as usize] += (1.0 - smoothing) * (1.0 - second.map_or(0.0, |second| second.share));
            if let Some(second) = second {
                row[second.class as usize] += (1.0 - smoothing) * second.share;
            }
        }
        shares
    }

    /// Stochastic depth of `rate` over `depth` blocks; what a photo skips follows from its own random number.
    pub(super) fn drop_path(&self, rate: f64, depth: usize, device: &Device) -> DropPath {
        let mut sources: Vec<_> = self.pair_keys.iter().map(|&key| augment::source(key, 0, 3)).collect();
        DropPath::draw(rate, depth, self.len(), device, &mut |photo| rand::Rng::random(&mut sources[photo]))
    }

    /// The attention map, one of `channels`, by which TASN resamples each photo for its part net; it follows from the photo's own
    /// random number.
    pub(super) fn channels(&self, channels: usize) -> Vec<usize> {
        let draw = |&key: &u64| rand::Rng::random_range(&mut augment::source(key, 0, 4), 0..channels);
        self.pair_keys.iter().map(draw).collect()
    }

    /// A random permutation `[B]` that pairs photos for PWCA.
    pub(super) fn partners(&self) -> Vec<i32> {
        let mut partners: Vec<i32> = (0..self.len() as i32).collect();
        let seed = self.pair_keys.first().copied().unwrap_or(0);
        partners.shuffle(&mut augment::source(seed, 0, 0));
        partners
    }
}

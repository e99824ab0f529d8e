//! Photos that cannot be decoded: found, named, and left out of training.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;
use serde::Serialize;

use super::Dataset;
use super::reid::{Identity, ReidDataset};
use crate::decode::decode;

/// A photo that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// Where it lies.
    pub path: PathBuf,
    /// One sentence that names the file and what is wrong with it.
    pub reason: String,
}

/// Decodes every photo on all cores and returns those that cannot be used, in the order of `photos`.
///
/// `watch` is called after each photo, from any thread. Raising `stop` ends the work early: the list is then not
/// complete.
pub fn find_broken(photos: &[&Path], stop: &AtomicBool, watch: &(dyn Fn() + Sync)) -> Vec<Broken> {
    photos
        .par_iter()
        .filter_map(|path| {
            if stop.load(Ordering::Relaxed) {
                return None;
            }
            let decoded = decode(path);
            watch();
            decoded.err().map(|error| Broken { path: path.to_path_buf(), reason: error.to_string() })
        })
        .collect()
}

impl Dataset {
    /// Decodes every photo and takes out those that cannot be used: missing, cut off, damaged, no photos at all.
    ///
    /// Returns what was taken out, for the log. A class may lose its last training photo, so
    /// [`check_trainable`](Self::check_trainable) comes after this. Costs one decoding of the whole data set; when
    /// `stop` was raised nothing is taken out. `watch` is called after each photo.
    pub fn without_broken(&mut self, stop: &AtomicBool, watch: &(dyn Fn() + Sync)) -> Vec<Broken> {
        take_out([&mut self.train, &mut self.held_out, &mut self.test], |sample| &sample.path, stop, watch)
    }
}

impl ReidDataset {
    /// As [`Dataset::without_broken`]; an identity that loses its last training photo is no identity any more, and the
    /// labels of those after it move down.
    pub fn without_broken(&mut self, stop: &AtomicBool, watch: &(dyn Fn() + Sync)) -> Vec<Broken> {
        let splits = [&mut self.train, &mut self.query, &mut self.gallery];
        let broken = take_out(splits, |sample| &sample.path, stop, watch);
        let labels: BTreeSet<usize> = self.train.iter().filter_map(|sample| sample.identity.known()).collect();
        let new: BTreeMap<usize, usize> = labels.iter().enumerate().map(|(new, old)| (*old, new)).collect();
        for sample in &mut self.train {
            if let Some(label) = sample.identity.known().and_then(|old| new.get(&old)) {
                sample.identity = Identity::Known(*label);
            }
        }
        let identities = std::mem::take(&mut self.identities).into_iter().enumerate();
        self.identities = identities.filter(|(label, _)| labels.contains(label)).map(|(_, name)| name).collect();
        broken
    }
}

/// Removes what is broken from `splits` and returns it; nothing when `stop` was raised.
fn take_out<S>(
    splits: [&mut Vec<S>; 3],
    path: fn(&S) -> &PathBuf,
    stop: &AtomicBool,
    watch: &(dyn Fn() + Sync),
) -> Vec<Broken> {
    let paths: Vec<&Path> = splits.iter().flat_map(|split| split.iter()).map(|sample| path(sample).as_path()).collect();
    let broken = find_broken(&paths, stop, watch);
    if stop.load(Ordering::Relaxed) {
        return Vec::new();
    }
    let gone: HashSet<&Path> = broken.iter().map(|photo| photo.path.as_path()).collect();
    for split in splits {
        split.retain(|sample| !gone.contains(path(sample).as_path()));
    }
    broken
}

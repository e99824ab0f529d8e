//! Photos that cannot be decoded: found, named, and left out of training.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;
use serde::Serialize;

use super::Dataset;
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
        let broken = {
            let samples = self.train.iter().chain(&self.held_out).chain(&self.test);
            let paths: Vec<&Path> = samples.map(|sample| sample.path.as_path()).collect();
            find_broken(&paths, stop, watch)
        };
        if stop.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let gone: HashSet<&Path> = broken.iter().map(|photo| photo.path.as_path()).collect();
        for split in [&mut self.train, &mut self.held_out, &mut self.test] {
            split.retain(|sample| !gone.contains(sample.path.as_path()));
        }
        broken
    }
}

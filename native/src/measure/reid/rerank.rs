//! k-reciprocal re-ranking: Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR 2017.
//!
//! The steps are those of the authors' program: squared Euclidean distances over their row's maximum, the k1-reciprocal
//! neighbours and their expansion, Gaussian weights, local query expansion over k2 neighbours, the Jaccard distance. It
//! keeps n x n matrices; here a row of distances is dropped once its neighbours are known, and the weights are kept
//! where they are not zero.

use rayon::prelude::*;

use super::{Distances, Features, FeaturesError};

/// Settings of the re-ranking; the default is the paper's for Market-1501.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rerank {
    /// Neighbours that may be reciprocal.
    pub k1: usize,
    /// Neighbours whose weights are averaged, the photo itself among them.
    pub k2: usize,
    /// Share of the original distance in the new one: 0 is Jaccard alone, 1 the original order.
    pub lambda: f32,
}

impl Default for Rerank {
    fn default() -> Self {
        Self { k1: 20, k2: 6, lambda: 0.3 }
    }
}

/// Weights of one photo, `(photo, weight)`, rising by photo, zeros left out.
type Weights = Vec<(u32, f32)>;

/// The distances of queries to the gallery after re-ranking; the smaller the nearer, from 0 to 1.
///
/// Takes `O(n^2 width)` time for `n` photos in all, and memory for the result and `O(n k1)` besides.
///
/// # Errors
/// [`FeaturesError::Rerank`] for settings, [`FeaturesError::Length`] for widths that differ.
pub fn rerank(query: &Features, gallery: &Features, settings: Rerank) -> Result<Distances, FeaturesError> {
    let Rerank { k1, k2, lambda } = settings;
    if k1 == 0 || k2 == 0 || !(0.0..=1.0).contains(&lambda) {
        return Err(FeaturesError::Rerank);
    }
    if query.width() != gallery.width() {
        let (found, expected) = (gallery.width(), query.width());
        return Err(FeaturesError::Length { what: "values of a gallery feature", found, expected });
    }
    let all = query.chain(gallery);
    let photos = all.photos();
    let near = Neighbours::of(&all, k1.max(k2));
    let weights: Vec<Weights> = (0..photos).into_par_iter().map(|i| encode(i, &all, &near, k1)).collect();
    let weights: Vec<Weights> = (0..photos).into_par_iter().map(|i| expand(near.first(i, k2), &weights)).collect();
    let mut holders: Vec<Weights> = vec![Vec::new(); photos];
    for (i, row) in weights.iter().enumerate() {
        for &(j, weight) in row {
            holders[j as usize].push((i as u32, weight));
        }
    }
    let row = |q: usize| {
        // Sum over j of min(v_qj, v_gj); both rows sum to 1, so the sum of the maxima is 2 minus it.
        let mut shared = vec![0f32; photos];
        for &(j, own) in &weights[q] {
            for &(g, weight) in &holders[j as usize] {
                shared[g as usize] += own.min(weight);
            }
        }
        let (all, near) = (&all, &near);
        (query.photos()..photos).map(move |g| {
            let jaccard = 1.0 - shared[g] / (2.0 - shared[g]);
            jaccard * (1.0 - lambda) + near.scaled(all, q, g) * lambda
        })
    };
    let values = (0..query.photos()).into_par_iter().flat_map_iter(row).collect();
    Ok(Distances { values, columns: gallery.photos() })
}

/// The nearest photos of each photo, and the distance of its farthest.
struct Neighbours {
    nearest: Vec<Vec<u32>>,
    farthest: Vec<f32>,
}

impl Neighbours {
    /// The `k + 1` nearest of each photo, nearest first; the photo itself is among them.
    fn of(all: &Features, k: usize) -> Self {
        let photos = all.photos();
        let of_one = |i: usize| {
            let mut row: Vec<(f32, u32)> = (0..photos).map(|j| (all.squared(i, j), j as u32)).collect();
            let farthest = row.iter().map(|entry| entry.0).fold(0.0, f32::max);
            let order = |a: &(f32, u32), b: &(f32, u32)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
            if k + 1 < photos {
                row.select_nth_unstable_by(k, order);
                row.truncate(k + 1);
            }
            row.sort_unstable_by(order);
            (row.into_iter().map(|(_, j)| j).collect(), farthest)
        };
        let (nearest, farthest) = (0..photos).into_par_iter().map(of_one).unzip();
        Self { nearest, farthest }
    }

    /// The `count` nearest of `i`, itself among them.
    fn first(&self, i: usize, count: usize) -> &[u32] {
        let row = &self.nearest[i];
        &row[..count.min(row.len())]
    }

    /// Those of the `k + 1` nearest of `i` that have `i` among their own `k + 1` nearest.
    fn reciprocal(&self, i: usize, k: usize) -> Vec<u32> {
        let back = |&&j: &&u32| self.first(j as usize, k + 1).contains(&(i as u32));
        self.first(i, k + 1).iter().filter(back).copied().collect()
    }

    /// Squared distance over that of the farthest photo, 0 to 1.
    fn scaled(&self, all: &Features, i: usize, j: usize) -> f32 {
        let farthest = self.farthest[i];
        if farthest > 0.0 { all.squared(i, j) / farthest } else { 0.0 }
    }
}

/// The k-reciprocal neighbours of `i` and those of its neighbours that share more than two thirds with it, weighted by
/// their distance; the weights sum to 1.
fn encode(i: usize, all: &Features, near: &Neighbours, k1: usize) -> Weights {
    let own = near.reciprocal(i, k1);
    let half = (k1 as f64 / 2.0).round_ties_even() as usize;
    let mut expanded = own.clone();
    for &candidate in &own {
        let theirs = near.reciprocal(candidate as usize, half);
        let common = theirs.iter().filter(|&photo| own.contains(photo)).count();
        if 3 * common > 2 * theirs.len() {
            expanded.extend(theirs);
        }
    }
    expanded.sort_unstable();
    expanded.dedup();
    let mut weights: Weights = expanded.into_iter().map(|j| (j, (-near.scaled(all, i, j as usize)).exp())).collect();
    let sum: f32 = weights.iter().map(|entry| entry.1).sum();
    weights.iter_mut().for_each(|entry| entry.1 /= sum);
    weights
}

/// The mean of the weights of some photos: local query expansion.
fn expand(near: &[u32], weights: &[Weights]) -> Weights {
    let mut entries: Weights = near.iter().flat_map(|&j| weights[j as usize].iter().copied()).collect();
    entries.sort_by_key(|entry| entry.0);
    let mut mean: Weights = Vec::with_capacity(entries.len());
    for (j, weight) in entries {
        let part = weight / near.len() as f32;
        match mean.last_mut() {
            Some(last) if last.0 == j => last.1 += part,
            _ => mean.push((j, part)),
        }
    }
    mean
}

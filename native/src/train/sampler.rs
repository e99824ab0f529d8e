//! The order in which an epoch of re-identification visits photos: each batch has several photos of each of its
//! identities, so that the triplet loss finds both (Hermans et al., 2017).

use std::collections::{BTreeMap, HashSet, VecDeque};

use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};

use super::augment::source;

/// Batches of `identities` times `photos` photos.
#[derive(Debug, Clone)]
pub(super) struct Sampler {
    /// The photos of each identity.
    photos_of: Vec<Vec<usize>>,
    identities: usize,
    photos: usize,
}

impl Sampler {
    /// For photos whose identities are `labels`; batches have `identities` of them with `photos` each. The caller has
    /// checked that there are as many identities.
    pub(super) fn new(labels: &[usize], identities: usize, photos: usize) -> Self {
        let mut photos_of: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (photo, label) in labels.iter().enumerate() {
            photos_of.entry(*label).or_default().push(photo);
        }
        Self { photos_of: photos_of.into_values().collect(), identities, photos }
    }

    /// Batches in an epoch, the same in each: as many as whole groups of photos fill, at least one.
    pub(super) fn batches(&self) -> usize {
        let groups: usize = self.photos_of.iter().map(|own| self.groups(own.len())).sum();
        (groups / self.identities).max(1)
    }

    /// Groups that an identity with `count` photos gives; what is left over waits for another epoch.
    fn groups(&self, count: usize) -> usize {
        (count / self.photos).max(1)
    }

    /// The photos of epoch `epoch`, batch after batch; they depend on `seed`, the epoch and the photos alone.
    ///
    /// Groups of an identity come evenly spread over the epoch. A group whose identity is already in a batch waits for
    /// the next; where all that wait are, an identity that is not gives another group. Within a batch the order is random:
    /// PWCA's pairs, which may be drawn within a part of it, are then not all of one identity.
    pub(super) fn order(&self, seed: u64, epoch: usize) -> Vec<usize> {
        let mut random = source(seed, epoch, u32::MAX as usize);
        let mut turns: Vec<(f64, usize, Vec<usize>)> = Vec::new();
        for (identity, own) in self.photos_of.iter().enumerate() {
            let mut shuffled = own.clone();
            shuffled.shuffle(&mut random);
            let (offset, count) = (random.random::<f64>(), self.groups(own.len()));
            for k in 0..count {
                turns.push(((k as f64 + offset) / count as f64, identity, self.group(&shuffled, k)));
            }
        }
        turns.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut waiting: VecDeque<(usize, Vec<usize>)> = turns.into_iter().map(|(_, id, group)| (id, group)).collect();
        let mut order = Vec::with_capacity(self.batches() * self.identities * self.photos);
        for _ in 0..self.batches() {
            let mut inside = HashSet::new();
            let mut batch = Vec::with_capacity(self.identities * self.photos);
            let mut later = VecDeque::new();
            while inside.len() < self.identities {
                match waiting.pop_front() {
                    Some((identity, group)) if inside.insert(identity) => batch.extend(group),
                    Some(again) => later.push_back(again),
                    None => {
                        let free: Vec<usize> = (0..self.photos_of.len()).filter(|id| !inside.contains(id)).collect();
                        let Some(&identity) = free.choose(&mut random) else { break };
                        inside.insert(identity);
                        let mut shuffled = self.photos_of[identity].clone();
                        shuffled.shuffle(&mut random);
                        batch.extend(self.group(&shuffled, 0));
                    }
                }
            }
            while let Some(group) = later.pop_back() {
                waiting.push_front(group);
            }
            batch.shuffle(&mut random);
            order.extend(batch);
        }
        order
    }

    /// The `k`-th group of an identity's photos, from the first again where there are too few.
    fn group(&self, shuffled: &[usize], k: usize) -> Vec<usize> {
        shuffled.iter().cycle().skip(k * self.photos).take(self.photos).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `counts[i]` photos of identity `i`, mixed.
    fn labels(counts: &[usize]) -> Vec<usize> {
        let mut labels: Vec<usize> =
            counts.iter().enumerate().flat_map(|(id, &count)| std::iter::repeat_n(id, count)).collect();
        labels.shuffle(&mut source(9, 0, 0));
        labels
    }

    #[test]
    fn every_batch_has_its_identities_and_their_photos() {
        for counts in [vec![8; 6], vec![4, 5, 6, 7, 8, 9, 10], vec![40, 3, 2, 1, 4], vec![1, 1, 1, 1]] {
            let labels = labels(&counts);
            let sampler = Sampler::new(&labels, 3, 4);
            for epoch in 0..20 {
                let order = sampler.order(5, epoch);
                assert_eq!(order.len(), sampler.batches() * 12, "{counts:?}");
                for batch in order.chunks(12) {
                    let mut of: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
                    batch.iter().for_each(|&photo| of.entry(labels[photo]).or_default().push(photo));
                    assert_eq!(of.len(), 3, "{counts:?}: {batch:?}");
                    for (identity, mut photos) in of {
                        assert_eq!(photos.len(), 4);
                        photos.sort_unstable();
                        photos.dedup();
                        assert_eq!(photos.len(), counts[identity].min(4), "none twice where there are enough");
                    }
                }
            }
        }
    }

    #[test]
    fn an_epoch_visits_each_photo_once_where_the_counts_allow_it() {
        let sampler = Sampler::new(&labels(&[8; 6]), 3, 4);
        assert_eq!(sampler.batches(), 4);
        let visits_of = |epoch| {
            let mut order = sampler.order(1, epoch);
            order.sort_unstable();
            order
        };
        let whole = (0..100).filter(|&epoch| visits_of(epoch) == (0..48).collect::<Vec<_>>()).count();
        assert!(whole > 50, "{whole} of 100: only where the last batches lack an identity are groups drawn again");
    }

    #[test]
    fn seed_and_epoch_decide() {
        let sampler = Sampler::new(&labels(&[8; 6]), 3, 4);
        assert_eq!(sampler.order(1, 2), sampler.order(1, 2));
        assert_ne!(sampler.order(1, 2), sampler.order(1, 3));
        assert_ne!(sampler.order(1, 2), sampler.order(2, 2));
    }
}

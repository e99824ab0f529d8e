//! A part of the training photos that training does not see: for calibration and for watching a run.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::{Dataset, Sample};

impl Dataset {
    /// Moves `share` (0 to below 1) of the training photos to [`Dataset::held_out`], evenly over the classes.
    ///
    /// Within a class the photos are drawn by `seed`; classes give up their photos in turn, the largest remainder first,
    /// so that `share` holds over all photos even where classes are small. A class keeps at least one training photo.
    pub fn hold_out(&mut self, share: f64, seed: u64) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut classes: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (i, sample) in self.train.iter().enumerate() {
            classes.entry(sample.class).or_default().push(i);
        }
        // Each photo's turn: the k-th photo drawn from a class of n comes at (k + a random part) / n.
        let mut turns: Vec<(f64, usize)> = Vec::new();
        for photos in classes.values_mut() {
            photos.shuffle(&mut random);
            let offset: f64 = rand::Rng::random(&mut random);
            let count = photos.len() as f64;
            let given = photos.iter().skip(1).enumerate();
            turns.extend(given.map(|(k, &photo)| ((k as f64 + offset) / count, photo)));
        }
        turns.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let count = (share * self.train.len() as f64).round() as usize;
        let mut chosen = vec![false; self.train.len()];
        turns.iter().take(count).for_each(|&(_, photo)| chosen[photo] = true);
        let (held_out, train): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.train).into_iter().zip(chosen).partition(|(_, chosen)| *chosen);
        let samples = |list: Vec<(Sample, bool)>| list.into_iter().map(|(sample, _)| sample).collect::<Vec<_>>();
        self.train = samples(train);
        self.held_out.extend(samples(held_out));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dataset(counts: &[usize]) -> Dataset {
        let sample = |class: usize, i: usize| Sample::new(format!("{class}/{i}").into(), class);
        let train = counts.iter().enumerate().flat_map(|(class, &n)| (0..n).map(move |i| sample(class, i))).collect();
        let labels = (0..counts.len()).map(|class| class.to_string()).collect();
        Dataset { labels, train, ..Dataset::default() }
    }

    fn per_class(samples: &[Sample], classes: usize) -> Vec<usize> {
        (0..classes).map(|class| samples.iter().filter(|s| s.class == class).count()).collect()
    }

    #[test]
    fn the_share_holds_over_all_and_within_each_class() {
        let counts = [40, 38, 25, 31, 44, 10];
        let mut data = dataset(&counts);
        data.hold_out(0.1, 7);
        assert_eq!((data.train.len(), data.held_out.len()), (169, 19));
        for (held, count) in per_class(&data.held_out, 6).into_iter().zip(counts) {
            assert!((held as f64 - 0.1 * count as f64).abs() <= 1.2, "{held} of {count}");
        }
        let mut again = dataset(&counts);
        again.hold_out(0.1, 7);
        assert_eq!(again, data);
        let mut other = dataset(&counts);
        other.hold_out(0.1, 8);
        assert_ne!(other, data);
    }

    #[test]
    fn every_class_keeps_a_photo_and_none_is_lost() {
        let mut data = dataset(&[1, 2, 1, 5]);
        data.hold_out(0.9, 0);
        assert_eq!(per_class(&data.train, 4), [1, 1, 1, 1]);
        assert_eq!(data.held_out.len(), 5);
        let mut none = dataset(&[3, 3]);
        none.hold_out(0.0, 0);
        assert_eq!(none, dataset(&[3, 3]));
    }
}

//! A part of the training photos that training does not see: what may be chosen or fitted is chosen and fitted on it,
//! so that the test photos have no say in anything.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::{Dataset, Sample};

impl Dataset {
    /// Takes a random `share` (0 to below 1) of the training photos out of [`Dataset::train`] and returns it, in the
    /// order of the data set's list.
    ///
    /// Each class gives about its share (what is rounded off one class is made up for by the next) and keeps at least
    /// one photo. The same list, share and seed give the same photos.
    pub fn hold_out(&mut self, share: f64, seed: u64) -> Vec<Sample> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(u64::MAX);
        let mut by_class: Vec<Vec<usize>> = vec![Vec::new(); self.labels.len()];
        for (i, sample) in self.train.iter().enumerate() {
            by_class[sample.class].push(i);
        }
        let mut held = vec![false; self.train.len()];
        let mut owed = 0.0;
        for mut photos in by_class {
            photos.shuffle(&mut random);
            owed += share * photos.len() as f64;
            let count = (owed.round() as usize).min(photos.len().saturating_sub(1));
            owed -= count as f64;
            photos[..count].iter().for_each(|&i| held[i] = true);
        }
        let (out, kept): (Vec<_>, Vec<_>) = self.train.drain(..).zip(held).partition(|(_, held)| *held);
        self.train = kept.into_iter().map(|(sample, _)| sample).collect();
        out.into_iter().map(|(sample, _)| sample).collect()
    }
}

//! Mixup (Zhang et al., 2018) and cutmix (Yun et al., 2019): photos and labels of two photos in one.
//!
//! Each photo has its own share and its own kind of mixture; the partner is another photo of the same batch.

use rand::Rng;
use rand::seq::SliceRandom;
use rand_distr::{Beta, Distribution};

use super::source;
use crate::train::config::Augment;

/// The lesser label of a mixed photo.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::train) struct Second {
    /// Its class.
    pub class: i32,
    /// Its share, at most a half (rounded); the first label has the rest.
    pub share: f32,
}

/// A mixed batch.
#[derive(Debug)]
pub(in crate::train) struct Mixed {
    /// `[B, 3, H, W]`.
    pub images: Vec<f32>,
    /// The greater label of each photo.
    pub labels: Vec<i32>,
    /// The lesser one.
    pub seconds: Vec<Second>,
}

/// Mixes a batch of normalised photos, each `[3, height, width]`, or returns `None` where the recipe mixes nothing.
///
/// Everything random follows from `keys`, a random number per photo.
pub(in crate::train) fn mix(
    views: &[&[f32]],
    labels: &[i32],
    keys: &[u64],
    [height, width]: [usize; 2],
    augment: &Augment,
) -> Option<Mixed> {
    // The check of recipes keeps impossible values out, so a distribution that cannot be made is one that is off.
    let shares = |alpha: f64| (alpha > 0.0).then(|| Beta::new(alpha, alpha).ok()).flatten();
    let (mixup, cutmix) = (shares(augment.mixup), shares(augment.cutmix));
    if mixup.is_none() && cutmix.is_none() {
        return None;
    }
    let mut partners: Vec<usize> = (0..views.len()).collect();
    partners.shuffle(&mut source(keys.first().copied().unwrap_or(0), 0, 1));
    let mut mixed = Mixed { images: Vec::with_capacity(views.len() * 3 * height * width), ..Mixed::empty() };
    for (i, &partner) in partners.iter().enumerate() {
        let mut random = source(keys[i], 0, 2);
        let (own, other) = (views[i], views[partner]);
        let chosen = random.random_bool(augment.mix_probability);
        let cut = random.random_bool(0.5);
        let share = match (&mixup, &cutmix) {
            _ if !chosen => {
                mixed.images.extend(own);
                1.0
            }
            (Some(beta), None) => mixed.blend(own, other, beta.sample(&mut random) as f32),
            (Some(beta), Some(_)) if !cut => mixed.blend(own, other, beta.sample(&mut random) as f32),
            (_, Some(beta)) => mixed.paste(own, other, [height, width], beta.sample(&mut random), &mut random),
            (None, None) => 1.0,
        };
        let (mut first, mut second, mut rest) = (labels[i], labels[partner], 1.0 - share);
        if rest > 0.5 {
            (first, second, rest) = (second, first, share);
        }
        mixed.labels.push(first);
        mixed.seconds.push(Second { class: second, share: rest });
    }
    Some(mixed)
}

impl Mixed {
    fn empty() -> Self {
        Self { images: Vec::new(), labels: Vec::new(), seconds: Vec::new() }
    }

    /// Mixup: `share` of every value; returns the share.
    fn blend(&mut self, own: &[f32], other: &[f32], share: f32) -> f32 {
        self.images.extend(own.iter().zip(other).map(|(a, b)| share * a + (1.0 - share) * b));
        share
    }

    /// Cutmix: a box of the partner with about `1 - share` of the area, cut off at the border; returns the share left.
    fn paste(
        &mut self,
        own: &[f32],
        other: &[f32],
        [height, width]: [usize; 2],
        share: f64,
        random: &mut impl Rng,
    ) -> f32 {
        let side = (1.0 - share).max(0.0).sqrt();
        let mut span = |length: usize| {
            let half = (side * length as f64 / 2.0).round() as usize;
            let centre = random.random_range(0..length);
            centre.saturating_sub(half)..(centre + half).min(length)
        };
        let (rows, columns) = (span(height), span(width));
        let start = self.images.len();
        self.images.extend(own);
        for channel in 0..3 {
            for row in rows.clone() {
                let at = (channel * height + row) * width;
                let line = at + columns.start..at + columns.end;
                self.images[start + line.start..start + line.end].copy_from_slice(&other[line]);
            }
        }
        1.0 - (rows.len() * columns.len()) as f32 / (height * width) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Eight photos whose every value is their number.
    fn mixed(augment: &Augment, seed: u64) -> Option<Mixed> {
        let views: Vec<Vec<f32>> = (0..8).map(|i| vec![i as f32; 3 * 6 * 10]).collect();
        let views: Vec<&[f32]> = views.iter().map(Vec::as_slice).collect();
        let keys: Vec<u64> = (0..8).map(|i| seed * 100 + i).collect();
        mix(&views, &[0, 1, 2, 3, 4, 5, 6, 7], &keys, [6, 10], augment)
    }

    #[test]
    fn labels_are_the_shares_of_the_pixels() {
        let both = Augment { mixup: 0.4, cutmix: 1.0, ..Augment::default() };
        let (mut blended, mut pasted, mut pairs) = (0, 0, 0);
        for seed in 0..50 {
            let mixed = mixed(&both, seed).unwrap();
            for (i, values) in mixed.images.chunks(180).enumerate() {
                let (first, second) = (mixed.labels[i] as f32, mixed.seconds[i]);
                assert!((0.0..=0.5).contains(&second.share));
                let expected = first * (1.0 - second.share) + second.class as f32 * second.share;
                let mean = values.iter().sum::<f32>() / 180.0;
                assert!((mean - expected).abs() < 1e-4, "{mean} {expected}");
                pairs += usize::from(first != second.class as f32);
                if values.iter().any(|v| *v != values[0]) {
                    pasted += 1;
                    assert!(values.iter().all(|v| *v == first || *v == second.class as f32), "cutmix keeps pixels");
                } else {
                    blended += usize::from(values[0] != first);
                }
            }
        }
        assert!(blended > 80 && pasted > 80 && pairs > 300, "{blended} {pasted} {pairs}");
    }

    #[test]
    fn off_by_default_and_reproducible() {
        assert!(mixed(&Augment::default(), 1).is_none());
        let mixup = Augment { mixup: 0.8, ..Augment::default() };
        assert_eq!(mixed(&mixup, 1).unwrap().images, mixed(&mixup, 1).unwrap().images);
        assert_ne!(mixed(&mixup, 1).unwrap().images, mixed(&mixup, 2).unwrap().images);
        let never = Augment { mix_probability: 0.0, ..mixup };
        let same = mixed(&never, 1).unwrap();
        assert_eq!(same.labels, [0, 1, 2, 3, 4, 5, 6, 7]);
        assert!(same.seconds.iter().all(|second| second.share == 0.0));
    }
}

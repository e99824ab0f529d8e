//! What holds for every ranking, and a re-ranking that the authors' program computed too.

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

/// Four values a photo, by a rule that the program beside the expected values follows too.
fn features(photos: i64, seed: i64) -> Features {
    let value = |i: i64, k: i64| ((i * 37 + k * 53 + seed * 11 + i * i * k * 7) % 29) - 14 + 30 * i64::from(i % 3 == k);
    Features::new((0..photos).flat_map(|i| (0..4).map(move |k| value(i, k) as f32)).collect(), 4).unwrap()
}

/// A transcription, from memory, of `re_ranking` in the authors' program (zhunzhong07/person-re-ranking), run with
/// NumPy 2.4 on the Euclidean distances of the same features.
#[test]
fn a_transcription_to_numpy_gives_the_same() {
    let cases = [
        (
            Rerank { k1: 4, k2: 2, lambda: 0.3 },
            [
                0.174304, 1.000000, 0.964212, 0.166838, 0.817094, 0.974194, 0.297046, 0.824137, 0.872499, 0.067163,
                0.937287, 0.925144, 0.932387, 0.434320, 0.966172, 0.900525, 0.148126, 0.986179, 0.782499, 0.185524,
                0.932655, 0.942521, 0.026407, 0.830800, 0.845558, 1.000000, 0.144044, 0.824305, 0.913145, 0.165237,
                0.859612, 0.971156, 0.064117, 0.950395, 0.884139, 0.022931,
            ],
        ),
        (
            Rerank { k1: 5, k2: 1, lambda: 0.0 },
            [
                0.089523, 1.000000, 1.000000, 0.232253, 0.915321, 1.000000, 0.277127, 1.000000, 0.927136, 0.063530,
                1.000000, 1.000000, 1.000000, 0.556091, 0.918195, 1.000000, 0.444721, 0.918195, 0.915164, 0.345951,
                0.918195, 1.000000, 0.329085, 0.835176, 1.000000, 1.000000, 0.125910, 0.929689, 1.000000, 0.142396,
                1.000000, 1.000000, 0.239174, 1.000000, 1.000000, 0.232848,
            ],
        ),
        (
            // More neighbours than there are photos.
            Rerank::default(),
            [
                0.103670, 0.457603, 0.499187, 0.095725, 0.309481, 0.509169, 0.051587, 0.316524, 0.403920, 0.041930,
                0.396800, 0.460120, 0.387084, 0.206201, 0.466091, 0.359855, 0.083178, 0.486098, 0.264912, 0.120576,
                0.441633, 0.391372, 0.081257, 0.330719, 0.340107, 0.550543, 0.105579, 0.320925, 0.461091, 0.126772,
                0.391033, 0.519102, 0.035910, 0.483857, 0.432085, 0.068750,
            ],
        ),
    ];
    for (settings, expected) in cases {
        let found = rerank(&features(3, 1), &features(12, 2), settings).unwrap();
        assert_eq!((found.columns, found.values.len()), (12, 36));
        for (place, (found, expected)) in found.values.iter().zip(expected).enumerate() {
            assert!((found - expected).abs() < 2e-5, "{settings:?} at {place}: {found} {expected}");
        }
    }
}

/// A random case: features, identities (distractors and junk among them) and cameras of queries and gallery.
struct Case {
    query: Features,
    gallery: Features,
    query_photos: (Vec<i32>, Vec<i32>),
    gallery_photos: (Vec<i32>, Vec<i32>),
}

impl Case {
    fn new(random: &mut ChaCha8Rng, perfect: bool) -> Self {
        let mut list = |photos: usize, lowest: i32| {
            let identities: Vec<i32> = (0..photos).map(|_| random.random_range(lowest..6)).collect();
            let cameras = (0..photos).map(|_| random.random_range(1..4)).collect();
            let mut values = Vec::new();
            for &identity in &identities {
                // Perfect features have a direction for each identity, with a little noise.
                let own = |k: i32| if perfect && k == identity + 1 { 10.0 } else { 0.0 };
                values.extend((0..8).map(|k| own(k) + random.random_range(-1.0f32..1.0)));
            }
            (Features::new(values, 8).unwrap(), (identities, cameras))
        };
        let (query, query_photos) = list(9, 1);
        let (gallery, gallery_photos) = list(40, -1);
        Self { query, gallery, query_photos, gallery_photos }
    }

    fn rank(&self, distances: &Distances) -> Ranking {
        let photos = |(identities, cameras)| Photos { identities, cameras };
        let (q, g) = (&self.query_photos, &self.gallery_photos);
        rank(distances, photos((&q.0, &q.1)), photos((&g.0, &g.1))).unwrap()
    }

    fn plain(&self) -> Ranking {
        self.rank(&distances(&self.query, &self.gallery, Metric::Cosine).unwrap())
    }
}

#[test]
fn perfect_features_give_one() {
    for seed in 0..20 {
        let case = Case::new(&mut ChaCha8Rng::seed_from_u64(seed), true);
        let reranked = rerank(&case.query, &case.gallery, Rerank { k1: 5, k2: 2, lambda: 0.3 }).unwrap();
        for ranking in [case.plain(), case.rank(&reranked)] {
            assert!(ranking.queries > 0 && ranking.queries + ranking.without_match == 9);
            assert_eq!([ranking.rank1, ranking.rank10], [1.0, 1.0]);
            assert!((ranking.map - 1.0).abs() < 1e-12 && (ranking.minp - 1.0).abs() < 1e-12, "{ranking:?}");
        }
    }
}

#[test]
fn the_order_of_the_gallery_changes_nothing() {
    for seed in 0..20 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let case = Case::new(&mut random, false);
        let mut order: Vec<usize> = (0..40).collect();
        order.shuffle(&mut random);
        let pick = |values: &[i32]| order.iter().map(|&g| values[g]).collect::<Vec<_>>();
        let rows = order.iter().flat_map(|&g| case.gallery.row(g).to_vec()).collect();
        let shuffled = Case {
            query: case.query.clone(),
            gallery: Features::new(rows, 8).unwrap(),
            query_photos: case.query_photos.clone(),
            gallery_photos: (pick(&case.gallery_photos.0), pick(&case.gallery_photos.1)),
        };
        let (a, b) = (case.plain(), shuffled.plain());
        assert!(a.map < 0.99, "the features are random");
        assert_eq!(a, b);
    }
}

#[test]
fn lambda_one_is_the_original_order() {
    for seed in 0..10 {
        let case = Case::new(&mut ChaCha8Rng::seed_from_u64(seed), false);
        let settings = Rerank { lambda: 1.0, ..Rerank::default() };
        let reranked = rerank(&case.query, &case.gallery, settings).unwrap();
        assert_eq!(case.rank(&reranked), case.plain());
        let jaccard = rerank(&case.query, &case.gallery, Rerank { lambda: 0.0, ..settings }).unwrap();
        assert_ne!(case.rank(&jaccard), case.plain(), "and lambda 0 is not");
    }
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let (query, gallery) = (features(2, 1), features(3, 2));
    for settings in [
        Rerank { k1: 0, ..Rerank::default() },
        Rerank { k2: 0, ..Rerank::default() },
        Rerank { lambda: 1.5, ..Rerank::default() },
        Rerank { lambda: f32::NAN, ..Rerank::default() },
    ] {
        assert_eq!(rerank(&query, &gallery, settings), Err(FeaturesError::Rerank));
    }
    let wide = Features::new(vec![1.0; 5], 5).unwrap();
    assert!(rerank(&query, &wide, Rerank::default()).is_err());
}

//! CMC, mAP and mINP of a ranking.
//!
//! Rules of the Market-1501 protocol (Zheng et al., "Scalable Person Re-identification: A Benchmark", ICCV 2015), which
//! DukeMTMC-reID, MSMT17, CUHK03-NP and VeRi-776 share: gallery photos of the query's identity from the query's own
//! camera are left out of its list, and so are photos of identity -1 ("junk": parts of people, double detections).
//! Distractors (0000) are nobody's match and stay. A query without any match in its list is not counted.
//!
//! Average precision is the mean of the precisions at the matches, as torchreid and fast-reid compute it and papers
//! since print it; the MATLAB code of 2015 averages neighbouring precisions, which gives slightly other values. mINP is
//! that of Ye et al., "Deep Learning for Person Re-identification: A Survey and Outlook", TPAMI 2021 (AGW).

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Distances, FeaturesError};
use crate::data::reid::ReidSample;

/// The identity of photos that are left out of every list.
const JUNK: i32 = -1;

/// The identity of distractors; 0 is somebody in MSMT17.
const NOBODY: i32 = i32::MAX;

/// Who is on a list of photos, and which camera saw it.
#[derive(Debug, Clone, Copy)]
pub struct Photos<'a> {
    /// Identity of each photo.
    pub identities: &'a [i32],
    /// Camera of each photo.
    pub cameras: &'a [i32],
}

/// Identities and cameras of a data set's photos, as [`Photos`] borrows them. A distractor gets a number of its own,
/// which nobody who is searched for has.
pub fn numbers(samples: &[ReidSample]) -> (Vec<i32>, Vec<i32>) {
    let small = |number: usize| i32::try_from(number).unwrap_or(NOBODY);
    let identity = |sample: &ReidSample| sample.identity.known().map_or(NOBODY, small);
    (samples.iter().map(identity).collect(), samples.iter().map(|sample| small(sample.camera)).collect())
}

/// The measures of a ranking, shares from 0 to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Ranking {
    /// Mean average precision.
    pub map: f64,
    /// Share of the queries with a match at the first place.
    pub rank1: f64,
    /// With a match among the first five.
    pub rank5: f64,
    /// With a match among the first ten.
    pub rank10: f64,
    /// Mean inverse negative penalty: matches over the place of the last of them.
    pub minp: f64,
    /// Queries that were counted.
    pub queries: usize,
    /// Queries without a match in their list, not counted.
    pub without_match: usize,
}

impl Ranking {
    /// These queries and those of `other` together.
    pub(in super::super) fn and(&self, other: &Self) -> Self {
        let queries = self.queries + other.queries;
        let mean = |a: f64, b: f64| (a * self.queries as f64 + b * other.queries as f64) / queries.max(1) as f64;
        Self {
            map: mean(self.map, other.map),
            rank1: mean(self.rank1, other.rank1),
            rank5: mean(self.rank5, other.rank5),
            rank10: mean(self.rank10, other.rank10),
            minp: mean(self.minp, other.minp),
            queries,
            without_match: self.without_match + other.without_match,
        }
    }
}

/// What one query gives.
struct One {
    first: usize,
    average_precision: f64,
    inverse_negative_penalty: f64,
}

/// Ranks the gallery for each query (rows of `distances`). Between equal distances a wrong photo comes first, so that
/// the order of the gallery changes nothing and ties win nothing.
///
/// # Errors
/// [`FeaturesError::Length`] where distances, identities and cameras do not belong together.
pub fn rank(distances: &Distances, query: Photos<'_>, gallery: Photos<'_>) -> Result<Ranking, FeaturesError> {
    let check = |what, found: usize, expected: usize| {
        if found == expected { Ok(()) } else { Err(FeaturesError::Length { what, found, expected }) }
    };
    let (queries, columns) = (query.identities.len(), distances.columns);
    check("distances", distances.values.len(), queries * columns)?;
    check("cameras of queries", query.cameras.len(), queries)?;
    check("identities of the gallery", gallery.identities.len(), columns)?;
    check("cameras of the gallery", gallery.cameras.len(), columns)?;

    let one = |q: usize| {
        let (identity, camera) = (query.identities[q], query.cameras[q]);
        let row = &distances.values[q * columns..][..columns];
        let mut list: Vec<(f32, bool)> = (0..columns)
            .filter(|&g| gallery.identities[g] != JUNK)
            .filter(|&g| (gallery.identities[g], gallery.cameras[g]) != (identity, camera))
            .map(|g| (row[g], gallery.identities[g] == identity))
            .collect();
        list.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let places: Vec<usize> = (1..).zip(&list).filter(|(_, entry)| entry.1).map(|(place, _)| place).collect();
        let (&first, &last) = (places.first()?, places.last()?);
        let precisions = (1..).zip(&places).map(|(hits, &place)| f64::from(hits) / place as f64);
        let matches = places.len() as f64;
        Some(One {
            first,
            average_precision: precisions.sum::<f64>() / matches,
            inverse_negative_penalty: matches / last as f64,
        })
    };
    let found: Vec<Option<One>> = (0..queries).into_par_iter().map(one).collect();
    let counted: Vec<&One> = found.iter().flatten().collect();
    let mean =
        |value: &dyn Fn(&One) -> f64| counted.iter().map(|one| value(one)).sum::<f64>() / counted.len().max(1) as f64;
    let within = |place: usize| mean(&|one| f64::from(u8::from(one.first <= place)));
    Ok(Ranking {
        map: mean(&|one| one.average_precision),
        rank1: within(1),
        rank5: within(5),
        rank10: within(10),
        minp: mean(&|one| one.inverse_negative_penalty),
        queries: counted.len(),
        without_match: queries - counted.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::reid::Identity;

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    }

    #[test]
    fn a_small_ranking_is_worked_out_by_hand() {
        // One gallery, nearest first: identity and camera.
        //   3c1  -1c2  0c2  7c2  3c2  7c3  3c3  3c1
        // Query 3 from camera 1: both 3c1 (own camera) and the junk leave; the list is 0 7 3 7 3: matches at 3 and 5.
        //   AP = (1/3 + 2/5) / 2 = 11/30, first match at 3, INP = 2/5.
        // Query 7 from camera 1: the junk leaves; the list is 3 0 7 3 7 3 3: matches at 3 and 5, the same values.
        // Query 3 from camera 3: 3c3 and the junk leave; the list is 3 0 7 3 7 3: matches at 1, 4, 6.
        //   AP = (1 + 2/4 + 3/6) / 3 = 2/3, first match at 1, INP = 3/6.
        // Query 9 has no match and is not counted.
        let gallery = Photos { identities: &[3, -1, 0, 7, 3, 7, 3, 3], cameras: &[1, 2, 2, 2, 2, 3, 3, 1] };
        let query = Photos { identities: &[3, 7, 3, 9], cameras: &[1, 1, 3, 1] };
        let row = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8];
        let ranking = rank(&Distances { values: row.repeat(4), columns: 8 }, query, gallery).unwrap();
        near(ranking.map, (11.0 / 30.0 + 11.0 / 30.0 + 2.0 / 3.0) / 3.0);
        near(ranking.rank1, 1.0 / 3.0);
        near(ranking.rank5, 1.0);
        near(ranking.rank10, 1.0);
        near(ranking.minp, (0.4 + 0.4 + 0.5) / 3.0);
        assert_eq!((ranking.queries, ranking.without_match), (3, 1));
    }

    #[test]
    fn places_beyond_five_and_ten_count_as_such() {
        // The only match is at place 6, then at place 11.
        for (place, expected) in [(6, [0.0, 0.0, 1.0]), (11, [0.0, 0.0, 0.0])] {
            let identities: Vec<i32> = (1..=12).map(|p| if p == place { 5 } else { 100 + p }).collect();
            let values = (0..12u8).map(f32::from).collect();
            let gallery = Photos { identities: &identities, cameras: &[2; 12] };
            let query = Photos { identities: &[5], cameras: &[1] };
            let ranking = rank(&Distances { values, columns: 12 }, query, gallery).unwrap();
            assert_eq!([ranking.rank1, ranking.rank5, ranking.rank10], expected);
            near(ranking.map, 1.0 / f64::from(place));
        }
    }

    #[test]
    fn a_tie_wins_nothing() {
        let distances = Distances { values: vec![0.5, 0.5], columns: 2 };
        let query = Photos { identities: &[1], cameras: &[1] };
        for identities in [[1, 2], [2, 1]] {
            let gallery = Photos { identities: &identities, cameras: &[2, 2] };
            near(rank(&distances, query, gallery).unwrap().map, 0.5);
        }
    }

    #[test]
    fn queries_in_parts_give_the_same() {
        let gallery = Photos { identities: &[1, 2, 1, 3], cameras: &[2, 2, 3, 2] };
        let values = vec![0.3, 0.2, 0.9, 0.4, 0.5, 0.1, 0.2, 0.8, 0.7, 0.6, 0.5, 0.4];
        let (identities, cameras) = ([1, 2, 9], [1, 1, 1]);
        let of = |from: usize, to: usize| {
            let distances = Distances { values: values[4 * from..4 * to].to_vec(), columns: 4 };
            let query = Photos { identities: &identities[from..to], cameras: &cameras[from..to] };
            rank(&distances, query, gallery).unwrap()
        };
        let (whole, parts) = (of(0, 3), Ranking::default().and(&of(0, 1)).and(&of(1, 3)));
        near(whole.map, parts.map);
        near(whole.minp, parts.minp);
        assert_eq!((whole.queries, whole.without_match), (2, 1));
        assert_eq!((parts.queries, parts.without_match, parts.rank1), (2, 1, whole.rank1));
    }

    #[test]
    fn a_distractor_is_nobody() {
        let sample = |identity, camera| ReidSample { path: "x".into(), identity, camera };
        let samples = [sample(Identity::Known(0), 2), sample(Identity::Distractor, 3), sample(Identity::Known(7), 1)];
        assert_eq!(numbers(&samples), (vec![0, NOBODY, 7], vec![2, 3, 1]));
    }

    #[test]
    fn lists_of_other_lengths_are_refused() {
        let distances = Distances { values: vec![0.5, 0.5], columns: 2 };
        let photos = |identities, cameras| Photos { identities, cameras };
        let error = rank(&distances, photos(&[1], &[1]), photos(&[1], &[1, 2])).unwrap_err().to_string();
        assert!(error.contains("identities of the gallery: 1 were given, 2 are needed"), "{error}");
        assert!(rank(&distances, photos(&[1, 2], &[1, 2]), photos(&[1, 2], &[1, 2])).is_err());
    }
}

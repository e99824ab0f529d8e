//! Features of unit length, and their distances.

use rayon::prelude::*;

/// The features of a list of photos, `[photos, width]`, each scaled to unit length.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    values: Vec<f32>,
    width: usize,
}

/// How far two features are from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// `1 - a b`, from 0 to 2.
    Cosine,
    /// `|a - b|`, from 0 to 2. The order is that of [`Metric::Cosine`], the features having unit length.
    Euclidean,
}

/// The distances of query photos (rows) to gallery photos (columns).
#[derive(Debug, Clone, PartialEq)]
pub struct Distances {
    /// `[rows, columns]`.
    pub values: Vec<f32>,
    /// Gallery photos.
    pub columns: usize,
}

/// Why photos cannot be ranked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FeaturesError {
    /// Numbers of features, identities and cameras that do not belong together.
    #[error("{what}: {found} were given, {expected} are needed")]
    Length {
        /// What they are.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
    /// A feature without a direction.
    #[error("the feature of photo {0} is zero or not finite: the network computed no feature there")]
    Feature(usize),
    /// Settings that make no sense.
    #[error("re-ranking needs k1 and k2 of at least 1 and lambda from 0 to 1")]
    Rerank,
}

impl Features {
    /// Takes features `[photos, width]` and scales each to unit length.
    ///
    /// # Errors
    /// [`FeaturesError`] for a length that is no multiple of `width`, and for a feature that is zero or not finite.
    pub fn new(mut values: Vec<f32>, width: usize) -> Result<Self, FeaturesError> {
        if width == 0 || !values.len().is_multiple_of(width) {
            let expected = values.len().next_multiple_of(width.max(1)).max(width);
            return Err(FeaturesError::Length { what: "values of features", found: values.len(), expected });
        }
        for (photo, row) in values.chunks_mut(width).enumerate() {
            let norm = row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
            if norm == 0.0 || !norm.is_finite() {
                return Err(FeaturesError::Feature(photo));
            }
            row.iter_mut().for_each(|v| *v = (f64::from(*v) / norm) as f32);
        }
        Ok(Self { values, width })
    }

    /// How many photos.
    pub fn photos(&self) -> usize {
        self.values.len() / self.width
    }

    /// Values of a feature.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Some of the photos; the range lies within them.
    pub(in super::super) fn part(&self, photos: std::ops::Range<usize>) -> Self {
        Self { values: self.values[photos.start * self.width..photos.end * self.width].to_vec(), width: self.width }
    }

    /// These photos, then those of `other`, which has the same width.
    pub(super) fn chain(&self, other: &Self) -> Self {
        Self { values: [&self.values[..], &other.values].concat(), width: self.width }
    }

    pub(super) fn row(&self, photo: usize) -> &[f32] {
        &self.values[photo * self.width..][..self.width]
    }

    /// Squared Euclidean distance of two photos, exactly 0 of a photo to itself.
    pub(super) fn squared(&self, a: usize, b: usize) -> f32 {
        if a == b { 0.0 } else { (2.0 - 2.0 * dot(self.row(a), self.row(b))).max(0.0) }
    }
}

/// The distance of each query to each gallery photo.
///
/// # Errors
/// [`FeaturesError::Length`] where the widths differ.
pub fn distances(query: &Features, gallery: &Features, metric: Metric) -> Result<Distances, FeaturesError> {
    if query.width != gallery.width {
        let (found, expected) = (gallery.width, query.width);
        return Err(FeaturesError::Length { what: "values of a gallery feature", found, expected });
    }
    let distance = |a: &[f32], b: &[f32]| match metric {
        Metric::Cosine => 1.0 - dot(a, b),
        Metric::Euclidean => (2.0 - 2.0 * dot(a, b)).max(0.0).sqrt(),
    };
    let row = |q: usize| (0..gallery.photos()).map(move |g| distance(query.row(q), gallery.row(g)));
    let values = (0..query.photos()).into_par_iter().flat_map_iter(row).collect();
    Ok(Distances { values, columns: gallery.photos() })
}

/// Sum of products, in eight lanes so that it can be computed side by side.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut lanes = [0f32; 8];
    for (a, b) in a.iter().zip(b) {
        for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += a * b;
        }
    }
    lanes.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_worked_out_by_hand() {
        // Directions at 0, 60 and 180 degrees from the query; lengths do not count.
        let query = Features::new(vec![5.0, 0.0], 2).unwrap();
        let gallery = Features::new(vec![1.0, 0.0, 1.0, 3f32.sqrt(), -0.1, 0.0], 2).unwrap();
        let of = |metric| distances(&query, &gallery, metric).unwrap().values;
        for (found, expected) in of(Metric::Cosine).into_iter().zip([0.0, 0.5, 2.0]) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
        for (found, expected) in of(Metric::Euclidean).into_iter().zip([0.0, 1.0, 2.0]) {
            assert!((found - expected).abs() < 1e-3, "{found} {expected}");
        }
        let long: Vec<f32> = (0..19).map(|i| i as f32).collect();
        assert_eq!(dot(&long, &long), (0..19).map(|i| i * i).sum::<i32>() as f32);
    }

    #[test]
    fn what_is_no_feature_is_named() {
        assert_eq!(Features::new(vec![1.0, 0.0, 0.0, 0.0], 2), Err(FeaturesError::Feature(1)));
        assert_eq!(Features::new(vec![f32::NAN, 0.0], 2), Err(FeaturesError::Feature(0)));
        assert!(Features::new(vec![1.0; 3], 2).unwrap_err().to_string().contains("3 were given, 4 are needed"));
        let (two, three) = (Features::new(vec![1.0; 2], 2).unwrap(), Features::new(vec![1.0; 3], 3).unwrap());
        assert!(distances(&two, &three, Metric::Cosine).is_err());
    }
}

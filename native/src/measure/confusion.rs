//! Which classes are taken for which.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Photos of one class that were named as another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confused {
    /// The class that the photos show.
    pub right: usize,
    /// The class that the network named.
    pub named: usize,
    /// How many photos.
    pub photos: usize,
    /// The first of them, as places in the list of photos that was measured.
    pub examples: Vec<usize>,
}

/// The confusion matrix, kept where it is not zero: `classes^2` cells would be mostly empty.
#[derive(Debug, Clone)]
pub struct Confusion {
    cells: BTreeMap<(usize, usize), Vec<usize>>,
    classes: usize,
}

/// Places of photos that are kept for each cell.
const EXAMPLES: usize = 3;

impl Confusion {
    /// An empty matrix for `classes` classes.
    pub fn new(classes: usize) -> Self {
        Self { cells: BTreeMap::new(), classes }
    }

    /// Counts the photo at `place` in its list, which shows `right` and was named `named`.
    pub fn add(&mut self, place: usize, right: usize, named: usize) {
        self.cells.entry((right, named)).or_default().push(place);
    }

    /// How many photos of class `right` were named `named`.
    pub fn photos(&self, right: usize, named: usize) -> usize {
        self.cells.get(&(right, named)).map_or(0, Vec::len)
    }

    /// `[rightly named, photos]` of each class.
    pub fn per_class(&self) -> Vec<[usize; 2]> {
        let mut counts = vec![[0, 0]; self.classes];
        for (&(right, named), places) in &self.cells {
            if let Some([hits, total]) = counts.get_mut(right) {
                *hits += if right == named { places.len() } else { 0 };
                *total += places.len();
            }
        }
        counts
    }

    /// The pairs of classes that were confused, most photos first, ties by class, at most `most`.
    pub fn most_confused(&self, most: usize) -> Vec<Confused> {
        let mut pairs: Vec<Confused> = self
            .cells
            .iter()
            .filter(|((right, named), _)| right != named)
            .map(|(&(right, named), places)| {
                let examples = places.iter().copied().take(EXAMPLES).collect();
                Confused { right, named, photos: places.len(), examples }
            })
            .collect();
        pairs.sort_by_key(|pair| std::cmp::Reverse(pair.photos));
        pairs.truncate(most);
        pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_is_counted_by_hand() {
        let mut confusion = Confusion::new(4);
        let named = [(0, 0), (0, 2), (1, 1), (0, 2), (2, 0), (2, 0), (0, 0), (2, 1), (0, 2), (0, 2), (0, 2)];
        for (place, (right, named)) in named.into_iter().enumerate() {
            confusion.add(place, right, named);
        }
        assert_eq!(confusion.photos(0, 2), 5);
        assert_eq!(confusion.photos(3, 3), 0);
        assert_eq!(confusion.per_class(), [[2, 7], [1, 1], [0, 3], [0, 0]]);
        let pair =
            |right, named, photos, examples: &[usize]| Confused { right, named, photos, examples: examples.into() };
        let all = [pair(0, 2, 5, &[1, 3, 8]), pair(2, 0, 2, &[4, 5]), pair(2, 1, 1, &[7])];
        assert_eq!(confusion.most_confused(30), all);
        assert_eq!(confusion.most_confused(1), all[..1]);
    }
}

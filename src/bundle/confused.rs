//! Pairs of classes that the network takes for each other.

use serde::{Deserialize, Serialize};

use super::BundleError;

/// The most pairs that a bundle may list.
pub const MAX_CONFUSED: usize = 200;

/// How often one class was taken for another on the test photos.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confused {
    /// The class that the photos show.
    pub right: usize,
    /// The class that the network named.
    pub named: usize,
    /// Photos of `right` that were named `named`; at least 1.
    pub photos: usize,
    /// All test photos of `right`.
    pub of: usize,
}

/// Checks the list of a bundle with `classes` classes.
///
/// # Errors
/// [`BundleError::Field`].
pub(super) fn check_confused(pairs: &[Confused], classes: usize) -> Result<(), BundleError> {
    let fail = |text: String| Err(BundleError::Field(format!("the list of confused classes {text}")));
    if pairs.len() > MAX_CONFUSED {
        return fail(format!("has {} pairs, at most {MAX_CONFUSED} are accepted", pairs.len()));
    }
    for (place, pair) in pairs.iter().enumerate() {
        let Confused { right, named, photos, of } = *pair;
        if right >= classes || named >= classes || right == named {
            return fail(format!("has the classes {right} and {named}, which are no pair of {classes} classes"));
        }
        if photos == 0 || photos > of {
            return fail(format!("counts {photos} of {of} photos"));
        }
        if pairs[..place].iter().any(|other| (other.right, other.named) == (right, named)) {
            return fail(format!("has the classes {right} and {named} twice"));
        }
    }
    Ok(())
}

/// What is known of two classes, at most one entry for each direction: first `first` shown and `second` named.
pub fn between(pairs: &[Confused], first: usize, second: usize) -> impl Iterator<Item = Confused> {
    [(first, second), (second, first)]
        .into_iter()
        .filter_map(|(right, named)| pairs.iter().find(|pair| (pair.right, pair.named) == (right, named)).copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn pair(right: usize, named: usize, photos: usize, of: usize) -> Confused {
        Confused { right, named, photos, of }
    }

    #[test]
    fn both_directions_are_found() {
        let pairs = [pair(0, 1, 3, 41), pair(2, 1, 1, 9), pair(1, 0, 2, 20)];
        assert_eq!(between(&pairs, 1, 0).collect::<Vec<_>>(), [pairs[2], pairs[0]]);
        assert_eq!(between(&pairs, 1, 2).collect::<Vec<_>>(), [pairs[1]]);
        assert_eq!(between(&pairs, 0, 2).count(), 0);
    }

    #[test]
    fn a_list_that_cannot_be_is_refused() {
        assert!(check_confused(&[pair(0, 1, 3, 41), pair(1, 0, 3, 3)], 2).is_ok());
        let wrong = [pair(0, 2, 1, 2), pair(1, 1, 1, 2), pair(0, 1, 0, 2), pair(0, 1, 3, 2)];
        for pair in wrong {
            assert!(check_confused(&[pair], 2).is_err(), "{pair:?}");
        }
        assert!(check_confused(&[pair(0, 1, 1, 1); 2], 2).is_err());
        assert!(check_confused(&vec![pair(0, 1, 1, 1); MAX_CONFUSED + 1], 2).is_err());
    }
}

//! Coarser names for the classes, and when one of them is the better answer.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::BundleError;

/// Where the most probable class has less than this, the fine answer is unsure and a coarser one is looked for.
pub const UNSURE_BELOW: f32 = 0.8;

/// A group of classes that together have at least this is sure. Probabilities are taken at their word, so of the groups
/// that are named nine in ten are right where the bundle is calibrated.
pub const SURE_FROM: f32 = 0.9;

/// The most levels that a bundle may have.
const MAX_LEVELS: usize = 8;

/// The longest name of a level or a group, in bytes.
const MAX_NAME: usize = 200;

/// One way to group the classes: each belongs to one group ("make", "body type", "family"), or to none where that is not
/// known.
///
/// Levels stand side by side: a group of one need not lie within a group of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// Name of the level for people, in the singular ("make").
    pub name: String,
    /// Names of the groups ("Audi"); none is empty.
    pub groups: Vec<String>,
    /// The group of each class, in the order of the labels, `[classes]`.
    pub of_class: Vec<Option<usize>>,
}

/// A coarser answer that is sure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Coarser {
    /// Name of the level.
    pub level: String,
    /// Name of the group.
    pub label: String,
    /// Sum of the probabilities of its classes, from [`SURE_FROM`] to 1.
    pub probability: f32,
}

impl Level {
    /// Groups classes by the name that each one has on this level, `[classes]`, or has not; groups are in the order of
    /// their first class.
    pub fn of_names<'a>(name: &str, names: impl IntoIterator<Item = Option<&'a str>>) -> Self {
        let mut groups: Vec<String> = Vec::new();
        let mut place = |group: &str| {
            groups.iter().position(|known| known == group).unwrap_or_else(|| {
                groups.push(group.to_owned());
                groups.len() - 1
            })
        };
        let of_class = names.into_iter().map(|group| group.map(&mut place)).collect();
        Self { name: name.to_owned(), groups, of_class }
    }

    /// Whether some group has more than one class: otherwise the level says no more than the classes do.
    pub fn is_coarser(&self) -> bool {
        self.of_class.iter().flatten().count() > self.groups.len()
    }

    /// Probability of each group, `[groups]`, from that of each class, `[classes]`; summed in f64.
    fn sums(&self, probability: &[f32]) -> Vec<f64> {
        let mut sums = vec![0.0; self.groups.len()];
        for (&group, &p) in self.of_class.iter().zip(probability) {
            if let Some(sum) = group.and_then(|group| sums.get_mut(group)) {
                *sum += f64::from(p);
            }
        }
        sums
    }

    fn check(&self, classes: usize) -> Result<(), BundleError> {
        let name = &self.name;
        let fail = |text: String| Err(BundleError::Field(format!("the level {name:?} of the hierarchy {text}")));
        if name.trim().is_empty() || name.len() > MAX_NAME {
            return fail(format!("must have a name of at most {MAX_NAME} bytes"));
        }
        if self.of_class.len() != classes {
            return fail(format!("groups {} classes, the network has {classes}", self.of_class.len()));
        }
        let mut seen = BTreeSet::new();
        for group in &self.groups {
            if group.trim().is_empty() || group.len() > MAX_NAME {
                return fail(format!("has a group without a name of at most {MAX_NAME} bytes"));
            }
            if !seen.insert(group) {
                return fail(format!("has two groups {group:?}"));
            }
        }
        if let Some(group) = self.of_class.iter().flatten().find(|&&group| group >= self.groups.len()) {
            return fail(format!("puts a class into group {group}, it has {}", self.groups.len()));
        }
        let used: BTreeSet<usize> = self.of_class.iter().flatten().copied().collect();
        match (0..self.groups.len()).find(|group| !used.contains(group)) {
            Some(group) => fail(format!("has no class in the group {:?}", self.groups[group])),
            None => Ok(()),
        }
    }
}

/// Checks the levels of a bundle with `classes` classes: every level names one group, or none, for every class.
///
/// # Errors
/// [`BundleError::Field`].
pub fn check_levels(levels: &[Level], classes: usize) -> Result<(), BundleError> {
    if levels.len() > MAX_LEVELS {
        return Err(BundleError::Field(format!(
            "the hierarchy has {} levels, at most {MAX_LEVELS} are accepted",
            levels.len()
        )));
    }
    let mut seen = BTreeSet::new();
    for level in levels {
        level.check(classes)?;
        if !seen.insert(&level.name) {
            return Err(BundleError::Field(format!("the hierarchy has two levels {:?}", level.name)));
        }
    }
    Ok(())
}

/// The coarser answers, in the order of the levels: none where the fine answer is sure enough ([`UNSURE_BELOW`]), else the
/// most probable group of each level that is sure ([`SURE_FROM`]). `probability` is `[classes]`, calibrated where the
/// bundle is.
pub fn coarser(levels: &[Level], probability: &[f32]) -> Vec<Coarser> {
    if probability.iter().any(|&p| p >= UNSURE_BELOW) {
        return Vec::new();
    }
    let best = |level: &Level| {
        let sums = level.sums(probability);
        let (group, sum) = sums.into_iter().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b))?;
        // A sum of rounded numbers may pass 1 by a hair.
        let probability = sum.min(1.0) as f32;
        (probability >= SURE_FROM).then(|| Coarser {
            level: level.name.clone(),
            label: level.groups[group].clone(),
            probability,
        })
    };
    levels.iter().filter_map(best).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn makes() -> Level {
        Level::of_names("make", ["Audi", "Audi", "BMW", "Audi"].map(Some))
    }

    fn bodies() -> Level {
        Level::of_names("body type", [Some("Coupe"), Some("Sedan"), Some("Sedan"), None])
    }

    #[test]
    fn a_sure_group_is_named_where_the_class_is_unsure() {
        let levels = [bodies(), makes()];
        let found = coarser(&levels, &[0.55, 0.3, 0.05, 0.1]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].level.as_str(), found[0].label.as_str()), ("make", "Audi"));
        assert!((found[0].probability - 0.95).abs() < 1e-6);
        // Levels stand side by side: the one that is not sure does not stop the other, and both may be.
        let labels = |probability: &[f32]| coarser(&[makes(), bodies()], probability).into_iter().map(|c| c.label);
        assert_eq!(labels(&[0.02, 0.5, 0.44, 0.04]).collect::<Vec<_>>(), ["Sedan"]);
        let same = Level::of_names("year", ["2007", "2007", "2007", "2012"].map(Some));
        assert_eq!(coarser(&[makes(), same], &[0.5, 0.45, 0.01, 0.04]).len(), 2);
    }

    #[test]
    fn nothing_is_named_where_the_class_is_sure_or_no_group_is() {
        let levels = [makes(), bodies()];
        assert_eq!(coarser(&levels, &[UNSURE_BELOW, 0.1, 0.05, 0.05]), []);
        assert_eq!(coarser(&levels, &[0.3, 0.2, 0.3, 0.2]), []);
        assert_eq!(coarser(&[], &[0.5, 0.5, 0.0, 0.0]), []);
        // The last class has no body type: however probable it is, no body type is.
        assert_eq!(coarser(&[bodies()], &[0.1, 0.1, 0.05, 0.75]), []);
        assert_eq!(coarser(&[makes()], &[0.5, 0.25, 0.11, 0.14]), []);
        assert_eq!(coarser(&[makes()], &[0.5, 0.25, 0.09, 0.16]).len(), 1);
    }

    #[test]
    fn a_level_groups_something() {
        assert!(makes().is_coarser() && bodies().is_coarser());
        assert!(!Level::of_names("kind", [Some("a"), None, Some("b")]).is_coarser());
    }

    #[test]
    fn every_class_is_in_one_group() {
        assert!(check_levels(&[makes(), bodies()], 4).is_ok());
        type Spoil = fn(&mut Level);
        let wrong: [(Spoil, &str); 7] = [
            (|level| level.name.clear(), "name"),
            (|level| level.of_class.truncate(3), "groups 3 classes"),
            (|level| level.of_class[0] = Some(9), "group 9"),
            (|level| level.groups[1] = "Audi".into(), "two groups"),
            (|level| level.groups.push("Fiat".into()), "no class"),
            (|level| level.groups[0] = "A".repeat(MAX_NAME + 1), "without a name"),
            (|level| level.name = "body type".into(), "two levels"),
        ];
        for (spoil, word) in wrong {
            let mut level = makes();
            spoil(&mut level);
            let error = check_levels(&[bodies(), level], 4).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        assert!(check_levels(&vec![makes(); MAX_LEVELS + 1], 4).is_err());
    }
}

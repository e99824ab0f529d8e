//! What the coarser answers are worth: how often one is given, and how often it is right.

use finegrain::bundle::{Level, coarser};
use serde::Serialize;

/// The coarser answers of one level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CoarserScore {
    /// Name of the level.
    pub level: String,
    /// Photos for which a group of this level was given.
    pub given: usize,
    /// Those of them that show a class of that group.
    pub right: usize,
}

/// Counts photos, one after the other, by the rule of [`coarser`].
#[derive(Debug, Clone)]
pub struct CoarserTally<'a> {
    levels: &'a [Level],
    scores: Vec<CoarserScore>,
}

impl<'a> CoarserTally<'a> {
    /// Nothing counted yet.
    pub fn new(levels: &'a [Level]) -> Self {
        let score = |level: &Level| CoarserScore { level: level.name.clone(), given: 0, right: 0 };
        Self { levels, scores: levels.iter().map(score).collect() }
    }

    /// Counts a photo of the class `class` with the probabilities that people are shown, `[classes]`.
    pub fn add(&mut self, probability: &[f32], class: usize) {
        let given = coarser(self.levels, probability);
        for (level, score) in self.levels.iter().zip(&mut self.scores) {
            let Some(answer) = given.iter().find(|answer| answer.level == level.name) else { continue };
            let group = level.of_class.get(class).copied().flatten().and_then(|group| level.groups.get(group));
            score.given += 1;
            score.right += usize::from(group == Some(&answer.label));
        }
    }

    /// What was counted, in the order of the levels.
    pub fn scores(self) -> Vec<CoarserScore> {
        self.scores
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_hand() {
        let levels = [Level::of_names("make", [Some("Audi"), Some("Audi"), Some("BMW"), None])];
        let mut tally = CoarserTally::new(&levels);
        let audi = [0.5, 0.45, 0.03, 0.02];
        tally.add(&audi, 1);
        tally.add(&audi, 2);
        tally.add(&audi, 3);
        // The class is sure, then no group is.
        tally.add(&[0.9, 0.05, 0.03, 0.02], 0);
        tally.add(&[0.4, 0.3, 0.2, 0.1], 0);
        assert_eq!(tally.scores(), [CoarserScore { level: "make".into(), given: 3, right: 1 }]);
    }
}

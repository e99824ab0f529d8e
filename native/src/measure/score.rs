//! Top-1 and top-5 of the answer and of both branches.

use finegrain::answer::Answer;
use serde::{Deserialize, Serialize};

/// Shares from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The right class had the highest probability.
    pub top1: f64,
    /// It was among the five highest.
    pub top5: f64,
}

/// Counts over photos.
#[derive(Debug, Clone, Default)]
pub struct Scores {
    answer: Count,
    sa: Count,
    glca: Count,
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    images: usize,
    top1: usize,
    top5: usize,
}

impl Scores {
    /// Counts one photo whose right class is `class`.
    pub fn add(&mut self, answer: &Answer, class: usize) {
        self.answer.add(&answer.probability, class);
        self.sa.add(&answer.sa, class);
        self.glca.add(&answer.glca, class);
    }

    /// Counts one photo by its probabilities alone, without branches.
    pub fn add_answer(&mut self, probability: &[f32], class: usize) {
        self.answer.add(probability, class);
    }

    /// How many photos were counted.
    pub fn images(&self) -> usize {
        self.answer.images
    }

    /// The answer: the mean of both branches.
    pub fn answer(&self) -> Score {
        self.answer.score()
    }

    /// SA alone.
    pub fn sa(&self) -> Score {
        self.sa.score()
    }

    /// GLCA alone, where the network has it.
    pub fn glca(&self) -> Option<Score> {
        (self.glca.images > 0).then(|| self.glca.score())
    }
}

impl Count {
    /// A tie counts against the network unless its class comes first, as `answer::top` orders it.
    fn add(&mut self, probability: &[f32], class: usize) {
        let Some(&own) = probability.get(class) else { return };
        // What is no number is not right, whatever it is compared with.
        let above = probability
            .iter()
            .enumerate()
            .filter(|&(other, &p)| p > own || own.is_nan() || p == own && other < class)
            .count();
        self.images += 1;
        self.top1 += usize::from(above == 0);
        self.top5 += usize::from(above < 5);
    }

    fn score(&self) -> Score {
        let share = |count: usize| if self.images == 0 { 0.0 } else { count as f64 / self.images as f64 };
        Score { top1: share(self.top1), top5: share(self.top5) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(probability: [f32; 7], glca: Vec<f32>) -> Answer {
        Answer {
            logits_sa: Vec::new(),
            logits_glca: Vec::new(),
            logits_mixed: Vec::new(),
            sa: probability.to_vec(),
            glca,
            probability: probability.to_vec(),
            rollout: Vec::new(),
            selected: Vec::new(),
            sampling: Vec::new(),
        }
    }

    #[test]
    fn ranks_are_counted_by_hand() {
        let probability = [0.3, 0.2, 0.2, 0.1, 0.1, 0.06, 0.04];
        let mut scores = Scores::default();
        for class in [0, 1, 4, 5] {
            scores.add(&answer(probability, Vec::new()), class);
        }
        assert_eq!(scores.answer(), Score { top1: 0.25, top5: 0.75 });
        assert_eq!((scores.images(), scores.glca()), (4, None));
    }

    #[test]
    fn branches_are_counted_apart() {
        let mut scores = Scores::default();
        scores.add(&answer([0.3, 0.2, 0.2, 0.1, 0.1, 0.06, 0.04], vec![0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]), 1);
        assert_eq!(scores.sa(), Score { top1: 0.0, top5: 1.0 });
        assert_eq!(scores.glca(), Some(Score { top1: 1.0, top5: 1.0 }));
    }
}

//! What a training step says of its batch.

/// Losses and hits of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Outcome {
    /// Total loss, mean over the photos.
    pub loss: f64,
    /// Cross-entropy of SA, GLCA and PWCA, mean over the photos; 0 where a branch does not run.
    pub parts: [f64; 3],
    /// Photos whose most probable class is right.
    pub correct: usize,
    /// Photos.
    pub count: usize,
}

/// How many rows of `probability` `[B, classes]` are highest at their label, and nowhere else as high.
pub(super) fn hits(probability: &[f32], labels: &[i32]) -> usize {
    let rows = probability.chunks(probability.len() / labels.len().max(1));
    let hit = |(row, label): &(&[f32], &i32)| {
        row.iter().enumerate().all(|(c, p)| c as i32 == **label || *p < row[**label as usize])
    };
    rows.zip(labels).filter(hit).count()
}

impl Outcome {
    /// Adds sums to sums.
    pub(super) fn add(&mut self, other: &Self) {
        self.loss += other.loss;
        self.parts.iter_mut().zip(other.parts).for_each(|(a, b)| *a += b);
        self.correct += other.correct;
        self.count += other.count;
    }

    /// Sums to means.
    pub(super) fn mean(self) -> Self {
        let n = self.count.max(1) as f64;
        Self { loss: self.loss / n, parts: self.parts.map(|p| p / n), ..self }
    }

    /// Means to sums.
    pub(super) fn sum(self) -> Self {
        let n = self.count as f64;
        Self { loss: self.loss * n, parts: self.parts.map(|p| p * n), ..self }
    }
}

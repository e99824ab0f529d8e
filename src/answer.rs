//! What a network says of one photo, whichever back end ran it.

use serde::{Deserialize, Serialize};

/// The result of one forward pass at inference (PWCA is dropped, DCAL paper, section 3.5).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// Logits of the self-attention branch, `[classes]`.
    pub logits_sa: Vec<f32>,
    /// Logits of the global-local cross-attention branch, `[classes]`; empty without GLCA.
    pub logits_glca: Vec<f32>,
    /// The votes of Attend and Rectify mixed: weighted log-probabilities, `[classes]`; empty without it.
    pub logits_mixed: Vec<f32>,
    /// Softmax of `logits_sa`, `[classes]`.
    pub sa: Vec<f32>,
    /// Softmax of `logits_glca`, `[classes]`; empty without GLCA.
    pub glca: Vec<f32>,
    /// The answer: mean of `sa` and `glca`, softmax of `logits_mixed`, or `sa` alone where there are neither, `[classes]`.
    pub probability: Vec<f32>,
    /// Attention rollout, the class token's row, `[N + 1]`, class token first; sums to 1.
    pub rollout: Vec<f32>,
    /// Token indices of the local queries, highest rollout first, class token not listed, `[k]`; empty without GLCA.
    pub selected: Vec<u32>,
    /// Where the rows and columns of the photo that TASN resampled come from, rows first, `[H + W]`: -1 and 1 are the centres of
    /// the first and the last pixel of the photo as it was given; empty without TASN.
    pub sampling: Vec<f32>,
}

impl Answer {
    /// The rollout of the patches as it lies over the photo, `grid` being their rows and columns: without TASN that of the
    /// patches themselves, with TASN each place has the value of the patch that it was resampled into. `[rows * columns]`.
    pub fn rollout_over_photo(&self, grid: [usize; 2]) -> Vec<f32> {
        let patches = self.rollout.get(1..).unwrap_or_default();
        let [rows, columns] = grid;
        // `H` and `W` are as many times `rows` and `columns`: the side of a patch.
        let side = self.sampling.len() / (rows + columns).max(1);
        if side == 0 || patches.len() != rows * columns {
            return patches.to_vec();
        }
        let (down, along) = self.sampling.split_at(side * rows);
        // The patches that the middles of `count` even parts lie in.
        let places = |coordinates: &[f32], count: usize| -> Vec<usize> {
            let middle = |part: usize| (2 * part + 1) as f32 / count as f32 - 1.0;
            let before = |part| coordinates.partition_point(|&at| at <= middle(part)).max(1) - 1;
            (0..count).map(|part| (before(part) / side).min(count - 1)).collect()
        };
        let along = places(along, columns);
        places(down, rows)
            .iter()
            .flat_map(|row| along.iter().map(move |column| patches[row * columns + column]))
            .collect()
    }

    /// [`Answer::sampling`] as shares of the photo's height and width, from 0 to 1: rows `[H]`, columns `[W]`; `size` is that of
    /// the photo as the network is given it, `grid` the rows and columns of patches.
    pub fn sampling_shares(&self, size: [usize; 2], grid: [usize; 2]) -> [Vec<f32>; 2] {
        let rows = self.sampling.len() / (grid[0] + grid[1]).max(1) * grid[0];
        let (down, along) = self.sampling.split_at(rows.min(self.sampling.len()));
        let shares = |coordinates: &[f32], count: usize| -> Vec<f32> {
            let pixels = count as f32;
            // The centre of the first pixel is half a pixel from the edge.
            coordinates.iter().map(|at| (0.5 + (at + 1.0) * 0.5 * (pixels - 1.0)) / pixels).collect()
        };
        [shares(down, size[0]), shares(along, size[1])]
    }

    /// The answer at a temperature: the mean of `softmax(logits_sa / temperature)` and `softmax(logits_glca /
    /// temperature)`, `softmax(logits_mixed / temperature)` with Attend and Rectify, or SA's alone, `[classes]`; 1 gives
    /// [`Answer::probability`].
    ///
    /// Where both branches disagree another class may come first than without a temperature. Temperature scaling is
    /// that of Guo et al. 2017, applied to each branch before the mean. `temperature` is above 0.
    pub fn calibrated(&self, temperature: f32) -> Vec<f32> {
        if !self.logits_mixed.is_empty() {
            return softmax(&self.logits_mixed, f64::from(temperature)).into_iter().map(|p| p as f32).collect();
        }
        let [sa, glca] = self.calibrated_branches(temperature);
        if glca.len() != sa.len() {
            return sa;
        }
        sa.into_iter().zip(glca).map(|(sa, glca)| 0.5 * (sa + glca)).collect()
    }

    /// What [`Answer::calibrated`] is the mean of: SA's and GLCA's probabilities, `[classes]` each; the latter empty without
    /// GLCA.
    pub fn calibrated_branches(&self, temperature: f32) -> [Vec<f32>; 2] {
        [&self.logits_sa, &self.logits_glca]
            .map(|logits| softmax(logits, f64::from(temperature)).into_iter().map(|p| p as f32).collect())
    }
}

/// Softmax of `logits / temperature`, in f64, as long as `logits`.
pub fn softmax(logits: &[f32], temperature: f64) -> Vec<f64> {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = logits.iter().map(|&l| ((f64::from(l) - f64::from(highest)) / temperature).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// One class and its probability.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Name of the class as in the bundle.
    pub label: String,
    /// Between 0 and 1.
    pub probability: f32,
}

/// The `k` most probable classes, most probable first, ties to the lower class index.
///
/// `probability` and `labels` are `[classes]`.
pub fn top(probability: &[f32], labels: &[String], k: usize) -> Vec<Prediction> {
    order(&probability[..probability.len().min(labels.len())])
        .into_iter()
        .take(k)
        .map(|class| Prediction { label: labels[class].clone(), probability: probability[class] })
        .collect()
}

/// The classes, most probable first, ties to the lower class index; `probability` is `[classes]`.
pub fn order(probability: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..probability.len()).collect();
    order.sort_by(|&a, &b| probability[b].total_cmp(&probability[a]).then(a.cmp(&b)));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(logits_sa: Vec<f32>, logits_glca: Vec<f32>) -> Answer {
        let empty = Vec::new;
        let (sa, glca, probability, rollout) = (empty(), empty(), empty(), empty());
        let (selected, sampling) = (Vec::new(), Vec::new());
        Answer { logits_sa, logits_glca, logits_mixed: empty(), sa, glca, probability, rollout, selected, sampling }
    }

    #[test]
    fn mixed_votes_are_the_answer_at_any_temperature() {
        // Log-probabilities that do not sum to 1: [ln 0.9, ln 0.1] - 1, at temperature 2 [3, 1] / 4.
        let mut answer = answer(vec![0.0, 9.0], Vec::new());
        answer.logits_mixed = vec![0.9f32.ln() - 1.0, 0.1f32.ln() - 1.0];
        for (temperature, expected) in [(1.0, 0.9), (2.0, 0.75)] {
            assert!((answer.calibrated(temperature)[0] - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn rollout_lies_where_the_photo_was_resampled_from() {
        let none = || answer(Vec::new(), Vec::new());
        let plain = Answer { rollout: vec![0.1, 0.2, 0.3, 0.15, 0.25], ..none() };
        assert_eq!(plain.rollout_over_photo([2, 2]), [0.2, 0.3, 0.15, 0.25]);
        assert!(plain.sampling_shares([8, 8], [2, 2]).concat().is_empty());
        // Patches of two pixels. Of the height the upper half is most of what was seen, of the width as much as there is.
        let sampling = vec![-1.0, -0.75, -0.5, -0.25, 0.0, 0.5, -1.0, -0.5, 0.0, 0.5];
        let rollout = vec![0.4, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06];
        let resampled = Answer { rollout, sampling, ..none() };
        // The middles of the three rows are at -0.67 (first patch), 0 and 0.67 (last one).
        assert_eq!(resampled.rollout_over_photo([3, 2]), [0.01, 0.02, 0.05, 0.06, 0.05, 0.06]);
        let [rows, columns] = resampled.sampling_shares([12, 8], [3, 2]);
        assert_eq!((rows.len(), rows[0], columns.len(), columns[2]), (6, 0.5 / 12.0, 4, 0.5));
    }

    #[test]
    fn a_temperature_flattens_each_branch_before_the_mean() {
        // softmax([ln 9, 0]) is [9, 1] / 10, at temperature 2 [3, 1] / 4; softmax([0, 0]) is even at every temperature.
        let both = answer(vec![9f32.ln(), 0.0], vec![0.0, 0.0]);
        for (temperature, expected) in [(1.0, [0.7, 0.3]), (2.0, [0.625, 0.375])] {
            for (found, expected) in both.calibrated(temperature).iter().zip(expected) {
                assert!((found - expected).abs() < 1e-6, "{found} {expected}");
            }
        }
        let alone = answer(vec![9f32.ln(), 0.0], Vec::new()).calibrated(2.0);
        assert!((alone[0] - 0.75).abs() < 1e-6 && (alone[1] - 0.25).abs() < 1e-6, "{alone:?}");
    }

    #[test]
    fn large_logits_stay_finite() {
        assert_eq!(answer(vec![3e38, -3e38, 0.0], Vec::new()).calibrated(0.01), [1.0, 0.0, 0.0]);
    }

    #[test]
    fn top_orders_by_probability_then_by_class() {
        let labels: Vec<String> = ["a", "b", "c", "d"].map(String::from).into();
        let found = top(&[0.1, 0.4, 0.1, 0.4], &labels, 3);
        assert_eq!(found.iter().map(|p| p.label.as_str()).collect::<Vec<_>>(), ["b", "d", "a"]);
        assert_eq!(top(&[0.5, 0.5], &labels[..2], 9).len(), 2);
    }
}

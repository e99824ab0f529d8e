//! Attend and Rectify at inference, batch norm folded into the gates' weight (`src/model/rectify.rs`).

use std::borrow::Cow;

use super::forward::{normed, softmax};
use super::kernels::matmul::{Matrix, Store, matmul};
use super::weights::{Linear, Norm};
use crate::architecture::Mixing;

/// The modules, first to last, and the gates over their votes and the classifier's.
pub(super) struct Rectify {
    pub modules: Vec<Module>,
    /// `D -> votes`
    pub gates: Linear,
    pub mixing: Mixing,
}

/// One module with K heads; weights lie tap by tap ([`by_tap`](super::kernels::convolution::by_tap)).
pub(super) struct Module {
    /// A transformer's tokens come from no norm, a residual network's maps from one already.
    pub norm: Option<Norm>,
    /// What the masks are softmaxes of, under each tap by itself: `C -> K 9`.
    pub attention: Linear,
    /// How far each head is to be trusted, `[K, 9 C]`.
    pub gate: Vec<f32>,
    /// Each head's opinion, `9 C -> classes`.
    pub output: Vec<Linear>,
}

/// What one module makes of a map.
pub(super) struct Hypothesis {
    /// Where each head looks, `[K, N]`.
    pub masks: Vec<f32>,
    /// `[classes]`
    pub logits: Vec<f32>,
}

/// The nine taps of a 3x3 kernel on a map of `height` rows and `width` columns: calls `each` with the tap, a position and the
/// position that the tap sees from there, where that is on the map.
fn taps([height, width]: [usize; 2], mut each: impl FnMut(usize, usize, usize)) {
    for tap in 0..9 {
        for position in 0..height * width {
            let row = (position / width + tap / 3).checked_sub(1).filter(|&row| row < height);
            let column = (position % width + tap % 3).checked_sub(1).filter(|&column| column < width);
            if let (Some(row), Some(column)) = (row, column) {
                each(tap, position, row * width + column);
            }
        }
    }
}

impl Module {
    /// What the module thinks of patch tokens or a map `[N, C]` of that `grid`. A convolution that is summed over positions is
    /// its weight times what the masks see under each tap, so nothing but the scores is computed at every position.
    pub(super) fn hypothesis(&self, tokens: &[f32], grid: [usize; 2], epsilon: f32) -> Hypothesis {
        let positions = grid[0] * grid[1];
        let (channels, heads) = (tokens.len() / positions, self.output.len());
        let map = match &self.norm {
            Some(norm) => Cow::Owned(normed(tokens, norm, epsilon)),
            None => Cow::Borrowed(tokens),
        };
        let under = self.attention.of(&map, positions);
        let mut scores = vec![0.0; heads * positions];
        taps(grid, |tap, position, seen| {
            for head in 0..heads {
                scores[head * positions + position] += under[(seen * heads + head) * 9 + tap];
            }
        });
        let masks: Vec<f32> = scores.chunks_exact(positions).flat_map(softmax).collect();
        let mut shifted = vec![0.0; heads * 9 * positions];
        taps(grid, |tap, position, seen| {
            for head in 0..heads {
                shifted[(head * 9 + tap) * positions + seen] = masks[head * positions + position];
            }
        });
        let mut pooled = vec![0.0; heads * 9 * channels];
        let factors =
            [Matrix::new(&shifted, heads * 9, positions, positions), Matrix::new(&map, positions, channels, channels)];
        matmul(&mut pooled, channels, Store::Set, 1.0, factors[0], factors[1]);
        let rows = || pooled.chunks_exact(9 * channels);
        let trust = |(row, gate): (&[f32], &[f32])| row.iter().zip(gate).map(|(x, w)| x * w).sum::<f32>().tanh();
        let trust: Vec<f32> = rows().zip(self.gate.chunks_exact(9 * channels)).map(trust).collect();
        let mut logits = Vec::new();
        for ((row, opinion), gate) in rows().zip(&self.output).zip(softmax(&trust)) {
            let opinion = opinion.of(row, 1);
            logits.resize(opinion.len(), 0.0);
            logits.iter_mut().zip(opinion).for_each(|(logit, own)| *logit += gate * own);
        }
        Hypothesis { masks, logits }
    }
}

impl Rectify {
    /// The votes, each `[classes]`, the classifier's last, mixed by the gates of its feature `[D]`: `[classes]`.
    pub(super) fn mix(&self, votes: &[Vec<f32>], feature: &[f32]) -> Vec<f32> {
        let gates: Vec<f32> = self.gates.of(feature, 1).into_iter().map(f32::tanh).collect();
        let weights = match self.mixing {
            Mixing::Softmax => softmax(&gates),
            Mixing::Sigmoid => {
                let open: Vec<f32> = gates.iter().map(|gate| 1.0 / (1.0 + (-gate).exp())).collect();
                let sum = 1e-6 + open.iter().sum::<f32>();
                open.iter().map(|open| open / sum).collect()
            }
        };
        weighted(votes, &weights)
    }
}

/// The sum of the votes' log-probabilities, each times its weight: `[classes]`.
pub(super) fn weighted(votes: &[Vec<f32>], weights: &[f32]) -> Vec<f32> {
    let mut mixed = vec![0.0; votes.first().map_or(0, Vec::len)];
    for (vote, weight) in votes.iter().zip(weights) {
        let most = vote.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let log_sum = vote.iter().map(|z| (z - most).exp()).sum::<f32>().ln();
        mixed.iter_mut().zip(vote).for_each(|(mixed, z)| *mixed += weight * (z - most - log_sum));
    }
    mixed
}

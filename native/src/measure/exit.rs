//! Early answers beside full ones: what they cost in accuracy and save in computation.

use finegrain::architecture::Architecture;
use finegrain::early::Early;
use finegrain::engine::{Command, EngineError, record};
use finegrain::tensors::Precision;
use serde::Serialize;

use super::{Score, Scores, first};

/// Counts early answers.
pub struct Exits {
    depth: usize,
    /// How many operations have been computed behind each number of blocks, as shares of all; early ends where a module stands.
    operations: Vec<(usize, f64)>,
    scores: Scores,
    early: usize,
    changed: usize,
    blocks: usize,
    computed: f64,
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Exited {
    /// How sure the modules had to be.
    pub threshold: f32,
    /// Share of the photos named rightly.
    pub top1: f64,
    /// Share of those whose class is among the first five.
    pub top5: f64,
    /// Share of the photos that were answered before the last block.
    pub early: f64,
    /// Share of the photos that were named otherwise than by the full answer.
    pub changed: f64,
    /// Share of the blocks that were not computed, over all photos.
    pub blocks_saved: f64,
    /// Share of the operations that were not computed, patch embedding, modules and classifier counted, rollout not.
    pub operations_saved: f64,
    /// Mean time of the network for a photo, to be set beside that of the full answer.
    pub ms_per_image: f64,
}

impl Exits {
    /// For a network that may answer early; `None` for any other.
    ///
    /// # Errors
    /// A network whose operations cannot be counted.
    pub fn of(architecture: &Architecture) -> Result<Option<Self>, EngineError> {
        let Some(rectify) = architecture.rectify() else { return Ok(None) };
        let exits = rectify.exits(architecture.depth);
        if exits.is_empty() {
            return Ok(None);
        }
        // The recording is in the order of the computation: what lies behind a module's last dispatch is saved.
        let recording = record::classify(architecture, Precision::F32)?;
        let mut sums = vec![0.0; exits.len()];
        let mut sum = 0.0;
        for command in recording.commands() {
            let Command::Dispatch { label, kernel, uniforms, .. } = command else { continue };
            // Rollout shows where the network looked; the answer does not need it.
            if label.ends_with(".rollout") {
                continue;
            }
            sum += (kernel.cost)(uniforms).flops as f64;
            for (exit, blocks) in sums.iter_mut().zip(exits) {
                let place = rectify.behind(blocks - 1).unwrap_or_default();
                if label.starts_with(&format!("rectify.{place}.")) {
                    *exit = sum;
                }
            }
        }
        let operations = exits.iter().zip(sums).map(|(&blocks, exit)| (blocks, exit / sum)).collect();
        let (depth, scores) = (architecture.depth, Scores::default());
        Ok(Some(Self { depth, operations, scores, early: 0, changed: 0, blocks: 0, computed: 0.0 }))
    }

    /// Counts one photo of class `class`; `full` is the full answer `[classes]`, at the same temperature.
    pub fn add(&mut self, found: &Early, full: &[f32], class: usize) {
        self.scores.add_answer(&found.probability, class);
        self.early += usize::from(found.blocks < self.depth);
        self.changed += usize::from(first(&found.probability) != first(full));
        self.blocks += found.blocks;
        let share = self.operations.iter().find(|(blocks, _)| *blocks == found.blocks).map_or(1.0, |(_, share)| *share);
        self.computed += share;
    }

    /// The shares.
    pub fn exited(&self, threshold: f32, ms_per_image: f64) -> Exited {
        let photos = self.scores.images().max(1) as f64;
        let Score { top1, top5 } = self.scores.answer();
        Exited {
            threshold,
            top1,
            top5,
            early: self.early as f64 / photos,
            changed: self.changed as f64 / photos,
            blocks_saved: 1.0 - self.blocks as f64 / (photos * self.depth as f64),
            operations_saved: 1.0 - self.computed / photos,
            ms_per_image,
        }
    }
}

#[cfg(test)]
mod tests {
    use finegrain::architecture::{Mechanism, Mixing, RectifyBlocks};

    use super::*;

    fn network(after: &[usize]) -> Architecture {
        let mechanism = RectifyBlocks { heads: 4, after: after.to_vec(), mixing: Mixing::Softmax, gates: None };
        Architecture {
            resnet: None,
            hybrid: None,
            image_size: [224, 224],
            patch_size: 16,
            dim: 192,
            depth: 12,
            heads: 3,
            mlp_ratio: 4,
            layer_norm_eps: 1e-6,
            classes: 2,
            mechanism: Mechanism::Rectify(mechanism),
        }
    }

    #[test]
    fn shares_are_counted_by_hand() {
        let mut exits = Exits::of(&network(&[6, 9, 11])).unwrap().unwrap();
        let early = |first: f32, blocks| Early { probability: vec![first, 1.0 - first], blocks, answer: None };
        exits.add(&early(0.9, 9), &[0.9, 0.1], 0);
        exits.add(&early(0.9, 9), &[0.2, 0.8], 1);
        exits.add(&early(0.1, 11), &[0.2, 0.8], 1);
        exits.add(&early(0.6, 12), &[0.6, 0.4], 1);
        let found = exits.exited(0.8, 1.0);
        assert_eq!((found.top1, found.early, found.changed), (0.5, 0.75, 0.25));
        assert!((found.blocks_saved - 7.0 / 48.0).abs() < 1e-12);
        // Blocks are nearly everything that is computed: patches and modules are a few hundredths.
        assert!((found.operations_saved - found.blocks_saved).abs() < 0.02, "{found:?}");
        let nothing = Exits::of(&network(&[6, 9])).unwrap().unwrap().exited(0.8, 1.0);
        assert_eq!((nothing.early, nothing.top1), (0.0, 0.0));
        assert!(Exits::of(&network(&[6, 12])).unwrap().is_none() && Exits::of(&network(&[6])).unwrap().is_none());
    }
}

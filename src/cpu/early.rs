//! An answer before the last block, where the modules of Attend and Rectify agree.

use super::forward::{Observe, Pass, softmax};
use super::rectify::weighted;
use super::together::Together;
use super::{Backbone, Cpu, CpuError, Wanted, answer_of_maps, resnet};
use crate::early::{Early, Sure};

impl Cpu {
    /// Classifies one photo `[3, H, W]`, on this thread, and stops where the modules of Attend and Rectify so far, at least two
    /// ([`crate::architecture::RectifyBlocks::exits`]), name the same class and are `sure` of it. They count alike then: the
    /// gates that would weigh them look at the last block. Where they are never sure, and in every other network, the answer
    /// is that of [`Cpu::classify`].
    ///
    /// # Errors
    /// As [`Cpu::classify`].
    pub fn classify_early(&self, image: &[f32], sure: Sure) -> Result<Early, CpuError> {
        self.check(image)?;
        let (architecture, together) = (&self.architecture, Together::new(&self.architecture, None));
        let exits = architecture.rectify().map_or(&[][..], |rectify| rectify.exits(architecture.depth));
        if exits.is_empty() {
            return Ok(Early::full(self.classify(image)?, sure.temperature, architecture.depth));
        }
        let mut found = None;
        let enough = &mut |blocks: usize, votes: &[Vec<f32>]| {
            found = exits.contains(&blocks).then(|| agreed(votes, sure)).flatten();
            found.is_some()
        };
        let nobody: Observe<'_> = &mut |_, _, _| {};
        let (blocks, run) = match &self.backbone {
            Backbone::Transformer(weights) => {
                let mut pass = Pass::new(architecture, weights, together, false);
                let blocks = pass.blocks(image, nobody, enough)?;
                (blocks, if found.is_some() { None } else { Some(self.answer(weights, pass, Wanted::Answer, nobody)?) })
            }
            Backbone::Residual(weights) => {
                let mut pass = resnet::Pass::new(architecture, weights, together);
                let stages = pass.stages(image, nobody, enough)?;
                (stages, if found.is_some() { None } else { Some(answer_of_maps(pass, nobody)?) })
            }
        };
        Ok(match run {
            Some(run) => Early::full(run.answer, sure.temperature, blocks),
            None => Early { probability: found.unwrap_or_default(), blocks, answer: None },
        })
    }
}

/// The probabilities `[classes]` of votes, each `[classes]`, that are `sure` of the same class.
fn agreed(votes: &[Vec<f32>], sure: Sure) -> Option<Vec<f32>> {
    // Of equals the first, as on the GPU.
    let top =
        |values: &[f32]| values.iter().enumerate().rev().max_by(|a, b| a.1.total_cmp(b.1)).map(|(class, _)| class);
    let class = top(votes.first()?)?;
    if votes.iter().any(|vote| top(vote) != Some(class)) {
        return None;
    }
    let mixed = weighted(votes, &vec![1.0 / votes.len() as f32; votes.len()]);
    let probability = softmax(&mixed.iter().map(|z| z / sure.temperature).collect::<Vec<_>>());
    (probability[class] >= sure.probability).then_some(probability)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn votes_must_agree_and_be_sure() {
        let (nine, even) = (vec![9f32.ln(), 0.0], vec![0.1, 0.0]);
        let sure = |probability, temperature| Sure { probability, temperature };
        assert!(agreed(&[nine.clone(), nine.clone()], sure(0.89, 1.0)).is_some());
        assert!(agreed(&[nine.clone(), nine.clone()], sure(0.91, 1.0)).is_none());
        assert!(agreed(&[nine.clone(), nine.clone()], sure(0.8, 2.0)).is_none(), "three in four at temperature 2");
        assert!(agreed(&[nine.clone(), even], sure(0.7, 1.0)).is_some(), "the mean counts");
        assert!(agreed(&[nine, vec![0.0, 0.1]], sure(0.5, 1.0)).is_none(), "they name different classes");
    }
}

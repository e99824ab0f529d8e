//! Settings of the further mechanisms: what model and engine both need to know of them.

use serde::{Deserialize, Serialize};

/// The trilinear attention sampling network (TASN, Zheng et al., CVPR 2019): how attention resamples a photo.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tasn {
    /// `s`: what the feature map is multiplied with before the softmax over its positions. The authors' code: 7.
    pub scale: f32,
    /// Height and width of the resampled photo, in pixels.
    pub size: [usize; 2],
    /// How many times as dense as an even grid a row or column may be before the first round. The authors' code: 4.
    pub dense: f32,
    /// How often what is too dense is clipped and spread evenly, at least once. The authors' code: 5.
    pub rounds: usize,
    /// What the logits are divided by in the distillation loss. The paper: 10.
    pub temperature: f32,
}

/// Relation-aware global attention (RGA, Zhang et al., CVPR 2020): which gates a map goes through, spatial first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rga {
    /// By how much the embeddings are narrower than what they embed. The authors' code: 8.
    pub ratio: usize,
    /// RGA-S: a gate for each position.
    pub spatial: bool,
    /// RGA-C: a gate for each channel.
    pub channel: bool,
}

/// RGA on a vision transformer: the patch tokens are the map, the class token passes by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RgaBlocks {
    /// As [`Rga::ratio`].
    pub ratio: usize,
    /// As [`Rga::spatial`].
    pub spatial: bool,
    /// As [`Rga::channel`].
    pub channel: bool,
    /// Behind how many blocks (of a residual network: stages) the gates stand, rising; behind a transformer's last one only where
    /// something reads its patch tokens: GLCA, or a module of Attend and Rectify.
    pub after: Vec<usize>,
}

/// Attend and Rectify on a vision transformer: a module behind each of some blocks sees the patch tokens as a map, through a
/// layer norm of its own (our decision: the authors' maps come from a batch norm and ReLU, the tokens between two blocks from
/// no norm), and votes; global gates, from the class token after the last norm, weigh the votes and the classifier's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RectifyBlocks {
    /// K: how many heads each module has, each with a mask and an opinion. The paper: 4.
    pub heads: usize,
    /// Behind how many blocks the modules stand, rising.
    pub after: Vec<usize>,
    /// How the global gates become weights.
    pub mixing: Mixing,
    /// RGA's gates between the blocks, beside it; a module sees the map behind them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gates: Option<RgaBlocks>,
}

/// How the global gates of Attend and Rectify become weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mixing {
    /// Their softmax: the votes compete.
    Softmax,
    /// Their sigmoids over 1e-6 plus the sum of them.
    Sigmoid,
}

impl RectifyBlocks {
    /// The most heads that a module has: as many as the workgroup of `shaders/hypothesis.wgsl` has threads.
    pub const MOST_HEADS: usize = 64;

    /// Which module stands behind block `index` (from 0).
    pub fn behind(&self, index: usize) -> Option<usize> {
        self.after.iter().position(|&blocks| blocks == index + 1)
    }

    /// Behind how many blocks a network of `depth` may answer early: where at least two modules have voted and a block is left.
    pub fn exits(&self, depth: usize) -> &[usize] {
        let last = self.after.iter().take_while(|&&blocks| blocks < depth).count();
        self.after.get(1..last).unwrap_or_default()
    }

    /// How many votes there are: the modules' and, last, the classifier's.
    pub fn votes(&self) -> usize {
        self.after.len() + 1
    }

    /// The weights of one module that looks at `channels` and knows `classes`, each of shape `[out, channels, 3, 3]`: what the
    /// masks are softmaxes of, how far each head is to be trusted, and the heads' opinions, head by head.
    pub fn layers(&self, channels: usize, classes: usize) -> [(&'static str, [usize; 4]); 3] {
        let shape = |outputs| [outputs, channels, 3, 3];
        [
            ("attention", shape(self.heads)),
            ("gate", shape(self.heads)),
            ("output", shape(self.heads.saturating_mul(classes))),
        ]
    }

    /// What is wrong in a network of `depth` blocks.
    pub(super) fn check(&self, depth: usize) -> Result<(), String> {
        let rising = self.after.is_sorted_by(|a, b| a < b);
        let (first, last) = (self.after.first().copied(), self.after.last().copied());
        if first.is_none() {
            return Err(
                "Attend and Rectify has its modules after no block: name some, such as after = [6, 9, 11]".into()
            );
        }
        if !rising || first < Some(1) || last > Some(depth) {
            return Err(format!(
                "Attend and Rectify has its modules after {:?}, these must be rising numbers from 1 to {depth}",
                self.after
            ));
        }
        if self.heads == 0 || self.heads > Self::MOST_HEADS {
            let heads = self.heads;
            let most = Self::MOST_HEADS;
            return Err(format!("Attend and Rectify has {heads} heads, there may be from 1 to {most}"));
        }
        Ok(())
    }
}

impl RgaBlocks {
    /// The gates of one place.
    pub fn gates(&self) -> Rga {
        Rga { ratio: self.ratio, spatial: self.spatial, channel: self.channel }
    }

    /// Which gates stand behind block `index` (from 0).
    pub fn behind(&self, index: usize) -> Option<usize> {
        self.after.iter().position(|&blocks| blocks == index + 1)
    }

    /// What is wrong in a network that may have gates behind its first `most` blocks.
    pub(super) fn check(&self, most: usize) -> Result<(), String> {
        let rising = self.after.is_sorted_by(|a, b| a < b);
        let (first, last) = (self.after.first().copied(), self.after.last().copied());
        if first.is_none() {
            return Err("RGA has its gates after no block: name some, such as after = [4, 8]".into());
        }
        if !rising || first < Some(1) || last > Some(most) {
            return Err(format!(
                "RGA has its gates after {:?}, these must be rising numbers from 1 to {most}",
                self.after
            ));
        }
        if !self.spatial && !self.channel {
            return Err("RGA has neither spatial nor channel gates: switch one of them on".into());
        }
        if self.ratio == 0 {
            return Err("the ratio of RGA is 0, it must be at least 1".into());
        }
        Ok(())
    }
}

/// The most values that a graphics device binds at once (128 MiB, the default of WebGPU).
const MOST_VALUES: usize = 32 << 20;

/// TASN on a vision transformer. The attention net is its first blocks with a norm, a ReLU and a classifier of their own over
/// the photo made small; part net and master net are the whole transformer over the photo resampled. All share one set of
/// weights, so that a page fetches one network. (The paper has a ResNet-18 of its own as attention net, and one ResNet-50 that
/// part and master net share.)
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TasnBlocks {
    /// How many times as high and wide as the transformer's input the photo is that gets resampled. The paper: 512 pixels for
    /// 224.
    pub zoom: usize,
    /// Behind how many blocks the map lies by whose attention the photo is resampled.
    pub after: usize,
    /// As [`Tasn::scale`].
    #[serde(default = "scale")]
    pub scale: f32,
    /// As [`Tasn::dense`].
    #[serde(default = "dense")]
    pub dense: f32,
    /// As [`Tasn::rounds`].
    #[serde(default = "rounds")]
    pub rounds: usize,
    /// As [`Tasn::temperature`].
    #[serde(default = "temperature")]
    pub temperature: f32,
}

fn scale() -> f32 {
    7.0
}

fn dense() -> f32 {
    4.0
}

fn rounds() -> usize {
    5
}

fn temperature() -> f32 {
    10.0
}

impl Default for TasnBlocks {
    /// The authors' settings, a photo twice as large, the map behind the last block of twelve.
    fn default() -> Self {
        let [scale, dense, temperature] = [scale(), dense(), temperature()];
        Self { zoom: 2, after: 12, scale, dense, rounds: rounds(), temperature }
    }
}

impl TasnBlocks {
    /// The sampler's settings for a transformer that sees `size`.
    pub fn sampler(&self, size: [usize; 2]) -> Tasn {
        let Self { scale, dense, rounds, temperature, .. } = *self;
        Tasn { scale, size, dense, rounds, temperature }
    }

    /// What is wrong in a network of `depth` blocks that sees `size`.
    pub(super) fn check(&self, depth: usize, size: [usize; 2]) -> Result<(), String> {
        if !(2..=64).contains(&self.zoom) {
            return Err(format!("the zoom of TASN is {}, it must be from 2 to 64", self.zoom));
        }
        let [height, width] = size.map(|side| side * self.zoom);
        if height * width > MOST_VALUES / 3 {
            return Err(format!(
                "TASN resamples a photo of {height} x {width} pixels, more than a graphics device takes at once (128 MiB): \
                 choose a smaller zoom"
            ));
        }
        if !(1..=depth).contains(&self.after) {
            return Err(format!("TASN takes its map after block {}, it must be from 1 to {depth}", self.after));
        }
        for (name, value) in [("scale", self.scale), ("dense", self.dense), ("temperature", self.temperature)] {
            if !(value > 0.0 && value <= 1e6) {
                return Err(format!("the {name} of TASN is {value}, it must be above 0 and at most a million"));
            }
        }
        if !(1..=100).contains(&self.rounds) {
            return Err(format!("TASN clips in {} rounds, it must be 1 to 100", self.rounds));
        }
        Ok(())
    }
}

impl Tasn {
    /// The authors' settings for photos resampled to `size`.
    pub fn of_size(size: [usize; 2]) -> Self {
        Self { scale: 7.0, size, dense: 4.0, rounds: 5, temperature: 10.0 }
    }
}

/// The widths of one relation-aware attention over `nodes` nodes of `features` features each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelationWidths {
    /// Nodes: positions for RGA-S, channels for RGA-C.
    pub nodes: usize,
    /// Features of a node: channels for RGA-S, positions for RGA-C.
    pub features: usize,
    /// Width of `theta`, `phi` and the unary embedding: `features / ratio`.
    pub embedded: usize,
    /// Width of the relation embedding: `nodes / ratio`.
    pub relation: usize,
    /// Width between the two layers of the gate: `(1 + relation) / ratio`.
    pub hidden: usize,
}

impl RelationWidths {
    /// The layers, each with its inputs and outputs, in the order of the forward pass.
    pub fn layers(&self) -> [(&'static str, usize, usize); 6] {
        let Self { nodes, features, embedded, relation, hidden } = *self;
        [
            ("theta", features, embedded),
            ("phi", features, embedded),
            ("unary", features, embedded),
            ("relation", 2 * nodes, relation),
            ("w1", 1 + relation, hidden),
            ("w2", hidden, 1),
        ]
    }
}

impl Rga {
    /// The widths of the gates of a map of `positions` and `channels`, by name, in the order of the forward pass.
    pub fn parts(
        &self,
        positions: usize,
        channels: usize,
    ) -> impl Iterator<Item = (&'static str, RelationWidths)> + use<> {
        let spatial = self.spatial.then(|| ("spatial", self.widths(positions, channels)));
        let channel = self.channel.then(|| ("channel", self.widths(channels, positions)));
        spatial.into_iter().chain(channel)
    }

    /// The widths for `nodes` nodes of `features` features; each is at least 1.
    pub fn widths(&self, nodes: usize, features: usize) -> RelationWidths {
        let narrow = |width: usize| (width / self.ratio.max(1)).max(1);
        let relation = narrow(nodes);
        RelationWidths { nodes, features, embedded: narrow(features), relation, hidden: narrow(1 + relation) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_early_answer_wants_two_modules_and_a_block_to_spare() {
        let exits = |after: &[usize]| {
            RectifyBlocks { heads: 4, after: after.to_vec(), mixing: Mixing::Softmax, gates: None }.exits(12).to_vec()
        };
        assert_eq!(exits(&[6, 9, 11]), [9, 11]);
        assert_eq!(exits(&[6, 9, 12]), [9]);
        assert_eq!((exits(&[6]), exits(&[12]), exits(&[6, 12])), (vec![], vec![], vec![]));
    }

    #[test]
    fn widths_follow_the_ratio_and_are_never_zero() {
        let rga = Rga { ratio: 8, spatial: true, channel: true };
        let widths = rga.widths(64, 32);
        assert_eq!((widths.embedded, widths.relation, widths.hidden), (4, 8, 1));
        let widths = rga.widths(3, 5);
        assert_eq!((widths.embedded, widths.relation, widths.hidden), (1, 1, 1));
    }
}

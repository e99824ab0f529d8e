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

impl Rga {
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
    fn widths_follow_the_ratio_and_are_never_zero() {
        let rga = Rga { ratio: 8, spatial: true, channel: true };
        let widths = rga.widths(64, 32);
        assert_eq!((widths.embedded, widths.relation, widths.hidden), (4, 8, 1));
        let widths = rga.widths(3, 5);
        assert_eq!((widths.embedded, widths.relation, widths.hidden), (1, 1, 1));
    }
}

//! Questions about a photo that was just classified: what can be asked of either back end, and what cannot.
//!
//! Layers count from 0, the first block. Tokens count as everywhere: 0 is the class token, `1 + p` is patch `p`.

use crate::answer::Answer;
use crate::architecture::{Architecture, Mechanism, RectifyBlocks};

/// A question that has no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LookError {
    /// Nothing was classified, or classifying failed.
    #[error("there is no photo to look into: classify one first, and not for an early answer")]
    NoPhoto,
    /// A layer that the network does not have.
    #[error("there is no layer {layer}: this network has layers 0 to {last}")]
    Layer {
        /// What was asked for.
        layer: usize,
        /// The last one.
        last: usize,
    },
    /// A token that the network does not have.
    #[error("there is no token {token}: a photo has tokens 0 (class) to {last}")]
    Token {
        /// What was asked for.
        token: usize,
        /// The last one.
        last: usize,
    },
    /// A recording names a buffer that classifying does not leave behind, or one of another shape.
    #[error("classifying leaves no buffer \"{0}\" of that shape behind: take label and shape from its recording")]
    NotKept(String),
    /// GLCA looks from the class token and the local queries only.
    #[error(
        "token {0} is no local query of this photo: ask for the class token, for one that was selected, or for a larger R"
    )]
    NotSelected(usize),
    /// A plain backbone.
    #[error("this network has no global-local cross-attention: ask for its blocks")]
    NoGlca,
    /// A network without RGA-S.
    #[error("this network has no spatial gates: ask for its attention")]
    NoGates,
    /// A network without the modules of Attend and Rectify.
    #[error("this network has no masks: ask for its attention")]
    NoMasks,
    /// A residual network.
    #[error(
        "a residual network has no attention to look into: ask for its answer, whose map says what spoke for the name"
    )]
    NoAttention,
    /// A class that the network does not have.
    #[error("there is no class {class}: this network has classes 0 to {last}")]
    Class {
        /// What was asked for.
        class: usize,
        /// The last one.
        last: usize,
    },
    /// A share of local queries outside (0, 1].
    #[error("the ratio R of local queries is {0}, it must be above 0 and at most 1")]
    Ratio(f64),
}

/// What set two classes apart: for each token, what the attention that read it added to the difference of the two
/// classes' logits, `[N + 1]` for each branch, class token first. Above 0 speaks for the first class.
///
/// # Definition
///
/// The class token is a sum along its residual stream, and each block's attention is a sum over the tokens it reads.
/// With the last norm's deviation `s` held at the value that the photo gave it, the logits are linear in that sum, so the
/// difference of two logits is, exactly,
///
/// `z_a - z_b = sum_j D_j + (what the MLPs, the biases and the embedding added)`, with
///
/// `D_j = sum over layers l and heads h of A_lh[class, j] (x_lj W_V^lh + b_V^lh) W_O^lh g`,
/// `g = (c - mean(c)) / s`, `c = gamma * (w_a - w_b)`
///
/// where `w_a`, `w_b` are the rows of the branch's classifier and `gamma` the gain of its norm. SA sums over the blocks;
/// GLCA's class token goes on from the last block's, so its sum has the blocks and GLCA's own attention.
///
/// This is the decomposition of Gandelsman, Efros and Steinhardt, "Interpreting CLIP's image representation via
/// text-based decomposition" (ICLR 2024, section 3.1), with the difference of two classifier rows in the place of a text;
/// the weighing of attention by what it carries is that of Kobayashi et al., "Attention is not only a weight" (EMNLP
/// 2020). No gradient is needed, and nothing is clipped or scaled. It shows direct effects only: what one block prepares
/// for the next counts where the last one reads it.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Of the SA branch's logits, `[N + 1]`.
    pub sa: Vec<f32>,
    /// Of the GLCA branch's logits, `[N + 1]`; empty without GLCA.
    pub glca: Vec<f32>,
}

impl Difference {
    /// The mean of both branches, as the answer is the mean of their probabilities; SA's alone without GLCA, `[N + 1]`.
    pub fn both(&self) -> Vec<f32> {
        if self.glca.len() != self.sa.len() {
            return self.sa.clone();
        }
        self.sa.iter().zip(&self.glca).map(|(sa, glca)| 0.5 * (sa + glca)).collect()
    }
}

impl Architecture {
    /// The same network with another share `ratio` of local queries: the weights do not depend on it.
    ///
    /// # Errors
    /// [`LookError::NoGlca`] without GLCA, [`LookError::Ratio`] outside (0, 1].
    pub fn with_ratio(&self, ratio: f64) -> Result<Self, LookError> {
        let mut other = self.clone();
        match &mut other.mechanism {
            Mechanism::Dcal(dcal) if dcal.glca => dcal.ratio = ratio,
            Mechanism::Dcal(_) | Mechanism::None | Mechanism::Rga(_) | Mechanism::Rectify(_) | Mechanism::Tasn(_) => {
                return Err(LookError::NoGlca);
            }
        }
        if ratio > 0.0 && ratio <= 1.0 { Ok(other) } else { Err(LookError::Ratio(ratio)) }
    }
}

/// How many places of the network have spatial gates.
pub(crate) fn gate_places(architecture: &Architecture) -> Result<usize, LookError> {
    let rga = architecture.rga().filter(|rga| rga.spatial);
    rga.map(|rga| rga.after.len()).ok_or(LookError::NoGates)
}

/// The modules whose masks can be looked at.
pub(crate) fn masked(architecture: &Architecture) -> Result<&RectifyBlocks, LookError> {
    architecture.rectify().ok_or(LookError::NoMasks)
}

/// There are tokens that attend to each other.
pub(crate) fn check_attention(architecture: &Architecture) -> Result<(), LookError> {
    if architecture.resnet.is_some() { Err(LookError::NoAttention) } else { Ok(()) }
}

/// `layer` is one of the blocks of a transformer.
pub(crate) fn check_layer(architecture: &Architecture, layer: usize) -> Result<(), LookError> {
    check_attention(architecture)?;
    let last = architecture.depth.saturating_sub(1);
    if layer > last { Err(LookError::Layer { layer, last }) } else { Ok(()) }
}

/// `token` is the class token or a patch.
pub(crate) fn check_token(architecture: &Architecture, token: usize) -> Result<(), LookError> {
    let last = architecture.patches();
    if token > last { Err(LookError::Token { token, last }) } else { Ok(()) }
}

/// Both are classes of the network.
pub(crate) fn check_classes(architecture: &Architecture, classes: [usize; 2]) -> Result<(), LookError> {
    let last = architecture.classes.saturating_sub(1);
    classes.into_iter().find(|&class| class > last).map_or(Ok(()), |class| Err(LookError::Class { class, last }))
}

/// The row of GLCA's queries that belongs to `token`: 0 for the class token, then the local queries as selected.
pub(crate) fn glca_row(architecture: &Architecture, answer: &Answer, token: usize) -> Result<usize, LookError> {
    architecture.glca().ok_or(LookError::NoGlca)?;
    check_token(architecture, token)?;
    if token == 0 {
        return Ok(0);
    }
    let place = answer.selected.iter().position(|&selected| selected as usize == token);
    place.map(|place| 1 + place).ok_or(LookError::NotSelected(token))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::Dcal;

    fn small(mechanism: Mechanism) -> Architecture {
        Architecture {
            resnet: None,
            hybrid: None,
            image_size: [32, 32],
            patch_size: 8,
            dim: 8,
            depth: 3,
            heads: 2,
            mlp_ratio: 4,
            layer_norm_eps: 1e-6,
            classes: 5,
            mechanism,
        }
    }

    #[test]
    fn what_is_not_there_is_named() {
        let network = small(Mechanism::Dcal(Dcal { ratio: 0.1, glca: true, pwca: false, gates: None }));
        assert_eq!(check_layer(&network, 3), Err(LookError::Layer { layer: 3, last: 2 }));
        assert_eq!(check_token(&network, 17), Err(LookError::Token { token: 17, last: 16 }));
        assert_eq!(check_classes(&network, [0, 5]), Err(LookError::Class { class: 5, last: 4 }));
        assert_eq!((check_layer(&network, 2), check_token(&network, 16)), (Ok(()), Ok(())));
        assert_eq!(network.with_ratio(0.5).map(|other| other.selected()), Ok(8));
        for ratio in [0.0, -1.0, 1.01, f64::NAN] {
            assert!(matches!(network.with_ratio(ratio), Err(LookError::Ratio(_))), "{ratio}");
        }
        assert_eq!(small(Mechanism::None).with_ratio(0.5).err(), Some(LookError::NoGlca));
    }

    #[test]
    fn both_branches_count_alike() {
        let difference = Difference { sa: vec![1.0, -2.0], glca: vec![0.0, 4.0] };
        assert_eq!(difference.both(), [0.5, 1.0]);
        assert_eq!(Difference { glca: Vec::new(), ..difference }.both(), [1.0, -2.0]);
    }
}

//! Pair-wise cross-attention, PWCA (DCAL paper, section 3.4, equation 5): a regulariser of training.

use burn::tensor::{Int, Tensor};

use super::drop_path::{DropPath, kept};
use super::vit::VisionTransformer;

/// Runs the PWCA stream from the embedded tokens `x` `[B, N + 1, D]` and returns its class token
/// after the norm `[B, D]` and its logits `[B, classes]`.
///
/// Each image's queries attend to its own keys and values and to those of its partner, one softmax over 2N + 2
/// scores. Every weight is the backbone's own. The partner's keys and values come from the partner's PWCA stream;
/// `partners` `[B]` is a permutation of the batch.
pub(super) fn pwca(
    vit: &VisionTransformer,
    x: Tensor<3>,
    partners: Tensor<1, Int>,
    drop_path: Option<&DropPath>,
) -> (Tensor<2>, Tensor<2>) {
    let mut x = x;
    for (i, block) in vit.blocks.iter().enumerate() {
        let keep = drop_path.and_then(|drop| drop.pwca(i));
        let mixed = block.attn.over_pairs(block.norm1.forward(x.clone()), partners.clone());
        x = block.feed_forward_kept(x + kept(mixed, keep.map(|[attention, _]| attention)), keep);
    }
    vit.classify(x)
}

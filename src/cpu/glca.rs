//! Global-local cross-attention at inference (`src/model/glca.rs`).

use super::forward::{Observe, feed_forward, normed};
use super::kernels::attention::{Place, Scratch, apart};
use super::weights::Glca;
use crate::architecture::Architecture;

/// The second look (equation 4) of the tokens `x` `[rows, D]` over `kv` `[T, 2 D]`: their rows after the block, in place. The
/// class token comes first, and the answer is made of its row; the others' change nothing in it.
pub(super) fn second_look(
    architecture: &Architecture,
    glca: &Glca,
    kv: &[f32],
    mut x: Vec<f32>,
    observe: Observe<'_>,
) -> SecondLook {
    let (tokens, dim, heads, eps) =
        (architecture.tokens(), architecture.dim, architecture.heads, architecture.layer_norm_eps);
    let count = x.len() / dim;
    let queries = glca.block.q.of(&normed(&x, &glca.block.norm1, eps), count);
    let (mut scratch, mut lse) = (Scratch::default(), vec![0.0; count]);
    let mut mixed = vec![0.0; count * dim];
    let mut maps = Vec::with_capacity(heads * count * tokens);
    for head in 0..heads {
        let (head, out) = apart(Place { image: 0, head, heads }, [count, tokens, dim]);
        let map = head.forward(&queries, kv, (&mut mixed, out), &mut lse, &mut scratch);
        maps.extend_from_slice(map);
    }
    observe("out.glca.attn", &[heads, count, tokens], &maps);
    glca.block.proj.add(&mixed, &mut x);
    let mut hidden = vec![0.0; count * architecture.hidden()];
    feed_forward(&normed(&x, &glca.block.norm2, eps), &glca.block, &mut hidden, &mut x);
    observe("out.glca.tokens", &[count, dim], &x);
    x.truncate(dim);
    let feature = normed(&x, &glca.norm, eps);
    observe("out.feature.glca", &[dim], &feature);
    SecondLook { logits: glca.head.of(&feature, 1), class: x }
}

/// What GLCA says.
pub(super) struct SecondLook {
    /// The block's result for the class token, `[D]`.
    pub class: Vec<f32>,
    /// `[classes]`
    pub logits: Vec<f32>,
}

//! The vision transformer: pre-norm blocks on patch tokens and a class token, timm's names.

use burn::module::{Module, Param};
use burn::nn::{Initializer, Linear};
use burn::tensor::{Device, Tensor};

use super::attention::{Attention, projection};
use super::bottleneck::Bottleneck;
use super::drop_path::{DropPath, kept};
use super::fused;
use super::layer_norm::LayerNorm;
use super::patch_embed::PatchEmbed;
use super::precision::{apply, wide};
use crate::architecture::Architecture;

/// The backbone and its classifier.
#[derive(Module, Debug)]
pub struct VisionTransformer {
    /// `[1, 1, D]`.
    pub cls_token: Param<Tensor<3>>,
    /// `[1, N + 1, D]`.
    pub pos_embed: Param<Tensor<3>>,
    /// Pixels to tokens.
    pub patch_embed: PatchEmbed,
    /// The transformer blocks, first to last.
    pub blocks: Vec<Block>,
    /// Norm before the classifier.
    pub norm: LayerNorm,
    /// Batch norm between feature and classifier, in re-identification.
    pub bottleneck: Option<Bottleneck>,
    /// Classifier, `D -> classes`.
    pub head: Linear,
}

/// LN, attention, residual, LN, MLP, residual.
#[derive(Module, Debug)]
pub struct Block {
    /// Norm before attention.
    pub norm1: LayerNorm,
    /// Attention.
    pub attn: Attention,
    /// Norm before the MLP.
    pub norm2: LayerNorm,
    /// The MLP.
    pub mlp: Mlp,
}

/// Two linear layers with exact GELU between them.
#[derive(Module, Debug)]
pub struct Mlp {
    /// `D -> mlp_ratio D`.
    pub fc1: Linear,
    /// `mlp_ratio D -> D`.
    pub fc2: Linear,
}

/// What the backbone computes on the way.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// After the embedding, `[B, N + 1, D]`.
    pub embed: Tensor<3>,
    /// After each block and what the mechanism has behind it, `[B, N + 1, D]`.
    pub blocks: Vec<Tensor<3>>,
    /// Each block's attention map averaged over heads, `[B, N + 1, N + 1]`, without gradient: rollout only looks.
    pub attention_means: Vec<Tensor<3>>,
}

impl Tokens {
    /// The tokens after the last block, `[B, N + 1, D]`.
    pub fn last(&self) -> Tensor<3> {
        self.blocks.last().unwrap_or(&self.embed).clone()
    }
}

impl VisionTransformer {
    /// Random weights; the classifier starts at zero, so that the first steps do not disturb pretrained blocks.
    pub fn new(architecture: &Architecture, device: &Device) -> Self {
        let Architecture { dim, classes, .. } = *architecture;
        let small = Initializer::Normal { mean: 0.0, std: 0.02 };
        Self {
            cls_token: small.init([1, 1, dim], device),
            pos_embed: small.init([1, architecture.tokens(), dim], device),
            patch_embed: PatchEmbed::new(architecture, device),
            blocks: (0..architecture.depth).map(|_| Block::new(architecture, device)).collect(),
            norm: LayerNorm::new(architecture, device),
            bottleneck: None,
            head: classifier(dim, classes, device),
        }
    }

    /// Images `[B, 3, H, W]` to tokens `[B, N + 1, D]`, class token first.
    pub fn embed(&self, images: Tensor<4>) -> Tensor<3> {
        let patches = self.patch_embed.forward(images);
        let [batch, _, dim] = patches.dims();
        let class = self.cls_token.val().expand([batch, 1, dim]);
        Tensor::cat(vec![class, patches], 1) + self.pos_embed.val()
    }

    /// Runs every block on images `[B, 3, H, W]`.
    pub fn tokens(&self, images: Tensor<4>) -> Tokens {
        self.tokens_after(images, None, &mut |_, tokens| tokens)
    }

    /// The same in training, where photos may skip branches, and with a mechanism between the blocks: `between` gets the index
    /// of each block and its tokens `[B, N + 1, D]`, and gives those that go on.
    pub(super) fn tokens_after(
        &self,
        images: Tensor<4>,
        drop_path: Option<&DropPath>,
        between: &mut dyn FnMut(usize, Tensor<3>) -> Tensor<3>,
    ) -> Tokens {
        let embed = self.embed(images);
        let mut x = embed.clone();
        let (mut blocks, mut attention_means) = (Vec::new(), Vec::new());
        for (i, block) in self.blocks.iter().enumerate() {
            let (tokens, map) = block.forward_kept(x, drop_path.and_then(|drop| drop.sa(i)));
            attention_means.push(map);
            x = between(i, tokens);
            blocks.push(x.clone());
        }
        Tokens { embed, blocks, attention_means }
    }

    /// The tokens `[B, N + 1, D]` of images `[B, 3, H, W]` behind the first `count` blocks.
    pub(super) fn tokens_behind(&self, images: Tensor<4>, count: usize, drop_path: Option<&DropPath>) -> Tensor<3> {
        let blocks = self.blocks.iter().take(count).enumerate();
        blocks.fold(self.embed(images), |x, (i, block)| block.forward_kept(x, drop_path.and_then(|drop| drop.sa(i))).0)
    }

    /// The normed class token `[B, D]` of tokens `[B, N + 1, D]`.
    pub(super) fn feature(&self, tokens: Tensor<3>) -> Tensor<2> {
        class_feature(&self.norm, tokens)
    }

    /// Tokens `[B, N + 1, D]` to the normed class token `[B, D]` and the logits `[B, classes]`.
    pub fn classify(&self, tokens: Tensor<3>) -> (Tensor<2>, Tensor<2>) {
        let feature = self.feature(tokens);
        (feature.clone(), behind(self.bottleneck.as_ref(), &self.head, feature))
    }

    /// Stops gradients of the embedding and of the first `count` blocks, so that training skips their backward pass.
    pub fn freeze_first(mut self, count: usize) -> Self {
        self.cls_token = self.cls_token.set_require_grad(false);
        self.pos_embed = self.pos_embed.set_require_grad(false);
        self.patch_embed = self.patch_embed.no_grad();
        self.blocks = self
            .blocks
            .into_iter()
            .enumerate()
            .map(|(i, block)| if i < count { block.no_grad() } else { block })
            .collect();
        self
    }
}

impl Block {
    /// Random weights for `architecture`.
    pub fn new(architecture: &Architecture, device: &Device) -> Self {
        let (dim, hidden) = (architecture.dim, architecture.hidden());
        Self {
            norm1: LayerNorm::new(architecture, device),
            attn: Attention::new(architecture, device),
            norm2: LayerNorm::new(architecture, device),
            mlp: Mlp { fc1: projection(dim, hidden, device), fc2: projection(hidden, dim, device) },
        }
    }

    /// Self-attention (SA) and MLP on `x` `[B, T, D]`; also the head-averaged map `[B, T, T]`, without gradient.
    pub fn forward(&self, x: Tensor<3>) -> (Tensor<3>, Tensor<3>) {
        self.forward_kept(x, None)
    }

    /// [`Block::forward`] with the factors of attention and MLP in training.
    pub(super) fn forward_kept(&self, x: Tensor<3>, keep: Option<&[Tensor<3>; 2]>) -> (Tensor<3>, Tensor<3>) {
        let (mixed, map) = self.attn.over_itself(self.norm1.forward(x.clone()));
        (self.feed_forward_kept(x + kept(mixed, keep.map(|[attention, _]| attention)), keep), map)
    }

    /// The second half of a block: `x + MLP(LN(x))`, `[B, T, D]`.
    pub fn feed_forward(&self, x: Tensor<3>) -> Tensor<3> {
        self.feed_forward_kept(x, None)
    }

    /// [`Block::feed_forward`] with the factors of attention and MLP in training.
    pub(super) fn feed_forward_kept(&self, x: Tensor<3>, keep: Option<&[Tensor<3>; 2]>) -> Tensor<3> {
        let hidden = fused::gelu(apply(&self.mlp.fc1, self.norm2.forward(x.clone())));
        x + kept(wide(apply(&self.mlp.fc2, hidden)), keep.map(|[_, mlp]| mlp))
    }
}

/// A linear classifier that starts at zero.
pub(crate) fn classifier(dim: usize, classes: usize, device: &Device) -> Linear {
    let mut head = projection(dim, classes, device);
    head.weight = Initializer::Zeros.init([dim, classes], device);
    head
}

/// The logits `[B, classes]` of a feature `[B, D]`, through the bottleneck where there is one.
pub(crate) fn behind(bottleneck: Option<&Bottleneck>, head: &Linear, feature: Tensor<2>) -> Tensor<2> {
    head.forward(match bottleneck {
        Some(bottleneck) => bottleneck.forward(feature),
        None => feature,
    })
}

/// The class token of `tokens` `[B, T, D]` after `norm`, `[B, D]`.
pub(crate) fn class_feature(norm: &LayerNorm, tokens: Tensor<3>) -> Tensor<2> {
    norm.forward(tokens.narrow(1, 0, 1)).squeeze_dim(1)
}

/// The patch tokens `[B, N, D]` of `tokens` `[B, N + 1, D]`.
pub(super) fn patches(tokens: Tensor<3>) -> Tensor<3> {
    let [_, count, _] = tokens.dims();
    tokens.narrow(1, 1, count - 1)
}

/// Patch tokens `[B, H W, D]` as a map `[B, D, H, W]`.
pub(super) fn on_grid(patches: Tensor<3>, [height, width]: [usize; 2]) -> Tensor<4> {
    let [batch, _, dim] = patches.dims();
    patches.swap_dims(1, 2).reshape([batch, dim, height, width])
}

/// `tokens` `[B, N + 1, D]` with a map `[B, D, H, W]` in the place of its patch tokens: the class token passes by.
pub(super) fn with_patches(tokens: Tensor<3>, map: Tensor<4>) -> Tensor<3> {
    let patches: Tensor<3> = map.flatten(2, 3);
    Tensor::cat(vec![tokens.narrow(1, 0, 1), patches.swap_dims(1, 2)], 1)
}

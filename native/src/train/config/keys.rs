//! The keys of `[data]`, `[model]`, `[train]` and `[pixels]`.

use std::path::PathBuf;

use finegrain::architecture::{Hybrid, Mechanism, ResNet};
use finegrain::photo::Fit;
use serde::{Deserialize, Serialize};

use super::backbone::Backbone;
use super::table::table;
use crate::data::detect::Layout;

table! {
    /// `[data]`
    #[serde(deny_unknown_fields)]
    Data {
        /// Layout of the folder given by `--data`: aircraft, cars, cub, dogs, folder, nabirds; for re-identification
        /// market1501, dukemtmc, msmt17-v1, msmt17-v2, veri776, cuhk03-labeled, cuhk03-detected.
        kind: Layout,
        /// Share of the training photos that is held out, of each class: measured after each epoch, never trained on.
        /// Test photos have no say in anything.
        #[serde(default)]
        held_out: f64,
        /// Photos that cannot be decoded are left out (and named in the log) instead of ending the run; costs one decoding
        /// of the whole data set at the start.
        #[serde(default)]
        skip_broken: bool,
        /// Decoded photos are kept in memory up to this many MiB; the rest is decoded each time.
        #[serde(default = "cache_mib")]
        cache_mib: usize,
        /// Coarser names for the classes, for answers that are unsure: a CSV file ("class,family,order" and a row for each
        /// class), "cars" (make and body type from the class names) or "last-word" (the last word of each name). The data
        /// set's own tree where it has one and nothing is given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hierarchy: Option<String>,
    }
}

table! {
    /// `[model]`: an [`Architecture`](finegrain::architecture::Architecture) but for the number of classes, which the
    /// data set tells.
    #[serde(deny_unknown_fields)]
    Model {
        /// A backbone by name, which fills patch_size, dim, depth, heads, pixels.mean and pixels.std where the recipe does
        /// not: vit-tiny, vit-small, vit-base, deit-tiny, deit-small, deit-base; the hybrid r50-vit-base; or a residual network, from which they follow:
        /// resnet-18, resnet-50, wrn-28-10 (for 32 x 32 images).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        backbone: Option<Backbone>,
        /// Height and width of what the network sees in pixels, multiples of patch_size; with TASN photos are larger.
        image_size: [usize; 2],
        /// The stride of a residual network's last stage, 1 or 2: with 1 its last map has twice as many rows and columns.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_stride: Option<usize>,
        /// Side of a patch in pixels; of a residual network its stride.
        patch_size: usize,
        /// Width of a token; of a residual network the channels of its last map.
        dim: usize,
        /// Number of blocks; of a residual network of its stages.
        depth: usize,
        /// Number of attention heads; divides dim.
        heads: usize,
        /// Width of the MLP's hidden layer, as a multiple of dim.
        #[serde(default = "mlp_ratio")]
        mlp_ratio: usize,
        /// The attention mechanism: { name = "none" } or { name = "dcal", ratio = 0.1, glca = true, pwca = true }: ratio
        /// R of local queries, global-local cross-attention, pair-wise cross-attention (in training only). Or { name = "rga",
        /// ratio = 8, spatial = true, channel = true, after = [4, 8] }: gates for patches and channels after these blocks,
        /// whose embeddings are so many times narrower.
        /// Or { name = "rectify", heads = 4, after = [6, 9, 11], mixing = "softmax" }: modules of so many heads that vote after
        /// these blocks, weighed by the "softmax" or the "sigmoid" of gates.
        /// Or { name = "tasn", zoom = 2, after = 12 }: photos of zoom times the size, resampled by the attention of the tokens
        /// after this block; further keys are scale, dense, rounds and temperature.
        /// "dcal" (without pwca) and "rectify" take gates = { ratio = 8, spatial = true, channel = true, after = [4, 8] } as well:
        /// RGA's, between the blocks, beside it.
        /// On a residual network blocks are its stages; it has all but DCAL.
        mechanism: Mechanism,
        /// A residual network in place of the transformer, which backbone may name: { block = "basic", stem = "large", blocks =
        /// [2, 2, 2, 2], strides = [1, 2, 2, 2], width = 64 } is resnet-18. Blocks are "basic", "bottleneck" or "wide", the first
        /// convolution is "large" (7 x 7 and pooling) or "small" (3 x 3).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resnet: Option<ResNet>,
        /// Convolutions before a transformer's patches, which backbone may name: { blocks = [3, 4, 9], width = 64, groups = 32 } is
        /// that of r50-vit-base. Each stage but the first halves the map, so that three make patches of 16 pixels.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hybrid: Option<Hybrid>,
    }
}

table! {
    /// `[train]`
    #[serde(deny_unknown_fields)]
    Train {
        /// Pretrained weights: timm's or Hugging Face's safetensors, or PyTorch's .pth or .bin; `--init` overrides.
        /// Without, training starts from noise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        init: Option<PathBuf>,
        /// Passes over the training photos.
        epochs: usize,
        /// Photos per optimizer step.
        batch: usize,
        /// Photos per forward and backward pass; their gradients are summed over a batch (gradient accumulation: lower
        /// it when memory is short). 0: 8 on the CPU, batch on GPUs (with --devices each one's share). PWCA pairs photos within one such part.
        #[serde(default)]
        micro_batch: usize,
        /// Computes cheap intermediate results again in the backward pass instead of keeping them: the same weights with less
        /// memory on a GPU. Leave it off on the CPU, where attention, norms and GELU have kernels of their own that keep
        /// little: there it needs more.
        #[serde(default)]
        gradient_checkpointing: bool,
        /// "f32", or "bf16" on CUDA: the products of patch embedding, attention and MLP are then in bf16; a hybrid's convolutions, weights,
        /// optimizer, norms, softmax and losses stay in f32.
        #[serde(default)]
        precision: PrecisionChoice,
        /// Single-threaded workers on the CPU; 0: one per core. Does not change the result.
        #[serde(default)]
        workers: usize,
        /// "adamw", or "sgd" with momentum.
        #[serde(default)]
        optimizer: OptimizerKind,
        /// SGD's momentum.
        #[serde(default = "momentum")]
        momentum: f64,
        /// Learning rate of the body after warm-up.
        lr: f64,
        /// The classifiers' rate is this many times lr.
        #[serde(default = "head_lr_factor")]
        head_lr_factor: f64,
        /// The rate of block (stage) i is multiplied by layer_decay^(depth - 1 - i); 1: all alike.
        #[serde(default = "one")]
        layer_decay: f64,
        /// Rate at the end of the cosine.
        #[serde(default)]
        min_lr: f64,
        /// Epochs of linear warm-up, fractions allowed.
        #[serde(default)]
        warmup_epochs: f64,
        /// Weight decay, AdamW's decoupled from the gradient, SGD's added to it; not applied to biases, norms, embeddings
        /// and the loss's w_k.
        #[serde(default = "weight_decay")]
        weight_decay: f64,
        /// Global norm to which gradients are cut; 0: never.
        #[serde(default = "one")]
        clip_norm: f64,
        /// Share of the label spread evenly over all classes.
        #[serde(default)]
        label_smoothing: f32,
        /// Stochastic depth: probability that a photo skips the last block's attention, and likewise its MLP, in
        /// training; earlier blocks less, in proportion to their depth.
        #[serde(default)]
        drop_path: f64,
        /// Decay of the exponential moving average of the weights, such as 0.999; the average is what is measured and
        /// kept. 0: the last step's weights are.
        #[serde(default)]
        ema: f64,
        /// The embedding (of a residual network the first convolution) and the first so many blocks (stages) keep their pretrained
        /// weights and the statistics of their norms; 0: everything is trained.
        #[serde(default)]
        freeze: usize,
        /// Ends training when the held-out photos were not named better for so many epochs; 0: never.
        #[serde(default)]
        early_stopping: usize,
        /// Which weights the run ends with: "last", or "best" on the held-out photos.
        #[serde(default)]
        result: Choice,
        /// Checkpoints of so many last epochs are kept; 1: only where the run stands.
        #[serde(default = "keep")]
        keep: usize,
        /// Minutes between checkpoints inside an epoch; each epoch ends with one anyway.
        #[serde(default = "checkpoint_minutes")]
        checkpoint_minutes: f64,
        /// Seed of everything random: order, augmentation, pairs, held-out photos, weights that are not pretrained.
        #[serde(default)]
        seed: u64,
    }
}

table! {
    /// `[pixels]`
    #[serde(deny_unknown_fields, default)]
    Pixels {
        /// Mean of each channel, of values in 0..1.
        mean: [f32; 3],
        /// Standard deviation of each channel.
        std: [f32; 3],
        /// Short side to which photos are resized at inference, before the centre crop; 0: as small as the crop allows.
        resize: usize,
        /// "crop": photos of another shape than the network's input are cut; "stretch": they are stretched.
        fit: Fit,
    }
}

/// The choices of `train.optimizer`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// AdamW.
    #[default]
    AdamW,
    /// Stochastic gradient descent with momentum.
    Sgd,
}

/// The choices of `train.precision`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PrecisionChoice {
    /// Everything in 32 bits.
    #[default]
    F32,
    /// Large products in bf16.
    Bf16,
}

/// The choices of `train.result`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Choice {
    /// Those after the last step.
    #[default]
    Last,
    /// Those that named the held-out photos best.
    Best,
}

impl Default for Pixels {
    fn default() -> Self {
        Self { mean: [0.5; 3], std: [0.5; 3], resize: 0, fit: Fit::Crop }
    }
}

fn cache_mib() -> usize {
    2048
}

fn mlp_ratio() -> usize {
    4
}

fn momentum() -> f64 {
    0.9
}

fn head_lr_factor() -> f64 {
    10.0
}

fn weight_decay() -> f64 {
    0.05
}

fn one() -> f64 {
    1.0
}

fn keep() -> usize {
    1
}

fn checkpoint_minutes() -> f64 {
    5.0
}

//! What a hybrid transformer has before its patches: BiT's residual network (Kolesnikov et al., ECCV 2020), timm's names.

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::activation::relu;
use burn::tensor::module::{conv2d, max_pool2d};
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{Device, Tensor};

use super::group_norm::{GroupNorm, normalised};
use crate::architecture::{self, Convolution, ResidualBlock};
use crate::fold::STANDARDISATION_EPSILON;

/// Photos to the map whose positions are the patches.
#[derive(Module, Debug)]
pub struct Hybrid {
    /// The first convolution.
    pub stem: Normed,
    /// The stages, first to last.
    pub stages: Vec<Stage>,
}

/// A convolution and its norm.
#[derive(Module, Debug)]
pub struct Normed {
    /// The convolution.
    pub conv: Conv,
    /// The norm behind it.
    pub norm: GroupNorm,
}

/// A stage.
#[derive(Module, Debug)]
pub struct Stage {
    /// Its bottlenecks, first to last.
    pub blocks: Vec<Block>,
}

/// A bottleneck.
#[derive(Module, Debug)]
pub struct Block {
    /// 1x1.
    pub conv1: Conv,
    /// Behind it.
    pub norm1: GroupNorm,
    /// 3x3, with the stride.
    pub conv2: Conv,
    /// Behind it.
    pub norm2: GroupNorm,
    /// 1x1.
    pub conv3: Conv,
    /// Behind it.
    pub norm3: GroupNorm,
    /// What goes past, where the result has another size than what comes in.
    pub downsample: Option<Normed>,
}

/// A convolution without bias whose weight is standardised each time that it is used.
#[derive(Module, Debug)]
pub struct Conv {
    /// `[out, in, side, side]`.
    pub weight: Param<Tensor<4>>,
    stride: usize,
    padding: usize,
}

impl Hybrid {
    /// Random weights.
    pub fn new(hybrid: &architecture::Hybrid, device: &Device) -> Self {
        let stage = |stage: usize| {
            let blocks = hybrid.stage(stage);
            Stage { blocks: blocks.iter().filter_map(|block| Block::new(block, hybrid.groups, device)).collect() }
        };
        Self {
            stem: Normed::new(&hybrid.first(), hybrid.groups, device),
            stages: (0..hybrid.blocks.len()).map(stage).collect(),
        }
    }

    /// Images `[B, 3, H, W]` to the last map `[B, C, H / stride, W / stride]`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        let x = relu(self.stem.forward(images));
        // SAME, as for convolutions: of even sizes the windows begin at the edge. Nothing is below the 0 that is added at the end.
        let x = x.pad((0, 1, 0, 1), 0.0);
        let x = max_pool2d(x, MaxPoolOptions::new([3; 2]).with_stride([2; 2]));
        self.stages.iter().flat_map(|stage| &stage.blocks).fold(x, |x, block| block.forward(x))
    }
}

impl Normed {
    fn new(layer: &Convolution, groups: usize, device: &Device) -> Self {
        Self { conv: Conv::new(layer, device), norm: GroupNorm::new(layer.outputs, groups, device) }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.norm.forward(self.conv.forward(x))
    }
}

impl Block {
    /// Random weights. The last norm starts at 0, so that each block starts as its shortcut.
    fn new(block: &ResidualBlock, groups: usize, device: &Device) -> Option<Self> {
        let [first, second, third] = block.convolutions.as_slice() else { return None };
        let norm = |layer: &Convolution| GroupNorm::new(layer.outputs, groups, device);
        Some(Self {
            conv1: Conv::new(first, device),
            norm1: norm(first),
            conv2: Conv::new(second, device),
            norm2: norm(second),
            conv3: Conv::new(third, device),
            norm3: norm(third).closed(),
            downsample: block.shortcut.as_ref().map(|shortcut| Normed::new(shortcut, groups, device)),
        })
    }

    /// `x` `[B, C, H, W]` to the map behind the block.
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let inside = relu(self.norm1.forward(self.conv1.forward(x.clone())));
        let inside = relu(self.norm2.forward(self.conv2.forward(inside)));
        let inside = self.norm3.forward(self.conv3.forward(inside));
        let past = match &self.downsample {
            Some(shortcut) => shortcut.forward(x),
            None => x,
        };
        relu(inside + past)
    }
}

impl Conv {
    /// Normal weights of He's deviation: it is standardised away, but not from the optimizer, whose steps are as large as that.
    fn new(layer: &Convolution, device: &Device) -> Self {
        let Convolution { inputs, outputs, side, stride, padding, .. } = *layer;
        let std = (2.0 / (inputs * side * side) as f64).sqrt();
        let weight = Initializer::Normal { mean: 0.0, std }.init([outputs, inputs, side, side], device);
        Self { weight, stride, padding }
    }

    /// `x` `[B, in, H, W]` to `[B, out, H / stride, W / stride]`, rounded up.
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let weight = standardised(self.weight.val());
        let ([_, _, height, width], [_, _, side, _]) = (x.dims(), weight.dims());
        // At the bottom and at the right as much is added as the last window needs.
        let after = |size: usize| {
            let seen = (size.div_ceil(self.stride) - 1) * self.stride + side;
            seen.saturating_sub(size + self.padding)
        };
        let (below, right) = (after(height), after(width));
        let (x, padding) = match [below, right] == [self.padding; 2] {
            true => (x, self.padding),
            false => (x.pad((self.padding, right, self.padding, below), 0.0), 0),
        };
        conv2d(x, weight, None, ConvOptions::new([self.stride; 2], [padding; 2], [1; 2], 1))
    }
}

/// A weight `[out, in, side, side]` with mean 0 and variance 1 over everything that makes one output (Qiao et al., 2019).
fn standardised(weight: Tensor<4>) -> Tensor<4> {
    let shape = weight.dims();
    normalised(weight.flatten(1, 3), STANDARDISATION_EPSILON).reshape(shape)
}

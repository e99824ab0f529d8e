//! Residual convolutional networks (He et al., CVPR 2016; wide ones: Zagoruyko and Komodakis, BMVC 2016), timm's names.

use burn::module::{Module, Param};
use burn::nn::{Initializer, Linear};
use burn::tensor::activation::relu;
use burn::tensor::module::{conv2d, max_pool2d};
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{Device, Tensor};

use super::batch_norm::{BatchNorm, Statistics};
use super::bottleneck::Bottleneck;
use super::vit::{behind, classifier};
use crate::architecture::{self, Architecture, Convolution, Residual, ResidualBlock, Stem};

/// The backbone and its classifier.
#[derive(Module, Debug)]
pub struct ResNet {
    /// The first convolution.
    pub conv1: Conv,
    /// The norm behind it; wide networks have none there.
    pub bn1: Option<BatchNorm>,
    /// The blocks of each stage, first to last.
    pub stages: Vec<Vec<Block>>,
    /// The norm between the last stage and the mean, in wide networks.
    pub norm: Option<BatchNorm>,
    /// Batch norm between feature and classifier, in re-identification.
    pub bottleneck: Option<Bottleneck>,
    /// Classifier, `D -> classes`.
    pub head: Linear,
    #[module(skip)]
    stem: Stem,
}

/// A convolution without bias that pads by half its side.
#[derive(Module, Debug)]
pub struct Conv {
    /// `[out, in, side, side]`.
    pub weight: Param<Tensor<4>>,
    stride: usize,
}

/// A residual block.
#[derive(Module, Debug)]
pub struct Block {
    /// Behind the first convolution; of a wide block before everything.
    pub bn1: BatchNorm,
    /// 3x3, of a bottleneck 1x1.
    pub conv1: Conv,
    /// Behind the second convolution; of a wide block between the two.
    pub bn2: BatchNorm,
    /// 3x3.
    pub conv2: Conv,
    /// Behind the third convolution of a bottleneck.
    pub bn3: Option<BatchNorm>,
    /// 1x1, of a bottleneck.
    pub conv3: Option<Conv>,
    /// Where the result has another size than what comes in.
    pub downsample: Option<Shortcut>,
    #[module(skip)]
    kind: Residual,
}

/// What goes past the convolutions of a block.
#[derive(Module, Debug)]
pub struct Shortcut {
    /// 1x1.
    pub conv: Conv,
    /// Behind it; wide blocks have none.
    pub bn: Option<BatchNorm>,
}

impl Conv {
    /// Normal weights of He's deviation, over the outputs as torchvision and timm have it.
    fn new(layer: &Convolution, device: &Device) -> Self {
        let Convolution { inputs, outputs, side, stride, .. } = *layer;
        let std = (2.0 / (outputs * side * side) as f64).sqrt();
        let weight = Initializer::Normal { mean: 0.0, std }.init([outputs, inputs, side, side], device);
        Self { weight, stride }
    }

    /// `x` `[B, in, H, W]` to `[B, out, H / stride, W / stride]`, rounded up.
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let weight = self.weight.val();
        let [_, _, side, _] = weight.dims();
        let (stride, padding) = ([self.stride; 2], [side / 2; 2]);
        conv2d(x, weight, None, ConvOptions::new(stride, padding, [1; 2], 1))
    }
}

impl Shortcut {
    fn new(layer: &Convolution, device: &Device) -> Self {
        let bn = layer.norm.as_ref().map(|_| BatchNorm::new(layer.outputs, device));
        Self { conv: Conv::new(layer, device), bn }
    }

    fn forward(&self, x: Tensor<4>, statistics: &mut Statistics<'_>) -> Tensor<4> {
        normed(self.bn.as_ref(), self.conv.forward(x), statistics)
    }
}

impl Block {
    /// Random weights. The last norm of a basic block or a bottleneck starts at 0, so that each block starts as its shortcut (Goyal
    /// et al., 2017; timm does so): it costs nothing, and training from noise begins with a network of the stages' first
    /// convolutions only. A wide block has no norm there.
    fn new(block: &ResidualBlock, kind: Residual, device: &Device) -> Option<Self> {
        let [first, second, rest @ ..] = block.convolutions.as_slice() else { return None };
        let third = rest.first();
        let norm = |channels: usize| BatchNorm::new(channels, device);
        let zero =
            |channels: usize| BatchNorm { weight: Initializer::Zeros.init([channels], device), ..norm(channels) };
        let (bn2, bn3) = match third {
            Some(third) => (norm(second.outputs), Some(zero(third.outputs))),
            None if kind == Residual::Wide => (norm(first.outputs), None),
            None => (zero(second.outputs), None),
        };
        Some(Self {
            bn1: norm(if kind == Residual::Wide { first.inputs } else { first.outputs }),
            conv1: Conv::new(first, device),
            bn2,
            conv2: Conv::new(second, device),
            bn3,
            conv3: third.map(|third| Conv::new(third, device)),
            downsample: block.shortcut.as_ref().map(|shortcut| Shortcut::new(shortcut, device)),
            kind,
        })
    }

    /// `x` `[B, C, H, W]` to the map behind the block.
    fn forward(&self, x: Tensor<4>, statistics: &mut Statistics<'_>) -> Tensor<4> {
        if self.kind == Residual::Wide {
            let before = relu(self.bn1.forward_map(x.clone(), statistics));
            let inside = relu(self.bn2.forward_map(self.conv1.forward(before.clone()), statistics));
            let past = match &self.downsample {
                Some(shortcut) => shortcut.forward(before, statistics),
                None => x,
            };
            return self.conv2.forward(inside) + past;
        }
        let first = relu(self.bn1.forward_map(self.conv1.forward(x.clone()), statistics));
        let mut inside = self.bn2.forward_map(self.conv2.forward(first), statistics);
        if let Some(conv3) = &self.conv3 {
            inside = normed(self.bn3.as_ref(), conv3.forward(relu(inside)), statistics);
        }
        let past = match &self.downsample {
            Some(shortcut) => shortcut.forward(x, statistics),
            None => x,
        };
        relu(inside + past)
    }
}

impl ResNet {
    /// Random weights; the classifier starts at zero, as a transformer's.
    pub fn new(architecture: &Architecture, resnet: &architecture::ResNet, device: &Device) -> Self {
        let (first, last) = (resnet.first(), resnet.channels(resnet.blocks.len()));
        let stage = |stage: usize| {
            let blocks = resnet.stage(stage);
            blocks.iter().filter_map(|block| Block::new(block, resnet.block, device)).collect()
        };
        Self {
            conv1: Conv::new(&first, device),
            bn1: first.norm.as_ref().map(|_| BatchNorm::new(first.outputs, device)),
            stages: (0..resnet.blocks.len()).map(stage).collect(),
            norm: resnet.last_norm().map(|_| BatchNorm::new(last, device)),
            bottleneck: None,
            head: classifier(architecture.dim, architecture.classes, device),
            stem: resnet.stem,
        }
    }

    /// Images `[B, 3, H, W]` to the map `[B, C, H, W]` that the first stage sees.
    fn stem(&self, images: Tensor<4>, statistics: &mut Statistics<'_>) -> Tensor<4> {
        let x = self.conv1.forward(images);
        let x = match &self.bn1 {
            Some(norm) => relu(norm.forward_map(x, statistics)),
            None => x,
        };
        match self.stem {
            Stem::Large => max_pool2d(x, MaxPoolOptions::new([3; 2]).with_stride([2; 2]).with_padding([1; 2])),
            Stem::Small => x,
        }
    }

    /// The map `[B, C, H, W]` behind each stage of images `[B, 3, H, W]`, and the last of them; `between` gets the index of each stage
    /// and its map, and gives the one that goes on.
    pub(super) fn maps(
        &self,
        images: Tensor<4>,
        statistics: &mut Statistics<'_>,
        between: &mut dyn FnMut(usize, Tensor<4>, &mut Statistics<'_>) -> Tensor<4>,
    ) -> (Vec<Tensor<4>>, Tensor<4>) {
        let mut x = self.stem(images, statistics);
        let mut maps = Vec::new();
        for (i, stage) in self.stages.iter().enumerate() {
            x = through(stage, x, statistics);
            x = between(i, x, statistics);
            maps.push(x.clone());
        }
        (maps, x)
    }

    /// The map `[B, C, H, W]` behind the first `count` stages of images `[B, 3, H, W]`.
    pub(super) fn map_behind(&self, images: Tensor<4>, count: usize, statistics: &mut Statistics<'_>) -> Tensor<4> {
        let x = self.stem(images, statistics);
        self.stages.iter().take(count).fold(x, |x, stage| through(stage, x, statistics))
    }

    /// The map behind the last stage `[B, D, H, W]` as the classifier sees it, its mean over the positions, the feature `[B, D]`, and
    /// the logits `[B, classes]`.
    pub(super) fn classify(
        &self,
        map: Tensor<4>,
        statistics: &mut Statistics<'_>,
    ) -> (Tensor<4>, Tensor<2>, Tensor<2>) {
        let map = match &self.norm {
            Some(norm) => relu(norm.forward_map(map, statistics)),
            None => map,
        };
        let feature = mean(map.clone());
        (map, feature.clone(), behind(self.bottleneck.as_ref(), &self.head, feature))
    }

    /// The feature `[B, D]` of images `[B, 3, H, W]`, nothing between the stages.
    pub(super) fn feature(&self, images: Tensor<4>, statistics: &mut Statistics<'_>) -> Tensor<2> {
        let last = self.map_behind(images, self.stages.len(), statistics);
        self.classify(last, statistics).1
    }

    /// Stops gradients of the first convolution and of the first `count` stages; their norms keep their running statistics.
    pub fn freeze_first(mut self, count: usize) -> Self {
        (self.conv1, self.bn1) = (self.conv1.no_grad(), self.bn1.no_grad());
        let stages = self.stages.into_iter().enumerate();
        self.stages = stages.map(|(i, stage)| if i < count { stage.no_grad() } else { stage }).collect();
        self
    }
}

/// `x` `[B, C, H, W]` through the blocks of a stage.
fn through(stage: &[Block], x: Tensor<4>, statistics: &mut Statistics<'_>) -> Tensor<4> {
    stage.iter().fold(x, |x, block| block.forward(x, statistics))
}

/// The mean `[B, C]` of a map `[B, C, H, W]` over its positions.
pub(super) fn mean(map: Tensor<4>) -> Tensor<2> {
    map.flatten::<3>(2, 3).mean_dim(2).squeeze_dim(2)
}

fn normed(norm: Option<&BatchNorm>, x: Tensor<4>, statistics: &mut Statistics<'_>) -> Tensor<4> {
    match norm {
        Some(norm) => norm.forward_map(x, statistics),
        None => x,
    }
}

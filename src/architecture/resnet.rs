//! Residual convolutional networks: which convolutions there are, in which order, on maps of which size. Model, engine and CPU path
//! walk the same list.

use serde::{Deserialize, Serialize};

use super::{Architecture, ArchitectureError, Mechanism};

/// A residual network (He et al., CVPR 2016) in place of the transformer: a first convolution, stages of residual blocks, the mean over
/// the last map's positions, a classifier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResNet {
    /// What its blocks are made of.
    pub block: Residual,
    /// The first convolution.
    pub stem: Stem,
    /// How many blocks each stage has.
    pub blocks: Vec<usize>,
    /// The stride of each stage's first block; RGA and TASN take 1 in place of 2 for the last.
    pub strides: Vec<usize>,
    /// Channels inside the blocks of the first stage; each stage doubles them.
    pub width: usize,
}

/// The kinds of residual blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Residual {
    /// Two 3x3 convolutions, each with a batch norm: ResNet-18.
    Basic,
    /// 1x1, 3x3 (with the stride), 1x1 to four times as many channels, each with a batch norm: ResNet-50.
    Bottleneck,
    /// Norm and ReLU come before each of two 3x3 convolutions, the sum goes on as it is: WRN-28-10 (Zagoruyko and Komodakis, BMVC 2016).
    Wide,
}

/// The first convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stem {
    /// 7x7 with stride 2 to `width` channels, and the maximum of 3x3 positions with stride 2: for photos.
    Large,
    /// 3x3 with stride 1 to 16 channels: for 32 x 32 images.
    Small,
}

/// A square convolution without bias; its result has the map's size divided by its stride, rounded up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Convolution {
    /// Its weight `[outputs, inputs, side, side]` is `<name>.weight`.
    pub name: String,
    /// The norm behind it; a batch norm is folded into it at inference.
    pub norm: Option<String>,
    /// Channels of the map that it sees.
    pub inputs: usize,
    /// Channels of its result.
    pub outputs: usize,
    /// Side of its kernel: 1, 3 or 7.
    pub side: usize,
    /// Positions from one to the next.
    pub stride: usize,
    /// How many positions beyond the map it sees at the top and at the left: half its side, but in hybrids.
    pub padding: usize,
}

/// A residual block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResidualBlock {
    /// A batch norm and a ReLU before everything, shortcut included; then the sum of a block goes on without a ReLU.
    pub before: Option<String>,
    /// One after the other, with a ReLU between two.
    pub convolutions: Vec<Convolution>,
    /// A 1x1 convolution where the result has another size than what comes in.
    pub shortcut: Option<Convolution>,
}

/// The size of a feature map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapSize {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Channels.
    pub channels: usize,
}

impl MapSize {
    /// Rows times columns.
    pub fn positions(&self) -> usize {
        self.height * self.width
    }
}

impl Convolution {
    /// The most positions of a first convolution's result: a device has workgroups for as many (65,535 of 32 positions).
    const MOST_POSITIONS: usize = 2_000_000;

    /// What is wrong with a photo of that size as what a network's first convolution sees.
    pub(super) fn check_size(&self, size @ [height, width]: [usize; 2]) -> Result<(), String> {
        let positions: usize = self.result(size).iter().product();
        if positions <= Self::MOST_POSITIONS {
            return Ok(());
        }
        Err(format!(
            "its first convolution makes {positions} positions of {height} x {width} pixels, it may make up to {}: choose a \
             smaller image_size",
            Self::MOST_POSITIONS
        ))
    }

    /// Rows and columns of its result on a map of so many.
    pub fn result(&self, size: [usize; 2]) -> [usize; 2] {
        size.map(|side| side.div_ceil(self.stride))
    }
}

impl ResNet {
    /// ResNet-18.
    pub fn resnet_18() -> Self {
        Self { block: Residual::Basic, stem: Stem::Large, blocks: vec![2; 4], strides: vec![1, 2, 2, 2], width: 64 }
    }

    /// ResNet-50, the stride in the 3x3 convolution as torchvision and timm have it.
    pub fn resnet_50() -> Self {
        Self { block: Residual::Bottleneck, blocks: vec![3, 4, 6, 3], ..Self::resnet_18() }
    }

    /// WRN-28-10.
    pub fn wrn_28_10() -> Self {
        Self { block: Residual::Wide, stem: Stem::Small, blocks: vec![4; 3], strides: vec![1, 2, 2], width: 160 }
    }

    /// The network of this backbone.
    pub fn architecture(self, image_size: [usize; 2], classes: usize, mechanism: Mechanism) -> Architecture {
        let (dim, patch_size, depth) =
            (self.channels(self.blocks.len()), self.stride(self.blocks.len()), self.blocks.len());
        Architecture {
            image_size,
            patch_size,
            dim,
            depth,
            heads: 1,
            mlp_ratio: 1,
            layer_norm_eps: super::default_layer_norm_eps(),
            classes,
            mechanism,
            resnet: Some(self),
            hybrid: None,
        }
    }

    /// Channels behind the first `stages` stages, behind the first convolution with 0.
    pub fn channels(&self, stages: usize) -> usize {
        match (stages, self.stem) {
            (0, Stem::Large) => self.width,
            (0, Stem::Small) => 16,
            (stages, _) => (self.width << (stages - 1)) * if self.block == Residual::Bottleneck { 4 } else { 1 },
        }
    }

    /// How many pixels, in each direction, a position stands for behind the first `stages` stages.
    pub fn stride(&self, stages: usize) -> usize {
        let stem = if self.stem == Stem::Large { 4 } else { 1 };
        stem * self.strides.iter().take(stages).product::<usize>()
    }

    /// The first convolution. With [`Stem::Large`] a ReLU and the pooling follow; before [`Residual::Wide`] nothing does.
    pub fn first(&self) -> Convolution {
        let (side, stride) = if self.stem == Stem::Large { (7, 2) } else { (3, 1) };
        let norm = (self.block != Residual::Wide).then(|| "bn1".to_owned());
        Convolution {
            name: "conv1".into(),
            norm,
            inputs: 3,
            outputs: self.channels(0),
            side,
            stride,
            padding: side / 2,
        }
    }

    /// The blocks of stage `stage` (from 0), timm's names: `layer<stage + 1>.<index>.conv1` and so on.
    pub fn stage(&self, stage: usize) -> Vec<ResidualBlock> {
        let (inside, outputs) = (self.width << stage, self.channels(stage + 1));
        let block = |index: usize| {
            let (inputs, stride) = if index == 0 { (self.channels(stage), self.strides[stage]) } else { (outputs, 1) };
            let name = format!("layer{}.{index}", stage + 1);
            let wide = self.block == Residual::Wide;
            let convolution = |n: usize, inputs: usize, outputs: usize, side: usize, stride: usize| {
                // Before a wide block's second convolution stands the norm that can be folded into its first.
                let norm = match (wide, n) {
                    (false, n) => Some(n),
                    (true, 1) => Some(2),
                    (true, _) => None,
                };
                let norm = norm.map(|n| format!("{name}.bn{n}"));
                Convolution { name: format!("{name}.conv{n}"), norm, inputs, outputs, side, stride, padding: side / 2 }
            };
            let convolutions = match self.block {
                Residual::Bottleneck => vec![
                    convolution(1, inputs, inside, 1, 1),
                    convolution(2, inside, inside, 3, stride),
                    convolution(3, inside, outputs, 1, 1),
                ],
                Residual::Basic | Residual::Wide => {
                    vec![convolution(1, inputs, outputs, 3, stride), convolution(2, outputs, outputs, 3, 1)]
                }
            };
            let shortcut = (inputs != outputs || stride != 1).then(|| Convolution {
                name: format!("{name}.downsample.0"),
                norm: (!wide).then(|| format!("{name}.downsample.1")),
                inputs,
                outputs,
                side: 1,
                stride,
                padding: 0,
            });
            ResidualBlock { before: wide.then(|| format!("{name}.bn1")), convolutions, shortcut }
        };
        (0..self.blocks[stage]).map(block).collect()
    }

    /// The batch norm, with its ReLU, between the last stage and the mean; only where blocks end without.
    pub fn last_norm(&self) -> Option<&'static str> {
        (self.block == Residual::Wide).then_some("norm")
    }

    /// Checks its own numbers, before anything is computed from them.
    ///
    /// # Errors
    /// Names the first number that cannot be.
    pub fn check_numbers(&self) -> Result<(), ArchitectureError> {
        self.numbers().map_err(ArchitectureError)
    }

    fn numbers(&self) -> Result<(), String> {
        let stages = self.blocks.len();
        if stages == 0 || stages > 8 || self.strides.len() != stages {
            let strides = self.strides.len();
            return Err(format!(
                "the residual network has {stages} stages and {strides} strides, there must be as many, from 1 to 8"
            ));
        }
        if self.width == 0 || self.width > 1024 {
            return Err(format!("the width of the residual network is {}, it must be from 1 to 1024", self.width));
        }
        for (name, values, most) in [("blocks", &self.blocks, 256), ("strides", &self.strides, 4)] {
            if values.iter().any(|&value| value == 0 || value > most) {
                return Err(format!(
                    "the {name} of the residual network are {values:?}, each must be from 1 to {most}"
                ));
            }
        }
        Ok(())
    }

    /// What is wrong with it, or with the numbers of the architecture that follow from it.
    pub(super) fn check(&self, architecture: &Architecture) -> Result<(), String> {
        self.numbers()?;
        let stages = self.blocks.len();
        self.first().check_size(architecture.image_size)?;
        let Architecture { patch_size, dim, depth, heads, mlp_ratio, .. } = *architecture;
        let follows = [self.stride(stages), self.channels(stages), stages, 1, 1];
        if [patch_size, dim, depth, heads, mlp_ratio] != follows {
            return Err(format!(
                "patch_size, dim, depth, heads and mlp_ratio are {:?}, with this residual network they are {follows:?}",
                [patch_size, dim, depth, heads, mlp_ratio]
            ));
        }
        match architecture.mechanism {
            Mechanism::Dcal(_) => {
                Err("DCAL looks at a transformer's tokens: choose another mechanism for a residual network".into())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published numbers: 11.69, 25.56 (1,000 classes) and 36.5 million (10 classes).
    #[test]
    fn networks_have_as_many_parameters_as_published() {
        for (resnet, classes, published) in [
            (ResNet::resnet_18(), 1000, 11_689_512),
            (ResNet::resnet_50(), 1000, 25_557_032),
            (ResNet::wrn_28_10(), 10, 36_479_194),
        ] {
            let architecture = resnet.architecture([64, 64], classes, Mechanism::None);
            let learned = architecture.weights().into_iter().filter(|weight| !weight.name.contains("running_"));
            let count: usize = learned.map(|weight| weight.shape.iter().product::<usize>()).sum();
            assert_eq!(count, published);
        }
    }

    #[test]
    fn sizes_follow_the_strides() {
        let mut resnet = ResNet::resnet_50();
        assert_eq!((resnet.stride(4), resnet.channels(4), resnet.channels(1)), (32, 2048, 256));
        resnet.strides[3] = 1;
        let architecture = resnet.clone().architecture([224, 224], 10, Mechanism::None);
        architecture.check().unwrap();
        assert_eq!(architecture.map_behind(4), MapSize { height: 14, width: 14, channels: 2048 });
        assert_eq!(architecture.map_behind(1), MapSize { height: 56, width: 56, channels: 256 });
        let broken = Architecture { dim: 512, ..architecture.clone() };
        assert!(broken.check().unwrap_err().to_string().contains("2048"));
        let large = Architecture { image_size: [2816, 2816], ..architecture };
        large.check().unwrap();
        let larger = Architecture { image_size: [2848, 2848], ..large };
        assert!(larger.check().unwrap_err().to_string().contains("2027776 positions"));
    }
}

//! Hybrid transformers: which convolutions a photo goes through before it is cut into patches.

use serde::{Deserialize, Serialize};

use super::{Architecture, ArchitectureError, Convolution, MapSize, ResidualBlock};

/// The convolutions whose last map a transformer takes for its patches (R50+ViT-B/16: Dosovitskiy et al., ICLR 2021, section 3.1): BiT's
/// residual network (Kolesnikov et al., ECCV 2020) up to its third stage, bottlenecks with a group norm behind each convolution and
/// weights that are standardised before they are used (Qiao et al., 2019). A patch is one position of the last map.
///
/// Strides are 2 in the first convolution, in the pooling behind it and in each stage but the first, so that `n` stages make patches of
/// `2^(n + 1)` pixels. Padding is TensorFlow's SAME, as in the published weights.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hybrid {
    /// How many bottlenecks each stage has.
    pub blocks: Vec<usize>,
    /// Channels behind the first convolution and inside the bottlenecks of the first stage; each stage doubles them.
    pub width: usize,
    /// Groups of each group norm; divides `width`.
    #[serde(default = "default_groups")]
    pub groups: usize,
}

fn default_groups() -> usize {
    32
}

impl Hybrid {
    /// The first three stages of ResNet-50, the last one as long as three and four together: R50+ViT-B/16's.
    pub fn r50() -> Self {
        Self { blocks: vec![3, 4, 9], width: 64, groups: default_groups() }
    }

    /// Channels behind the first `stages` stages, behind the first convolution with 0.
    pub fn channels(&self, stages: usize) -> usize {
        if stages == 0 { self.width } else { 4 * (self.width << (stages - 1)) }
    }

    /// How many pixels, in each direction, a position stands for behind the first `stages` stages.
    pub fn stride(&self, stages: usize) -> usize {
        4 << stages.saturating_sub(1)
    }

    /// The size of the map behind the first `stages` stages of a photo of `image_size` (height, width).
    pub fn map_behind(&self, image_size: [usize; 2], stages: usize) -> MapSize {
        let [height, width] = image_size.map(|side| side / self.stride(stages));
        MapSize { height, width, channels: self.channels(stages) }
    }

    /// The first convolution; a ReLU and the maximum of 3x3 positions with stride 2 follow.
    pub fn first(&self) -> Convolution {
        self.convolution("stem", "", [3, self.width], 7, 2)
    }

    /// The blocks of stage `stage` (from 0), timm's names: `patch_embed.backbone.stages.<stage>.blocks.<index>.conv1` and so on.
    pub fn stage(&self, stage: usize) -> Vec<ResidualBlock> {
        let (inside, outputs) = (self.width << stage, self.channels(stage + 1));
        let block = |index: usize| {
            let (inputs, stride) = match index {
                0 => (self.channels(stage), if stage == 0 { 1 } else { 2 }),
                _ => (outputs, 1),
            };
            let name = format!("stages.{stage}.blocks.{index}");
            let convolutions = vec![
                self.convolution(&name, "1", [inputs, inside], 1, 1),
                self.convolution(&name, "2", [inside, inside], 3, stride),
                self.convolution(&name, "3", [inside, outputs], 1, 1),
            ];
            let shortcut =
                (index == 0).then(|| self.convolution(&format!("{name}.downsample"), "", [inputs, outputs], 1, stride));
            ResidualBlock { before: None, convolutions, shortcut }
        };
        (0..self.blocks[stage]).map(block).collect()
    }

    /// Every convolution, in the order of the forward pass.
    pub fn convolutions(&self) -> impl Iterator<Item = Convolution> {
        let blocks = (0..self.blocks.len()).flat_map(|stage| self.stage(stage));
        std::iter::once(self.first())
            .chain(blocks.flat_map(|block| block.convolutions.into_iter().chain(block.shortcut)))
    }

    /// The convolution `<holder>.conv<number>`, whose group norm is `<holder>.norm<number>`.
    fn convolution(
        &self,
        holder: &str,
        number: &str,
        [inputs, outputs]: [usize; 2],
        side: usize,
        stride: usize,
    ) -> Convolution {
        let name = |kind: &str| format!("patch_embed.backbone.{holder}.{kind}{number}");
        // Strides of 2 see sizes that 2 divides: SAME pads by `side - stride`, the smaller half of it at the top and left.
        let padding = side.saturating_sub(stride) / 2;
        Convolution { name: name("conv"), norm: Some(name("norm")), inputs, outputs, side, stride, padding }
    }

    /// Checks its own numbers, before anything is computed from them.
    ///
    /// # Errors
    /// Names the first number that cannot be.
    pub fn check_numbers(&self) -> Result<(), ArchitectureError> {
        self.numbers().map_err(ArchitectureError)
    }

    fn numbers(&self) -> Result<(), String> {
        let Self { blocks, width, groups } = self;
        if blocks.is_empty() || blocks.len() > 4 || blocks.iter().any(|&count| count == 0 || count > 256) {
            return Err(format!("the blocks of the hybrid are {blocks:?}, one to four stages have each 1 to 256"));
        }
        if *width == 0 || *width > 1024 || *groups == 0 || !width.is_multiple_of(*groups) {
            return Err(format!(
                "width and groups of the hybrid are {width} and {groups}: the width must be from 1 to 1024 and a multiple \
                 of the groups"
            ));
        }
        Ok(())
    }

    /// What is wrong with it, or with the numbers of the architecture that follow from it.
    pub(super) fn check(&self, architecture: &Architecture) -> Result<(), String> {
        self.numbers()?;
        if architecture.resnet.is_some() {
            return Err("a network is a residual one or a hybrid, not both".into());
        }
        self.first().check_size(architecture.image_size)?;
        let stride = self.stride(self.blocks.len());
        if architecture.patch_size != stride {
            return Err(format!(
                "patch_size is {}, with the {} stages of this hybrid it is {stride}",
                architecture.patch_size,
                self.blocks.len()
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::Mechanism;

    fn r50_vit_base() -> Architecture {
        Architecture {
            resnet: None,
            hybrid: Some(Hybrid::r50()),
            image_size: [224, 224],
            patch_size: 16,
            dim: 768,
            depth: 12,
            heads: 12,
            mlp_ratio: 4,
            layer_norm_eps: 1e-6,
            classes: 1000,
            mechanism: Mechanism::None,
        }
    }

    /// timm's vit_base_r50_s16_224 with 1,000 classes.
    #[test]
    fn the_known_hybrid_has_its_known_parameters() {
        let architecture = r50_vit_base();
        architecture.check().unwrap();
        let count: usize = architecture.weights().iter().map(|weight| weight.shape.iter().product::<usize>()).sum();
        assert_eq!(count as u64, architecture.parameters().unwrap());
        assert_eq!(count, 98_659_112);
    }

    #[test]
    fn sizes_follow_the_strides() {
        let hybrid = Hybrid::r50();
        assert_eq!(
            [0, 1, 2, 3].map(|n| (hybrid.stride(n), hybrid.channels(n))),
            [(4, 64), (4, 256), (8, 512), (16, 1024)]
        );
        assert_eq!(hybrid.map_behind([224, 448], 3), MapSize { height: 14, width: 28, channels: 1024 });
        let padding: Vec<_> = hybrid.convolutions().map(|c| (c.side, c.stride, c.padding)).collect();
        for known in [(7, 2, 2), (3, 1, 1), (3, 2, 0), (1, 1, 0), (1, 2, 0)] {
            assert!(padding.contains(&known), "{known:?}");
        }
    }

    #[test]
    fn impossible_hybrids_are_named() {
        let with = |hybrid: Hybrid| Architecture { hybrid: Some(hybrid), ..r50_vit_base() };
        for (broken, word) in [
            (with(Hybrid { blocks: vec![3, 4], ..Hybrid::r50() }), "it is 8"),
            (with(Hybrid { blocks: vec![3, 0, 1], ..Hybrid::r50() }), "blocks"),
            (with(Hybrid { width: 48, ..Hybrid::r50() }), "48 and 32"),
            (with(Hybrid { groups: 0, ..Hybrid::r50() }), "groups"),
            (Architecture { patch_size: 8, ..r50_vit_base() }, "it is 16"),
            (Architecture { image_size: [2848, 2848], ..r50_vit_base() }, "2027776 positions"),
        ] {
            assert!(broken.check().unwrap_err().to_string().contains(word), "{word}");
        }
    }
}

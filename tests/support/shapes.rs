//! Residual networks of many shapes, for every implementation alike.

use finegrain::architecture::{
    Architecture, Mechanism, Mixing, RectifyBlocks, ResNet, Residual, RgaBlocks, Stem, TasnBlocks,
};

pub(crate) fn resnet(block: Residual, stem: Stem, blocks: &[usize], strides: &[usize], width: usize) -> ResNet {
    ResNet { block, stem, blocks: blocks.to_vec(), strides: strides.to_vec(), width }
}

pub(crate) fn basic() -> ResNet {
    resnet(Residual::Basic, Stem::Large, &[2, 1, 2], &[1, 2, 2], 9)
}

pub(crate) fn bottleneck() -> ResNet {
    resnet(Residual::Bottleneck, Stem::Large, &[1, 2, 1, 2], &[1, 2, 2, 1], 6)
}

pub(crate) fn wide() -> ResNet {
    resnet(Residual::Wide, Stem::Small, &[2, 1, 2], &[1, 2, 2], 12)
}

pub(crate) fn rga([spatial, channel]: [bool; 2], after: &[usize]) -> Mechanism {
    Mechanism::Rga(RgaBlocks { ratio: 4, spatial, channel, after: after.to_vec() })
}

pub(crate) fn rectify(heads: usize, after: &[usize], mixing: Mixing) -> Mechanism {
    Mechanism::Rectify(RectifyBlocks { heads, after: after.to_vec(), mixing })
}

pub(crate) fn tasn(zoom: usize, after: usize) -> Mechanism {
    Mechanism::Tasn(TasnBlocks { zoom, after, ..TasnBlocks::default() })
}

/// Maps with odd sides, of one position, oblong; strides of 3 and 4; a stage that goes on in the buffer before it; every
/// mechanism, also behind the last stage.
pub(crate) fn architectures() -> Vec<Architecture> {
    vec![
        basic().architecture([48, 80], 7, Mechanism::None),
        basic().architecture([16, 16], 2, Mechanism::None),
        bottleneck().architecture([112, 80], 196, Mechanism::None),
        wide().architecture([28, 20], 5, Mechanism::None),
        resnet(Residual::Basic, Stem::Small, &[1, 1], &[3, 1], 8).architecture([27, 21], 4, Mechanism::None),
        resnet(Residual::Bottleneck, Stem::Small, &[1, 1], &[2, 4], 5).architecture([24, 40], 3, Mechanism::None),
        resnet(Residual::Wide, Stem::Large, &[1, 2], &[1, 3], 7).architecture([36, 60], 3, Mechanism::None),
        resnet(Residual::Wide, Stem::Small, &[2], &[1], 16).architecture([7, 9], 3, Mechanism::None),
        basic().architecture([48, 80], 7, rga([true, true], &[1, 3])),
        bottleneck().architecture([80, 48], 9, rga([false, true], &[2, 3, 4])),
        wide().architecture([28, 20], 5, rga([true, false], &[2, 3])),
        basic().architecture([48, 80], 7, rectify(4, &[1, 2, 3], Mixing::Softmax)),
        wide().architecture([28, 20], 5, rectify(3, &[1, 3], Mixing::Sigmoid)),
        bottleneck().architecture([48, 64], 6, tasn(2, 3)),
        wide().architecture([20, 28], 5, tasn(3, 2)),
        basic().architecture([32, 48], 4, tasn(2, 3)),
    ]
}

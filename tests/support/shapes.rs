//! Residual networks and hybrids of many shapes, for every implementation alike.

use finegrain::architecture::{
    Architecture, Dcal, Hybrid, Mechanism, Mixing, RectifyBlocks, ResNet, Residual, RgaBlocks, Stem, TasnBlocks,
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
    Mechanism::Rectify(RectifyBlocks { heads, after: after.to_vec(), mixing, gates: None })
}

pub(crate) fn tasn(zoom: usize, after: usize) -> Mechanism {
    Mechanism::Tasn(TasnBlocks { zoom, after, ..TasnBlocks::default() })
}

/// Maps with odd sides, of one position, oblong; strides of 3 and 4; a stage that goes on in the buffer before it; every
/// mechanism, also behind the last stage.
pub(crate) fn architectures() -> Vec<Architecture> {
    let pairs = pairs().into_iter().filter(|pair| pair.resnet.is_some());
    let others = [
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
    ];
    others.into_iter().chain(pairs).collect()
}

/// Patches of 4, 8 and 16 pixels, one patch, oblong photos, one group and one for each channel, every mechanism; the first with GLCA.
pub(crate) fn hybrids() -> Vec<Architecture> {
    let hybrid = |blocks: &[usize], [width, groups]: [usize; 2], image_size, mechanism| {
        let hybrid = Hybrid { blocks: blocks.to_vec(), width, groups };
        Architecture {
            image_size,
            patch_size: hybrid.stride(blocks.len()),
            resnet: None,
            hybrid: Some(hybrid),
            dim: 24,
            depth: 2,
            heads: 3,
            mlp_ratio: 2,
            layer_norm_eps: 1e-6,
            classes: 5,
            mechanism,
        }
    };
    let dcal = Mechanism::Dcal(Dcal { ratio: 0.3, glca: true, pwca: false, gates: None });
    vec![
        hybrid(&[2, 1], [6, 3], [56, 40], dcal.clone()),
        hybrid(&[1], [8, 1], [20, 28], Mechanism::None),
        hybrid(&[1, 1, 2], [4, 4], [64, 32], dcal),
        hybrid(&[1], [6, 2], [4, 4], Mechanism::None),
        hybrid(&[1, 1], [4, 2], [48, 32], rga([true, true], &[1])),
        hybrid(&[1, 2], [5, 1], [40, 56], rectify(3, &[1, 2], Mixing::Softmax)),
        hybrid(&[1, 1], [6, 3], [24, 32], tasn(2, 1)),
    ]
}

/// RGA's gates beside GLCA, also behind the last block, which GLCA sees; beside modules that see what is behind the gates; on a
/// residual network.
pub(crate) fn pairs() -> Vec<Architecture> {
    let gates = |which: [bool; 2], after: &[usize]| match rga(which, after) {
        Mechanism::Rga(gates) => Some(gates),
        _ => None,
    };
    let dcal = |gates| Mechanism::Dcal(Dcal { ratio: 0.2, glca: true, pwca: false, gates });
    let voting = |after: &[usize], gates| {
        Mechanism::Rectify(RectifyBlocks { heads: 3, after: after.to_vec(), mixing: Mixing::Softmax, gates })
    };
    let transformer = |mechanism| Architecture {
        image_size: [24, 40],
        patch_size: 4,
        resnet: None,
        hybrid: None,
        dim: 24,
        depth: 3,
        heads: 3,
        mlp_ratio: 2,
        layer_norm_eps: 1e-6,
        classes: 6,
        mechanism,
    };
    vec![
        transformer(dcal(gates([true, true], &[1, 3]))),
        transformer(dcal(gates([false, true], &[2]))),
        transformer(voting(&[1, 2, 3], gates([true, true], &[2]))),
        transformer(voting(&[1, 3], gates([true, false], &[3]))),
        basic().architecture([48, 80], 7, voting(&[1, 3], gates([true, true], &[1, 3]))),
    ]
}

//! What a network looks like: the numbers that a config, a bundle's manifest and a trace file all carry.

mod hybrid;
mod mechanisms;
mod resnet;
mod weights;

use serde::{Deserialize, Serialize};

pub use hybrid::Hybrid;
pub use mechanisms::{Mixing, RectifyBlocks, RelationWidths, Rga, RgaBlocks, Tasn, TasnBlocks};
pub use resnet::{Convolution, MapSize, ResNet, Residual, ResidualBlock, Stem};
pub use weights::WeightSpec;

/// A vision transformer, plain or behind convolutions (a hybrid), or a residual network, and the attention mechanism that sits on it.
///
/// `N` is the number of patches, `N + 1` the number of tokens (the class token is token 0), `D` the width. Of a residual network
/// `N` counts the positions of the last map and `D` its channels; a block is one of its stages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// Height and width of what the transformer sees, in pixels; the photo may be larger ([`Architecture::input_size`]).
    pub image_size: [usize; 2],
    /// Side of a square patch, in pixels; divides both sides of the image. Of a residual network its stride, of a hybrid that of its
    /// convolutions.
    pub patch_size: usize,
    /// `D`, the width of a token.
    pub dim: usize,
    /// Number of transformer blocks, or of a residual network's stages.
    pub depth: usize,
    /// Number of attention heads; divides `dim`.
    pub heads: usize,
    /// Width of the hidden layer of the MLP, as a multiple of `dim`.
    #[serde(default = "default_mlp_ratio")]
    pub mlp_ratio: usize,
    /// Epsilon of every layer norm.
    #[serde(default = "default_layer_norm_eps")]
    pub layer_norm_eps: f32,
    /// Number of classes.
    pub classes: usize,
    /// The attention mechanism.
    pub mechanism: Mechanism,
    /// The residual network that stands in place of the transformer, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resnet: Option<ResNet>,
    /// The convolutions before the transformer's patches, if it is a hybrid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hybrid: Option<Hybrid>,
}

fn default_mlp_ratio() -> usize {
    4
}

fn default_layer_norm_eps() -> f32 {
    1e-6
}

/// The published attention mechanisms. A further one is a variant here, a module under `model/` and its kernels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase", deny_unknown_fields)]
pub enum Mechanism {
    /// The plain backbone: self-attention (SA) only. Rollout is still available.
    None,
    /// Dual cross-attention learning (Zhu et al., CVPR 2022).
    Dcal(Dcal),
    /// Relation-aware global attention between blocks (Zhang et al., CVPR 2020).
    Rga(RgaBlocks),
    /// Attend and Rectify: modules behind blocks vote beside the classifier (Rodriguez et al., ECCV 2018, TMM 2019).
    Rectify(RectifyBlocks),
    /// Trilinear attention sampling: a second look at the photo as attention resampled it (Zheng et al., CVPR 2019).
    Tasn(TasnBlocks),
}

/// Settings of DCAL (shared by training and inference).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dcal {
    /// `R`: the share of patches that become local queries (paper, section 3.3: 0.1 for categorisation).
    pub ratio: f64,
    /// Global-local cross-attention: a block of its own after the last one, with its own norm and head.
    pub glca: bool,
    /// Pair-wise cross-attention: a regulariser of training, absent at inference.
    pub pwca: bool,
    /// RGA's gates between the blocks, beside it: without PWCA, whose stream has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gates: Option<RgaBlocks>,
}

/// An architecture that cannot be built.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("the architecture cannot be built: {0}")]
pub struct ArchitectureError(String);

impl Architecture {
    /// Height and width of the photo that the network is given, in pixels: `image_size`, or with TASN so many times that.
    pub fn input_size(&self) -> [usize; 2] {
        let zoom = self.tasn().map_or(1, |tasn| tasn.zoom);
        self.image_size.map(|side| zoom * side)
    }

    /// Rows and columns of the patch grid.
    pub fn grid(&self) -> [usize; 2] {
        [self.image_size[0] / self.patch_size, self.image_size[1] / self.patch_size]
    }

    /// `N`, the number of patches.
    pub fn patches(&self) -> usize {
        self.grid()[0] * self.grid()[1]
    }

    /// `N + 1`: the patches and the class token.
    pub fn tokens(&self) -> usize {
        self.patches() + 1
    }

    /// The size of the map behind the first `blocks` blocks of the transformer (its patch tokens) or stages of the residual
    /// network, for `image_size`.
    pub fn map_behind(&self, blocks: usize) -> MapSize {
        let (stride, channels) = match &self.resnet {
            Some(resnet) => (resnet.stride(blocks), resnet.channels(blocks)),
            None => (self.patch_size, self.dim),
        };
        let [height, width] = self.image_size.map(|side| side / stride);
        MapSize { height, width, channels }
    }

    /// Width of one attention head.
    pub fn head_dim(&self) -> usize {
        self.dim / self.heads
    }

    /// Width of the MLP's hidden layer.
    pub fn hidden(&self) -> usize {
        self.dim * self.mlp_ratio
    }

    /// DCAL's settings when this network has a GLCA block.
    pub fn glca(&self) -> Option<&Dcal> {
        match &self.mechanism {
            Mechanism::Dcal(dcal) if dcal.glca => Some(dcal),
            _ => None,
        }
    }

    /// `k`: how many patches GLCA selects beside the class token, `int(R N)` and at least 1; 0 without GLCA.
    pub fn selected(&self) -> usize {
        self.glca().map_or(0, |dcal| dcal.selected(self.patches()))
    }

    /// RGA's settings where this network has its gates, alone or beside another mechanism.
    pub fn rga(&self) -> Option<&RgaBlocks> {
        match &self.mechanism {
            Mechanism::Rga(rga) => Some(rga),
            Mechanism::Dcal(Dcal { gates, .. }) | Mechanism::Rectify(RectifyBlocks { gates, .. }) => gates.as_ref(),
            Mechanism::None | Mechanism::Tasn(_) => None,
        }
    }

    /// The settings of Attend and Rectify where this network has its modules.
    pub fn rectify(&self) -> Option<&RectifyBlocks> {
        match &self.mechanism {
            Mechanism::Rectify(rectify) => Some(rectify),
            _ => None,
        }
    }

    /// TASN's settings where this network resamples its photo.
    pub fn tasn(&self) -> Option<&TasnBlocks> {
        match &self.mechanism {
            Mechanism::Tasn(tasn) => Some(tasn),
            _ => None,
        }
    }

    /// Checks what every builder of a network relies on.
    ///
    /// # Errors
    /// Names the first number that cannot be: a zero, a head count that does not divide `dim`, a ratio outside (0, 1],
    /// gates or modules behind no block, a photo too large to be resampled.
    pub fn check(&self) -> Result<(), ArchitectureError> {
        let fail = |text: String| Err(ArchitectureError(text));
        let [height, width] = self.image_size;
        for (name, value) in [
            ("image height", height),
            ("image width", width),
            ("patch_size", self.patch_size),
            ("dim", self.dim),
            ("depth", self.depth),
            ("heads", self.heads),
            ("mlp_ratio", self.mlp_ratio),
            ("classes", self.classes),
        ] {
            if value == 0 || value > 65_536 {
                return fail(format!("{name} is {value}, it must be from 1 to 65536"));
            }
        }
        if !height.is_multiple_of(self.patch_size) || !width.is_multiple_of(self.patch_size) {
            return fail(format!("patch_size {} does not divide the image size {height} x {width}", self.patch_size));
        }
        if !self.dim.is_multiple_of(self.heads) {
            return fail(format!("heads {} does not divide dim {}", self.heads, self.dim));
        }
        if !(self.layer_norm_eps > 0.0 && self.layer_norm_eps < 1.0) {
            return fail(format!("layer_norm_eps is {}, it must lie between 0 and 1", self.layer_norm_eps));
        }
        if let Some(hybrid) = &self.hybrid {
            hybrid.check(self).or_else(fail)?;
        }
        if let Some(resnet) = &self.resnet {
            resnet.check(self).or_else(fail)?;
        }
        if let Some(rga) = self.rga() {
            // The last map of a residual network is what its classifier sees; a transformer's last patch tokens nobody reads but GLCA and
            // a module of Attend and Rectify behind the last block.
            let module = self.rectify().is_some_and(|rectify| rectify.after.last() == Some(&self.depth));
            let seen = self.resnet.is_some() || self.glca().is_some() || module;
            let most = self.depth - usize::from(!seen);
            rga.check(most).or_else(fail)?;
        }
        match &self.mechanism {
            Mechanism::Dcal(dcal) if !(dcal.ratio > 0.0 && dcal.ratio <= 1.0) => {
                fail(format!("the ratio R of local queries is {}, it must lie in (0, 1]", dcal.ratio))
            }
            Mechanism::Dcal(Dcal { pwca: true, gates: Some(_), .. }) => {
                fail("RGA's gates do not go with PWCA, whose stream has none: switch one of them off".into())
            }
            Mechanism::Rectify(rectify) => rectify.check(self.depth).or_else(fail),
            Mechanism::Tasn(tasn) => tasn.check(self.depth, self.image_size).or_else(fail),
            Mechanism::None | Mechanism::Dcal(_) | Mechanism::Rga(_) => Ok(()),
        }
    }
}

impl Dcal {
    /// `int(R N)`, at least 1.
    pub fn selected(&self, patches: usize) -> usize {
        ((self.ratio * patches as f64) as usize).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny() -> Architecture {
        Architecture {
            resnet: None,
            hybrid: None,
            image_size: [448, 448],
            patch_size: 16,
            dim: 192,
            depth: 12,
            heads: 3,
            mlp_ratio: 4,
            layer_norm_eps: 1e-6,
            classes: 100,
            mechanism: Mechanism::Dcal(Dcal { ratio: 0.1, glca: true, pwca: true, gates: None }),
        }
    }

    #[test]
    fn counts_follow_the_paper() {
        let tiny = tiny();
        assert_eq!((tiny.patches(), tiny.tokens(), tiny.selected(), tiny.head_dim()), (784, 785, 78, 64));
        assert_eq!(
            Dcal { ratio: 0.01, glca: true, pwca: false, gates: None }.selected(9),
            1,
            "at least one local query"
        );
    }

    fn rga(after: &[usize]) -> Mechanism {
        Mechanism::Rga(RgaBlocks { ratio: 8, spatial: true, channel: true, after: after.to_vec() })
    }

    fn pair(pwca: bool, after: &[usize]) -> Mechanism {
        let Mechanism::Rga(gates) = rga(after) else { unreachable!() };
        Mechanism::Dcal(Dcal { ratio: 0.1, glca: true, pwca, gates: Some(gates) })
    }

    fn rectify(heads: usize, after: &[usize]) -> Mechanism {
        Mechanism::Rectify(RectifyBlocks { heads, after: after.to_vec(), mixing: Mixing::Softmax, gates: None })
    }

    fn tasn(zoom: usize, after: usize) -> Mechanism {
        Mechanism::Tasn(TasnBlocks { zoom, after, ..TasnBlocks::default() })
    }

    #[test]
    fn impossible_architectures_are_named() {
        for (broken, word) in [
            (Architecture { heads: 5, ..tiny() }, "heads"),
            (Architecture { patch_size: 15, ..tiny() }, "patch_size"),
            (Architecture { depth: 0, ..tiny() }, "depth"),
            (Architecture { mechanism: rga(&[]), ..tiny() }, "no block"),
            (Architecture { mechanism: rga(&[6, 12]), ..tiny() }, "after [6, 12]"),
            (Architecture { mechanism: rga(&[6, 6]), ..tiny() }, "after [6, 6]"),
            (Architecture { mechanism: rectify(4, &[]), ..tiny() }, "no block"),
            (Architecture { mechanism: rectify(4, &[6, 13]), ..tiny() }, "after [6, 13]"),
            (Architecture { mechanism: rectify(4, &[0, 6]), ..tiny() }, "from 1 to 12"),
            (Architecture { mechanism: rectify(0, &[6]), ..tiny() }, "0 heads"),
            (Architecture { mechanism: rectify(65, &[6]), ..tiny() }, "from 1 to 64"),
            (Architecture { mechanism: tasn(2, 0), ..tiny() }, "after block 0"),
            (Architecture { mechanism: tasn(2, 13), ..tiny() }, "from 1 to 12"),
            (Architecture { mechanism: tasn(1, 12), ..tiny() }, "zoom of TASN is 1"),
            (Architecture { mechanism: tasn(8, 12), ..tiny() }, "3584 x 3584"),
            (Architecture { mechanism: pair(true, &[4]), ..tiny() }, "PWCA"),
            (Architecture { mechanism: pair(false, &[4, 13]), ..tiny() }, "after [4, 13]"),
            (
                Architecture {
                    mechanism: Mechanism::Dcal(Dcal { ratio: 0.0, glca: true, pwca: false, gates: None }),
                    ..tiny()
                },
                "ratio",
            ),
        ] {
            assert!(broken.check().unwrap_err().to_string().contains(word));
        }
        tiny().check().unwrap();
        Architecture { mechanism: rga(&[4, 8, 11]), ..tiny() }.check().unwrap();
        Architecture { mechanism: pair(false, &[4, 12]), ..tiny() }.check().unwrap();
        Architecture { mechanism: rectify(4, &[6, 9, 12]), ..tiny() }.check().unwrap();
        Architecture { mechanism: tasn(4, 12), ..tiny() }.check().unwrap();
    }
}

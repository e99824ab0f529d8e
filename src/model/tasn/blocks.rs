//! TASN on a vision transformer (TASN, section 3): which net sees which photo.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use super::{coordinates, detail, grid_sample, structure, trilinear};
use crate::architecture::{self, Architecture};
use crate::model::DropPath;
use crate::model::layer_norm::LayerNorm;
use crate::model::vit::{VisionTransformer, behind, classifier};

/// What the attention net has of its own, and the part net's classifier. All else is the transformer's: the attention net is its
/// first blocks over the photo made small, part net and master net are all of it over the photo resampled. The master net's
/// classifier is the transformer's and gives the answer; the two here are training's alone.
///
/// The paper's classifiers of an earlier stage of its ResNet are left out.
#[derive(Module, Debug)]
pub struct TasnBlocks {
    /// Norm of the tokens that are the map.
    pub norm: LayerNorm,
    /// Classifier of the attention net, over the mean of its map.
    pub attention_head: Linear,
    /// Classifier of the part net.
    pub part_head: Linear,
    #[module(skip)]
    settings: architecture::TasnBlocks,
    #[module(skip)]
    size: [usize; 2],
    #[module(skip)]
    grid: [usize; 2],
}

/// What the attention net makes of photos.
pub(in crate::model) struct Attended {
    /// Logits, `[B, classes]`.
    pub(in crate::model) logits: Tensor<2>,
    /// Attention maps, `[B, D, h, w]`, not negative, without gradient.
    pub(in crate::model) maps: Tensor<4>,
}

/// A photo as attention resampled it.
pub(in crate::model) struct Resampled {
    /// `[B, 3, H, W]`, what the transformer sees.
    pub(in crate::model) images: Tensor<4>,
    /// Where its rows and columns come from ([`coordinates`]), rows first, `[B, H + W]`.
    pub(in crate::model) sampling: Tensor<2>,
}

impl TasnBlocks {
    /// Random weights; the classifiers start at zero.
    pub fn new(architecture: &Architecture, settings: &architecture::TasnBlocks, device: &Device) -> Self {
        let Architecture { dim, classes, .. } = *architecture;
        Self {
            norm: LayerNorm::new(architecture, device),
            attention_head: classifier(dim, classes, device),
            part_head: classifier(dim, classes, device),
            settings: settings.clone(),
            size: architecture.image_size,
            grid: architecture.grid(),
        }
    }

    /// The attention net over photos `[B, 3, zoom H, zoom W]`. Its map is behind a ReLU, as the paper's, a ResNet's, is: where a
    /// channel says no, it attends to nothing.
    pub(in crate::model) fn attend(
        &self,
        vit: &VisionTransformer,
        photos: Tensor<4>,
        drop_path: Option<&DropPath>,
    ) -> Attended {
        let tokens = vit.tokens_behind(shrink(photos, self.settings.zoom), self.settings.after, drop_path);
        let ([batch, count, dim], [height, width]) = (tokens.dims(), self.grid);
        let map = relu(self.norm.forward(tokens.narrow(1, 1, count - 1)));
        let logits = behind(None, &self.attention_head, map.clone().mean_dim(1).squeeze_dim(1));
        let map = map.swap_dims(1, 2).reshape([batch, dim, height, width]);
        Attended { logits, maps: trilinear(map, self.settings.scale) }
    }

    /// What the master net sees: photos `[B, 3, zoom H, zoom W]` resampled by all attention maps `[B, D, h, w]`.
    pub(in crate::model) fn structure(&self, maps: Tensor<4>, photos: Tensor<4>) -> Resampled {
        let [_, _, height, width] = photos.dims();
        self.resample(structure(maps, [height, width]), photos)
    }

    /// What the part net sees: resampled by one map of each photo, or by their sum.
    pub(in crate::model) fn detail(&self, maps: Tensor<4>, channels: Option<&[usize]>, photos: Tensor<4>) -> Resampled {
        let [_, _, height, width] = photos.dims();
        self.resample(detail(maps, channels, [height, width]), photos)
    }

    /// What the logits are divided by in the distillation loss.
    pub(in crate::model) fn temperature(&self) -> f32 {
        self.settings.temperature
    }

    fn resample(&self, map: Tensor<3>, photos: Tensor<4>) -> Resampled {
        let [rows, columns] = coordinates(map, &self.settings.sampler(self.size));
        let sampling = Tensor::cat(vec![rows.clone(), columns.clone()], 1);
        Resampled { images: grid_sample(photos, [rows, columns]), sampling }
    }
}

/// Photos `[B, C, zoom H, zoom W]` as means of `zoom` x `zoom` pixels, `[B, C, H, W]`.
pub fn shrink(photos: Tensor<4>, zoom: usize) -> Tensor<4> {
    let [batch, channels, height, width] = photos.dims();
    let (rows, columns) = (height / zoom, width / zoom);
    let boxes: Tensor<6> = photos.reshape([batch, channels, rows, zoom, columns, zoom]);
    boxes.mean_dim(5).mean_dim(3).reshape([batch, channels, rows, columns])
}

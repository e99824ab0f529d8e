//! TASN on a backbone (TASN, section 3): which net sees which photo.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use super::{coordinates, detail, grid_sample, structure, trilinear};
use crate::architecture::{self, Architecture};
use crate::model::layer_norm::LayerNorm;
use crate::model::resnet::mean;
use crate::model::vit::{behind, classifier, on_grid, patches};
use crate::model::{Backbone, DropPath, Statistics};

/// What the attention net has of its own, and the part net's classifier. All else is the backbone's: the attention net is its
/// first blocks (or stages) over the photo made small, part net and master net are all of it over the photo resampled. The master
/// net's classifier is the backbone's and gives the answer; the two here are training's alone.
///
/// The paper's classifiers of an earlier stage of its ResNet are left out.
#[derive(Module, Debug)]
pub struct TasnBlocks {
    /// Norm of a transformer's tokens that are the map.
    pub norm: Option<LayerNorm>,
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
    /// `[B, 3, H, W]`, what the backbone sees.
    pub(in crate::model) images: Tensor<4>,
    /// Where its rows and columns come from ([`coordinates`]), rows first, `[B, H + W]`.
    pub(in crate::model) sampling: Tensor<2>,
}

impl TasnBlocks {
    /// Random weights; the classifiers start at zero.
    pub fn new(architecture: &Architecture, settings: &architecture::TasnBlocks, device: &Device) -> Self {
        let Architecture { dim, classes, .. } = *architecture;
        let channels = architecture.map_behind(settings.after).channels;
        Self {
            norm: architecture.resnet.is_none().then(|| LayerNorm::new(architecture, device)),
            attention_head: classifier(channels, classes, device),
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
        backbone: &Backbone,
        photos: Tensor<4>,
        drop_path: Option<&DropPath>,
        statistics: &mut Statistics<'_>,
    ) -> Attended {
        let (small, count) = (shrink(photos, self.settings.zoom), self.settings.after);
        let map = match backbone {
            Backbone::Vit(vit) => {
                let patches = patches(vit.tokens_behind(small, count, drop_path));
                let patches = match &self.norm {
                    Some(norm) => norm.forward(patches),
                    None => patches,
                };
                on_grid(patches, self.grid)
            }
            Backbone::ResNet(resnet) => resnet.map_behind(small, count, statistics),
        };
        let map = relu(map);
        let logits = behind(None, &self.attention_head, mean(map.clone()));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::Mechanism;
    use crate::model::random::{Random, weights};
    use crate::model::{Network, Target, host, indices};

    fn softmax(logits: &[f32], temperature: f64) -> Vec<f64> {
        let powers: Vec<f64> = logits.iter().map(|&z| (f64::from(z) / temperature).exp()).collect();
        let sum: f64 = powers.iter().sum();
        powers.iter().map(|power| power / sum).collect()
    }

    /// `CE_attention + 1/2 (CE_part + CE_master)` and the distillation loss, from the logits of each net.
    #[test]
    fn the_loss_is_made_of_three_nets() {
        let settings = architecture::TasnBlocks { after: 1, ..architecture::TasnBlocks::default() };
        let architecture = Architecture {
            resnet: None,
            hybrid: None,
            image_size: [8, 12],
            patch_size: 4,
            dim: 6,
            depth: 2,
            heads: 2,
            mlp_ratio: 2,
            layer_norm_eps: 1e-6,
            classes: 3,
            mechanism: Mechanism::Tasn(settings),
        };
        let (device, mut random) = (Device::flex(), Random(6));
        let mut weights = weights(&architecture, 1.0, 5);
        for head in ["attention_head", "part_head"] {
            weights.insert(format!("tasn.{head}.weight"), random.tensor(&[3, 6], 2.0));
            weights.insert(format!("tasn.{head}.bias"), random.tensor(&[3], 1.0));
        }
        let network = Network::new(&architecture, &device).load(&weights).unwrap();
        let pixels: Vec<f32> = (0..2 * 3 * 16 * 24).map(|_| random.real(1.0)).collect();
        let photos = network.images(&pixels, &device);
        let (labels, channels) = ([2, 0], [4, 1]);
        let target = Target::Classes { labels: indices(labels.to_vec(), [2], &device), label_smoothing: 0.0 };
        let total = |channels: &[usize]| {
            host(network.losses_with(photos.clone(), &target, None, None, Some(channels)).total)[0]
        };

        let tasn = network.tasn.as_ref().unwrap();
        let Attended { logits, maps } = tasn.attend(&network.backbone, photos.clone(), None, &mut Statistics::Running);
        let detail = tasn.detail(maps, Some(&channels), photos.clone()).images;
        let vit = network.backbone.vit().unwrap();
        let (feature, _) = vit.classify(vit.tokens(detail).last());
        let part = host(behind(None, &tasn.part_head, feature));
        let (attention, master) = (host(logits), host(network.forward(photos.clone()).logits_sa));
        let mut expected = 0.0;
        for (photo, &label) in labels.iter().enumerate() {
            let row = photo * 3..photo * 3 + 3;
            let ce = |logits: &[f32]| -softmax(&logits[row.clone()], 1.0)[label as usize].ln();
            let [teacher, student] = [&part, &master].map(|logits| softmax(&logits[row.clone()], 10.0));
            let distilled: f64 = teacher.iter().zip(&student).map(|(t, s)| -t * s.ln()).sum();
            expected += (ce(&attention) + 0.5 * (ce(&part) + ce(&master)) + distilled) / 2.0;
        }
        let found = f64::from(total(&channels));
        assert!((found - expected).abs() < 1e-5 * expected, "{found} {expected}");
        assert!((total(&[0, 3]) - total(&channels)).abs() > 1e-4, "other channels, another photo for the part net");
    }
}

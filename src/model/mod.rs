//! The network in burn: the one definition that is trained, and the reference for every shader.
//!
//! Nothing here knows files or GPUs; the device is a run-time value. Where a shader has the same name as a module
//! (`patch_embed`, `attention`, `rollout`, `glca`), both implement the same equation of the paper.

mod adapt;
mod attention;
mod backbone;
mod batch_norm;
mod bottleneck;
mod class_activation;
mod dcal;
mod drop_path;
mod fused;
mod glca;
mod group_norm;
mod hybrid;
mod identity;
mod layer_norm;
mod loss;
mod names;
mod patch_embed;
mod precision;
mod pwca;
#[cfg(test)]
#[path = "../../tests/support/random.rs"]
mod random;
pub mod rectify;
mod resnet;
pub mod rga;
mod rollout;
pub mod tasn;
mod trace;
mod triplet;
mod vit;

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData, activation::softmax};

pub use adapt::{adapt, resample_position_embedding};
pub use backbone::Backbone;
pub use batch_norm::{BatchNorm, BatchStatistics, Seen, Statistics, observe};
pub use bottleneck::Bottleneck;
pub use class_activation::class_activation;
pub use dcal::Dcal;
pub use drop_path::DropPath;
pub use glca::Glca;
pub use identity::{Identities, IdentityLosses, Streams};
pub use loss::{Losses, Target};
pub use names::load;
pub use resnet::ResNet;
pub use rollout::rollout;
pub use triplet::triplet;
pub use vit::{Block, Tokens, VisionTransformer};

use vit::{on_grid, patches, with_patches};

use crate::answer::Answer;
use crate::architecture::{Architecture, Mechanism};
use crate::tensors::{TensorError, TensorMap};

/// A backbone and the mechanism on it. `B` images, `N` patches (of a residual network: positions of the last map), width `D`.
#[derive(Module, Debug)]
pub struct Network {
    /// The backbone and its classifier: of a transformer the SA branch.
    pub backbone: Backbone,
    /// Dual cross-attention learning; `None` for a plain backbone.
    pub dcal: Option<Dcal>,
    /// Relation-aware global attention between the blocks or stages, where that is the mechanism.
    pub rga: Option<rga::RgaBlocks>,
    /// The modules and gates of Attend and Rectify, where that is the mechanism.
    pub rectify: Option<rectify::RectifyBlocks>,
    /// Trilinear attention sampling of the photo, where that is the mechanism.
    pub tasn: Option<tasn::TasnBlocks>,
    #[module(skip)]
    architecture: Architecture,
}

/// Everything a forward pass at inference computes.
#[derive(Debug, Clone)]
pub struct Forward {
    /// Of a transformer: tokens after the embedding and after every block, and the head-averaged attention maps.
    pub tokens: Option<Tokens>,
    /// Of a residual network: the map behind each stage and what the mechanism has behind it, `[B, C, H, W]`.
    pub stages: Vec<Tensor<4>>,
    /// Rollout of the class token, `[B, N + 1]`; of a residual network its class activation map in that place.
    pub rollout: Tensor<2>,
    /// The SA branch's class token after the final norm, `[B, D]`; of a residual network the mean of the last map.
    pub feature_sa: Tensor<2>,
    /// Logits of the SA branch, `[B, classes]`.
    pub logits_sa: Tensor<2>,
    /// The GLCA branch, where the network has one.
    pub glca: Option<glca::GlcaOutput>,
    /// RGA's spatial gates, `[B, N]` for each place, where the network has them.
    pub gates: Vec<Tensor<2>>,
    /// What Attend and Rectify made of it, where that is the mechanism.
    pub rectified: Option<rectify::Rectified>,
    /// Where the rows and columns of the resampled photo come from, in -1..1, rows first, `[B, H + W]`; with TASN only.
    pub sampling: Option<Tensor<2>>,
}

impl Network {
    /// A network with randomly initialised weights on `device`.
    ///
    /// The caller has checked the architecture ([`Architecture::check`]).
    pub fn new(architecture: &Architecture, device: &Device) -> Self {
        let (mut dcal, mut rectify, mut tasn) = (None, None, None);
        match &architecture.mechanism {
            // Gates may stand beside another mechanism.
            Mechanism::None | Mechanism::Rga(_) => {}
            Mechanism::Dcal(settings) => dcal = Some(Dcal::new(architecture, settings, device)),
            Mechanism::Rectify(settings) => {
                rectify = Some(rectify::RectifyBlocks::new(architecture, settings, device));
            }
            Mechanism::Tasn(settings) => tasn = Some(tasn::TasnBlocks::new(architecture, settings, device)),
        }
        let rga = architecture.rga().map(|settings| rga::RgaBlocks::new(architecture, settings, device));
        let (backbone, architecture) = (Backbone::new(architecture, device), architecture.clone());
        Self { backbone, dcal, rga, rectify, tasn, architecture }
    }

    /// What this network looks like.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// The forward pass at inference: PWCA is dropped (paper, section 3.5).
    ///
    /// `images` is `[B, 3, H, W]` ([`Architecture::input_size`]), normalised.
    pub fn forward(&self, images: Tensor<4>) -> Forward {
        self.forward_after(images, None, &mut Statistics::Running)
    }

    /// The forward pass in training, where photos may skip branches and batch norms look at the batch.
    fn forward_after(
        &self,
        images: Tensor<4>,
        drop_path: Option<&DropPath>,
        statistics: &mut Statistics<'_>,
    ) -> Forward {
        let Some(tasn) = &self.tasn else { return self.forward_seen(images, drop_path, statistics) };
        let attended = tasn.attend(&self.backbone, images.clone(), drop_path, statistics);
        self.forward_resampled(tasn.structure(attended.maps, images), drop_path, statistics)
    }

    /// The same over photos that attention has resampled.
    fn forward_resampled(
        &self,
        resampled: tasn::Resampled,
        drop_path: Option<&DropPath>,
        statistics: &mut Statistics<'_>,
    ) -> Forward {
        let forward = self.forward_seen(resampled.images, drop_path, statistics);
        Forward { sampling: Some(resampled.sampling), ..forward }
    }

    /// The same over what the backbone sees.
    fn forward_seen(
        &self,
        images: Tensor<4>,
        drop_path: Option<&DropPath>,
        statistics: &mut Statistics<'_>,
    ) -> Forward {
        match &self.backbone {
            Backbone::Vit(vit) => self.forward_tokens(vit, images, drop_path, statistics),
            Backbone::ResNet(resnet) => self.forward_maps(resnet, images, statistics),
        }
    }

    /// The same with a transformer.
    fn forward_tokens(
        &self,
        vit: &VisionTransformer,
        images: Tensor<4>,
        drop_path: Option<&DropPath>,
        statistics: &mut Statistics<'_>,
    ) -> Forward {
        let (mut gates, mut hypotheses) = (Vec::new(), Vec::new());
        let grid = self.architecture.grid();
        let tokens = vit.tokens_after(images, drop_path, &mut |block, tokens| {
            let tokens = match &self.rga {
                Some(rga) if rga.stands_behind(block) => {
                    let map = on_grid(patches(tokens.clone()), grid);
                    with_patches(tokens, rga.forward(block, map, statistics, &mut gates))
                }
                _ => tokens,
            };
            if let Some(rectify) = &self.rectify {
                hypotheses.extend(rectify.of_tokens(block, patches(tokens.clone()), grid));
            }
            tokens
        });
        let rollout = rollout(&tokens.attention_means);
        let (feature_sa, logits_sa) = vit.classify(tokens.last());
        let rectified = self.rectified(hypotheses, &feature_sa, &logits_sa, statistics);
        let glca = self.dcal.as_ref().and_then(|dcal| dcal.glca(tokens.last(), rollout.clone()));
        let (tokens, stages) = (Some(tokens), Vec::new());
        Forward { tokens, stages, rollout, feature_sa, logits_sa, glca, gates, rectified, sampling: None }
    }

    /// The same with a residual network.
    fn forward_maps(&self, resnet: &ResNet, images: Tensor<4>, statistics: &mut Statistics<'_>) -> Forward {
        let (mut gates, mut hypotheses) = (Vec::new(), Vec::new());
        let (stages, last) = resnet.maps(images, statistics, &mut |stage, map, statistics| {
            let map = match &self.rga {
                Some(rga) => rga.forward(stage, map, statistics, &mut gates),
                None => map,
            };
            if let Some(rectify) = &self.rectify {
                hypotheses.extend(rectify.of_map(stage, &map));
            }
            map
        });
        let (last, feature_sa, logits_sa) = resnet.classify(last, statistics);
        let rollout = class_activation(last, logits_sa.clone(), resnet.head.weight.val());
        let rectified = self.rectified(hypotheses, &feature_sa, &logits_sa, statistics);
        Forward { tokens: None, stages, rollout, feature_sa, logits_sa, glca: None, gates, rectified, sampling: None }
    }

    /// What Attend and Rectify makes of the modules' hypotheses and the classifier's feature and logits.
    fn rectified(
        &self,
        hypotheses: Vec<rectify::Hypothesis>,
        feature: &Tensor<2>,
        logits: &Tensor<2>,
        statistics: &mut Statistics<'_>,
    ) -> Option<rectify::Rectified> {
        let rectify = self.rectify.as_ref()?;
        Some(rectify.rectify(hypotheses, feature.clone(), logits.clone(), statistics))
    }

    /// Moves the running statistics of the batch norms towards those of a training step ([`Losses::statistics`]).
    pub fn observe_norms(self, saw: Vec<Seen>) -> Self {
        observe(self, &saw)
    }

    /// The answers for a batch of images `[B, 3, H, W]`, read back to the host.
    pub fn classify(&self, images: Tensor<4>) -> Vec<Answer> {
        let forward = self.forward(images);
        let rows = |tensor: Tensor<2>| -> Vec<Vec<f32>> {
            let [_, width] = tensor.dims();
            host(tensor).chunks(width).map(<[f32]>::to_vec).collect()
        };
        let batch = forward.logits_sa.dims()[0];
        let absent = || vec![Vec::new(); batch];
        let logits_sa = rows(forward.logits_sa.clone());
        let sa = rows(softmax(forward.logits_sa.clone(), 1));
        let rollout = rows(forward.rollout.clone());
        let (logits_glca, glca, selected) = match &forward.glca {
            Some(branch) => {
                (rows(branch.logits.clone()), rows(softmax(branch.logits.clone(), 1)), branch.selected.clone())
            }
            None => (absent(), absent(), vec![Vec::new(); batch]),
        };
        let mixed = forward.rectified.as_ref().map_or_else(absent, |found| rows(found.logits.clone()));
        let probability = rows(forward.probability());
        let sampling = forward.sampling.clone().map_or_else(absent, rows);
        (0..batch)
            .map(|b| Answer {
                logits_sa: logits_sa[b].clone(),
                logits_glca: logits_glca[b].clone(),
                logits_mixed: mixed[b].clone(),
                sa: sa[b].clone(),
                glca: glca[b].clone(),
                probability: probability[b].clone(),
                rollout: rollout[b].clone(),
                selected: selected[b].clone(),
                sampling: sampling[b].clone(),
            })
            .collect()
    }

    /// Makes a batch `[B, 3, H, W]` from host values; `images` holds `B * 3 * H * W` of them.
    pub fn images(&self, images: &[f32], device: &Device) -> Tensor<4> {
        let [height, width] = self.architecture.input_size();
        let batch = images.len() / (3 * height * width);
        Tensor::from_data(TensorData::new(images.to_vec(), [batch, 3, height, width]), device)
    }
}

impl Forward {
    /// The answer `[B, classes]`: the mean of both branches' softmax, that of the votes of Attend and Rectify, or SA's alone.
    pub fn probability(&self) -> Tensor<2> {
        if let Some(rectified) = &self.rectified {
            return softmax(rectified.logits.clone(), 1);
        }
        let sa = softmax(self.logits_sa.clone(), 1);
        match &self.glca {
            Some(branch) => (sa + softmax(branch.logits.clone(), 1)) * 0.5,
            None => sa,
        }
    }
}

/// A tensor of `D` axes on the device, from host values.
pub(crate) fn inward<const D: usize>(
    tensors: &TensorMap,
    name: &str,
    device: &Device,
) -> Result<Tensor<D>, TensorError> {
    let (shape, values) = tensors.axes::<D>(name)?;
    Ok(Tensor::from_data(TensorData::new(values.to_vec(), shape), device))
}

/// Copies a float tensor to the host as f32.
pub(crate) fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    // `iter` converts from whatever precision the device computes in.
    tensor.into_data().iter::<f32>().collect()
}

/// Indices on the device, from host values.
pub(crate) fn indices<const D: usize>(values: Vec<i32>, shape: [usize; D], device: &Device) -> Tensor<D, Int> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

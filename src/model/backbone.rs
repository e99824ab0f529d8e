//! What the mechanisms sit on: a vision transformer or a residual network.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Device;

use super::bottleneck::Bottleneck;
use super::resnet::ResNet;
use super::vit::VisionTransformer;
use crate::architecture::Architecture;

/// The backbone and its classifier.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "a network has one of them, its weights lie elsewhere")]
pub enum Backbone {
    /// A vision transformer.
    Vit(VisionTransformer),
    /// A residual convolutional network.
    ResNet(ResNet),
}

impl Backbone {
    /// Random weights.
    pub fn new(architecture: &Architecture, device: &Device) -> Self {
        match &architecture.resnet {
            Some(resnet) => Self::ResNet(ResNet::new(architecture, resnet, device)),
            None => Self::Vit(VisionTransformer::new(architecture, device)),
        }
    }

    /// The transformer, where it is one.
    pub fn vit(&self) -> Option<&VisionTransformer> {
        match self {
            Self::Vit(vit) => Some(vit),
            Self::ResNet(_) => None,
        }
    }

    /// The classifier, `D -> classes`.
    pub fn head(&self) -> &Linear {
        match self {
            Self::Vit(vit) => &vit.head,
            Self::ResNet(resnet) => &resnet.head,
        }
    }

    /// The norm before the classifier, where the network is for re-identification.
    pub fn bottleneck(&self) -> Option<&Bottleneck> {
        match self {
            Self::Vit(vit) => vit.bottleneck.as_ref(),
            Self::ResNet(resnet) => resnet.bottleneck.as_ref(),
        }
    }

    /// The same and the classifier, to be changed.
    pub fn end_mut(&mut self) -> (&mut Option<Bottleneck>, &mut Linear) {
        match self {
            Self::Vit(vit) => (&mut vit.bottleneck, &mut vit.head),
            Self::ResNet(resnet) => (&mut resnet.bottleneck, &mut resnet.head),
        }
    }

    /// Stops gradients of the first layer and of the first `count` blocks or stages, so that training skips their backward pass.
    pub fn freeze_first(self, count: usize) -> Self {
        match self {
            Self::Vit(vit) => Self::Vit(vit.freeze_first(count)),
            Self::ResNet(resnet) => Self::ResNet(resnet.freeze_first(count)),
        }
    }
}

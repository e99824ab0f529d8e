//! The loss and the features of re-identification (DCAL paper, sections 3.5 and 4.1).
//!
//! The loss looks at a whole batch at once (the hardest photos, the batch norm's statistics), the branches at each photo
//! alone but for PWCA's pairs. So both are apart: [`Network::streams`] may run in parts, [`Network::identity_losses`]
//! takes the features of all.

use burn::nn::Linear;
use burn::tensor::{Int, Tensor, activation::softmax};

use super::batch_norm::BatchStatistics;
use super::bottleneck::Bottleneck;
use super::loss::{Target, weighted};
use super::triplet::triplet;
use super::{DropPath, Network, Seen, Statistics, indices, pwca::pwca};

/// The class tokens of SA, GLCA and PWCA after their norms, each `[B, D]`; a stream that did not run is absent.
pub type Streams = [Option<Tensor<2>>; 3];

/// What a batch shows, and how its loss is made.
#[derive(Debug, Clone, Copy)]
pub struct Identities<'a> {
    /// The identity of each photo, `[B]`, from 0.
    pub labels: &'a [i32],
    /// Share of the label spread evenly over all identities, in `[0, 1)`.
    pub label_smoothing: f32,
    /// Margin of the triplet loss; none: soft margin.
    pub margin: Option<f64>,
    /// Weight of the triplet loss beside cross-entropy; 0: off.
    pub triplet_weight: f64,
}

/// The loss of a batch and what it is made of.
#[derive(Debug, Clone)]
pub struct IdentityLosses {
    /// `1/2 sum_k (exp(-w_k) L_k + w_k)`, `[1]`; `L_SA` alone without DCAL.
    pub total: Tensor<1>,
    /// `L_k` of SA, GLCA and PWCA, each `[1]`: cross-entropy behind the bottleneck and triplet loss before it.
    pub parts: [Option<Tensor<1>>; 3],
    /// Logits of the three streams, `[B, identities]`.
    pub logits: [Option<Tensor<2>>; 3],
    /// What the bottlenecks of SA and GLCA saw, for [`Network::observe`].
    pub statistics: [Option<BatchStatistics>; 2],
}

impl Network {
    /// The same network for re-identification: bottlenecks before its classifiers, which lose their biases.
    pub fn for_identities(mut self) -> Self {
        let (dim, device) = (self.architecture.dim, self.backbone.head().weight.val().device());
        let (bottleneck, head) = self.backbone.end_mut();
        *bottleneck = Some(Bottleneck::new(dim, &device));
        head.bias = None;
        if let Some(glca) = self.dcal.as_mut().and_then(|dcal| dcal.glca.as_mut()) {
            glca.bottleneck = Some(Bottleneck::new(dim, &device));
            glca.head.bias = None;
        }
        self
    }

    /// Runs the streams of training on images `[B, 3, H, W]`: GLCA where there is one, PWCA where there is one and
    /// `partners` `[B]` pair the images. Batch norms on the way (of RGA's gates, of a residual network) normalise by these images,
    /// and what they saw comes along for [`Network::observe_norms`].
    pub fn streams(
        &self,
        images: Tensor<4>,
        partners: Option<Tensor<1, Int>>,
        drop_path: Option<&DropPath>,
    ) -> (Streams, Vec<Seen>) {
        let mut saw = Vec::new();
        let forward = self.forward_after(images, drop_path, &mut Statistics::Batch(&mut saw));
        let pair = partners.filter(|_| self.dcal.as_ref().is_some_and(|dcal| dcal.has_pwca()));
        let pwca = pair.and_then(|partners| {
            let (vit, tokens) = (self.backbone.vit()?, forward.tokens?);
            Some(pwca(vit, tokens.embed, partners, drop_path).0)
        });
        ([Some(forward.feature_sa), forward.glca.map(|glca| glca.feature), pwca], saw)
    }

    /// Whether there are batch norms between photo and feature.
    pub fn has_batch_norms(&self) -> bool {
        self.rga.is_some() || self.backbone.vit().is_none()
    }

    /// The loss of the features of a whole batch. PWCA's stream has SA's bottleneck and classifier, normalised by its own
    /// statistics, and its label is that of the first image of each pair.
    pub fn identity_losses(&self, streams: &Streams, identities: &Identities<'_>) -> IdentityLosses {
        let glca = self.dcal.as_ref().and_then(|dcal| dcal.glca.as_ref());
        let sa = (self.backbone.bottleneck(), self.backbone.head());
        let behind: [(Option<&Bottleneck>, &Linear); 3] =
            [sa, glca.map_or(sa, |glca| (glca.bottleneck.as_ref(), &glca.head)), sa];
        let (mut parts, mut logits, mut seen) = ([None, None, None], [None, None, None], [None, None, None]);
        for (k, (feature, (bottleneck, head))) in streams.iter().zip(behind).enumerate() {
            let Some(feature) = feature else { continue };
            let device = feature.device();
            let labels = indices(identities.labels.to_vec(), [identities.labels.len()], &device);
            let target = Target::Classes { labels, label_smoothing: identities.label_smoothing };
            let normed = match bottleneck {
                Some(bottleneck) => {
                    let (normed, statistics) = bottleneck.forward_batch(feature.clone());
                    seen[k] = Some(statistics);
                    normed
                }
                None => feature.clone(),
            };
            let found = head.forward(normed);
            let mut loss = target.cross_entropy(found.clone());
            if identities.triplet_weight > 0.0 {
                let triplet = triplet(feature.clone(), identities.labels, identities.margin);
                loss = loss + triplet * identities.triplet_weight;
            }
            (parts[k], logits[k]) = (Some(loss), Some(found));
        }
        let total = match (&self.dcal, &parts[0]) {
            (None, Some(sa)) => sa.clone(),
            (None, None) => Tensor::zeros([1], &self.backbone.head().weight.val().device()),
            (Some(dcal), _) => weighted(&parts, dcal.loss_log_var.val()),
        };
        let [sa, glca, _] = seen;
        IdentityLosses { total, parts, logits, statistics: [sa, glca] }
    }

    /// Moves the bottlenecks' running statistics towards those of a batch. PWCA's are not among them: its stream is no
    /// part of inference.
    pub fn observe(mut self, statistics: &[Option<BatchStatistics>; 2]) -> Self {
        let seen = |bottleneck: Option<Bottleneck>, batch: &Option<BatchStatistics>| match (bottleneck, batch) {
            (Some(bottleneck), Some(batch)) => Some(bottleneck.observe(batch)),
            (bottleneck, _) => bottleneck,
        };
        let (bottleneck, _) = self.backbone.end_mut();
        *bottleneck = seen(bottleneck.take(), &statistics[0]);
        if let Some(glca) = self.dcal.as_mut().and_then(|dcal| dcal.glca.as_mut()) {
            glca.bottleneck = seen(glca.bottleneck.take(), &statistics[1]);
        }
        self
    }

    /// The features of SA and GLCA for images `[B, 3, H, W]`, each `[B, D]`, that photos are compared by: before the
    /// bottlenecks, or behind them. Not normalised.
    pub fn features(&self, images: Tensor<4>, behind: bool) -> [Option<Tensor<2>>; 2] {
        let forward = self.forward(images);
        let glca = self.dcal.as_ref().and_then(|dcal| dcal.glca.as_ref());
        let pass = |feature: Tensor<2>, bottleneck: Option<&Bottleneck>| match bottleneck {
            Some(bottleneck) if behind => bottleneck.forward(feature),
            _ => feature,
        };
        let of_glca = forward.glca.map(|output| pass(output.feature, glca.and_then(|glca| glca.bottleneck.as_ref())));
        [Some(pass(forward.feature_sa, self.backbone.bottleneck())), of_glca]
    }
}

impl IdentityLosses {
    /// Probabilities `[B, identities]`: the mean of SA's and GLCA's softmax.
    pub fn probability(&self) -> Option<Tensor<2>> {
        let of = |k: usize| self.logits[k].clone().map(|logits| softmax(logits, 1));
        match (of(0), of(1)) {
            (Some(sa), Some(glca)) => Some((sa + glca) * 0.5),
            (sa, glca) => sa.or(glca),
        }
    }
}

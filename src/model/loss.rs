//! The loss of training: cross-entropy of each branch, weighted by learned uncertainty (DCAL paper, section 3.5).

use burn::tensor::{Int, Tensor, activation::log_softmax};

use super::pwca::pwca;
use super::tasn::{Attended, TasnBlocks, distil};
use super::vit::behind;
use super::{Backbone, DropPath, Forward, Network, Seen, Statistics};

/// The loss and what it is made of.
#[derive(Debug, Clone)]
pub struct Losses {
    /// With DCAL `1/2 sum_k (exp(-w_k) L_k + w_k)`, `[1]`; with Attend and Rectify the cross-entropy of the mixed votes and their
    /// regulariser; with TASN `L_attention + 1/2 (L_part + L_master)` and the distillation loss (its section 3.3); else plain
    /// cross-entropy.
    pub total: Tensor<1>,
    /// Cross-entropy of SA (with TASN the master net's), GLCA and PWCA, each `[1]`; a branch that did not run is absent.
    pub parts: [Option<Tensor<1>>; 3],
    /// The forward pass of SA and GLCA.
    pub forward: Forward,
    /// Logits of the PWCA stream, `[B, classes]`.
    pub logits_pwca: Option<Tensor<2>>,
    /// What the batch norms saw, for [`Network::observe_norms`].
    pub statistics: Vec<Seen>,
}

impl Network {
    /// The training loss of images `[B, 3, H, W]` with labels `[B]`.
    ///
    /// `partners` `[B]` is the permutation that pairs images for PWCA; without it, or where the architecture has no
    /// PWCA, that stream is not run. `label_smoothing` lies in `[0, 1)`.
    pub fn losses(
        &self,
        images: Tensor<4>,
        labels: Tensor<1, Int>,
        partners: Option<Tensor<1, Int>>,
        label_smoothing: f32,
    ) -> Losses {
        self.losses_with(images, &Target::Classes { labels, label_smoothing }, partners, None, None)
    }

    /// The training loss with any target, and with stochastic depth where `drop_path` is given. With TASN `channels` are the
    /// attention maps by which the part net's photos are resampled, `[B]` numbers below the channels of the map; their sum without.
    pub fn losses_with(
        &self,
        images: Tensor<4>,
        target: &Target,
        partners: Option<Tensor<1, Int>>,
        drop_path: Option<&DropPath>,
        channels: Option<&[usize]>,
    ) -> Losses {
        if let Some(tasn) = &self.tasn {
            return self.losses_resampled(tasn, images, target, drop_path, channels);
        }
        let mut statistics = Vec::new();
        let forward = self.forward_after(images, drop_path, &mut Statistics::Batch(&mut statistics));
        let ce = |logits: &Tensor<2>| target.cross_entropy(logits.clone());
        let sa = ce(&forward.logits_sa);
        let Some(dcal) = &self.dcal else {
            let parts = [Some(sa.clone()), None, None];
            if let Some(rectified) = &forward.rectified {
                // The votes are log-probabilities already, and so weighted their cross-entropies: not normalised again.
                let total = target.of_log_probabilities(rectified.logits.clone()) + rectified.regulariser();
                return Losses { total, parts, forward, logits_pwca: None, statistics };
            }
            return Losses { total: sa, parts, forward, logits_pwca: None, statistics };
        };
        let logits_pwca = partners.filter(|_| dcal.has_pwca()).and_then(|partners| {
            let (vit, tokens) = (self.backbone.vit()?, forward.tokens.as_ref()?);
            Some(pwca(vit, tokens.embed.clone(), partners, drop_path).1)
        });
        let parts = [Some(sa), forward.glca.as_ref().map(|g| ce(&g.logits)), logits_pwca.as_ref().map(ce)];
        let total = weighted(&parts, dcal.loss_log_var.val());
        Losses { total, parts, forward, logits_pwca, statistics }
    }

    /// TASN's: attention net, part net (the teacher) and master net. A photo drops the same branches in all of them; each moves the
    /// running statistics of a residual network, whose weights all three share.
    fn losses_resampled(
        &self,
        tasn: &TasnBlocks,
        images: Tensor<4>,
        target: &Target,
        drop_path: Option<&DropPath>,
        channels: Option<&[usize]>,
    ) -> Losses {
        let mut list = Vec::new();
        let statistics = &mut Statistics::Batch(&mut list);
        let Attended { logits, maps } = tasn.attend(&self.backbone, images.clone(), drop_path, statistics);
        let detail = tasn.detail(maps.clone(), channels, images.clone()).images;
        let feature = match &self.backbone {
            Backbone::Vit(vit) => vit.feature(vit.tokens_behind(detail, vit.blocks.len(), drop_path)),
            Backbone::ResNet(resnet) => resnet.feature(detail, statistics),
        };
        let part = behind(None, &tasn.part_head, feature);
        let seen = tasn.structure(maps, images);
        let forward = self.forward_resampled(seen, drop_path, statistics);
        let master = target.cross_entropy(forward.logits_sa.clone());
        let both = (target.cross_entropy(part.clone()) + master.clone()) * 0.5;
        let distilled = distil(part, forward.logits_sa.clone(), tasn.temperature());
        let total = target.cross_entropy(logits) + both + distilled;
        Losses { total, parts: [Some(master), None, None], forward, logits_pwca: None, statistics: list }
    }
}

/// `1/2 sum_k (exp(-w_k) L_k + w_k)` over the branches that ran; `w` is `[3]`, the result `[1]`.
pub(super) fn weighted(parts: &[Option<Tensor<1>>; 3], w: Tensor<1>) -> Tensor<1> {
    let terms = parts.iter().enumerate().filter_map(|(k, part)| {
        let w = w.clone().narrow(0, k, 1);
        Some((w.clone().neg().exp() * part.clone()? + w) * 0.5)
    });
    // SA is always there, so the sum is never empty.
    terms.reduce(|a, b| a + b).unwrap_or_else(|| w.zeros_like().narrow(0, 0, 1))
}

/// What the photos of a training step show.
#[derive(Debug, Clone)]
pub enum Target {
    /// One class each.
    Classes {
        /// `[B]`.
        labels: Tensor<1, Int>,
        /// Share of the label spread evenly over all classes, in `[0, 1)`.
        label_smoothing: f32,
    },
    /// Several classes each (mixup, cutmix): shares `[B, classes]`, each row sums to 1; label smoothing is in them. All
    /// branches have the same target; PWCA's is that of the first image.
    Shares(Tensor<2>),
}

impl Target {
    /// Mean cross-entropy `[1]` of logits `[B, classes]`.
    pub(super) fn cross_entropy(&self, logits: Tensor<2>) -> Tensor<1> {
        self.of_log_probabilities(log_softmax(logits, 1))
    }

    /// Mean over the photos of the target's shares of `-log_probability`, which is `[B, classes]`: `[1]`.
    fn of_log_probabilities(&self, log_probability: Tensor<2>) -> Tensor<1> {
        match self {
            Self::Shares(shares) => -(log_probability * shares.clone()).sum_dim(1).mean(),
            Self::Classes { labels, label_smoothing } => {
                let hard = -log_probability.clone().gather(1, labels.clone().unsqueeze_dim(1)).mean();
                if *label_smoothing == 0.0 {
                    return hard;
                }
                hard * (1.0 - label_smoothing) - log_probability.mean() * *label_smoothing
            }
        }
    }
}

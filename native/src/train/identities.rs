//! Gradients of one batch of re-identification.
//!
//! The loss looks at the whole batch: the hardest photos, the batch norm's statistics. Where a batch is run in parts, the
//! features of all parts come first, their gradients left; the loss gives the gradient of each feature; then each part runs
//! again and passes its features' gradients on. The result is that of the whole batch in one pass, for a third more work
//! and the memory of a part; but for batch norms on the way, which normalise by the part both times.

use anyhow::Result;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use finegrain::model::{self, BatchStatistics, Identities, IdentityLosses, Network, Streams};

use super::config::Reid;
use super::gradients::{Norms, Workers};
use super::loader::Batch;
use super::outcome::{Outcome, hits};
use super::twin::Twin;

/// What the bottlenecks of SA and GLCA saw.
pub(super) type Seen = [Option<BatchStatistics>; 2];

/// Features of the streams on the host, `[B, D]` each.
type Host = [Option<Vec<f32>>; 3];

impl Workers {
    /// Gradients of the loss of `batch`, what the bottlenecks saw, and what the batch norms before them saw of each part.
    /// `network` is on the plain device.
    ///
    /// # Errors
    /// When a worker dies.
    pub(super) fn run_identities(
        &self,
        network: &Network,
        batch: &Batch,
        reid: &Reid,
    ) -> Result<(GradientsParams, Outcome, Seen, Norms)> {
        let identities = Identities {
            labels: &batch.labels,
            label_smoothing: self.label_smoothing(),
            margin: (reid.margin > 0.0).then_some(reid.margin),
            triplet_weight: reid.triplet_weight,
        };
        let parts = batch.parts(self.part_size());
        if let [part] = &parts[..] {
            let found = self.each(network, std::slice::from_ref(part), &|seat, _, part| {
                let Twin { leaves, runs } = self.twin(seat);
                let device = self.autodiff(&seat.device);
                let (streams, norms) = self.streams(&runs, part, &device);
                let losses = runs.identity_losses(&streams, &identities);
                let outcome = outcome(&losses, batch);
                let gradients = losses.total.backward();
                (self.gathered(seat, &leaves, gradients), outcome, losses.statistics, vec![norms])
            })?;
            return found.into_iter().next().ok_or_else(|| anyhow::anyhow!("a batch without photos"));
        }

        let features: Vec<Host> = self.each(network, &parts, &|seat, _, part| {
            // Which batch norms are frozen only a network with gradients knows.
            let (streams, _) = match seat.network.has_batch_norms() {
                true => self.streams(&self.twin(seat).runs, part, &self.autodiff(&seat.device)),
                false => self.streams(&self.looks(&seat.network), part, &seat.device),
            };
            streams.map(|stream| stream.map(read))
        })?;
        let device = self.autodiff(self.first());
        let Twin { leaves, .. } = Twin::new(network, &device, false);
        let gathered = gather(&features, batch.len(), &device);
        let losses = leaves.identity_losses(&gathered, &identities);
        let outcome = outcome(&losses, batch);
        let gradients = losses.total.backward();
        let upstream = gathered.map(|feature| feature.and_then(|feature| feature.grad(&gradients)));

        let mut sum = GradientsAccumulator::new();
        sum.accumulate(network, GradientsParams::from_grads(gradients, &leaves));
        let done = self.each(network, &parts, &|seat, i, part| {
            let Twin { leaves, runs } = self.twin(seat);
            let (streams, norms) = self.streams(&runs, part, &self.autodiff(&seat.device));
            let start = i * self.part_size();
            let here = upstream.clone().map(|gradient| gradient.map(|gradient| gradient.to_device(&seat.device)));
            let gradients = pass_on(streams, &here, start, part.len());
            (gradients.map(|gradients| self.gathered(seat, &leaves, gradients)), norms)
        })?;
        let (gradients, norms): (Vec<_>, Norms) = done.into_iter().unzip();
        gradients.into_iter().flatten().for_each(|gradients| sum.accumulate(network, gradients));
        Ok((sum.grads(), outcome, losses.statistics, norms))
    }

    /// The streams of a part on `device`, and what batch norms saw on the way.
    fn streams(&self, network: &Network, part: &Batch, device: &Device) -> (Streams, Vec<model::Seen>) {
        let images = network.images(&part.images, device);
        let (partners, drop_path) = (self.partners(network, part, device), self.drop_path(network, part, device));
        network.streams(images, partners, drop_path.as_ref())
    }
}

/// The features of all parts, one below the other, as leaves that gradients arrive at.
fn gather(features: &[Host], count: usize, device: &Device) -> Streams {
    [0, 1, 2].map(|k| {
        let rows: Vec<f32> = features.iter().filter_map(|part| part[k].as_deref()).flatten().copied().collect();
        let shape = [count, rows.len() / count.max(1)];
        (!rows.is_empty()).then(|| Tensor::from_data(TensorData::new(rows, shape), device).require_grad())
    })
}

/// Passes the gradients `upstream` of the features of photos `start..start + count` on through their part.
fn pass_on(streams: Streams, upstream: &[Option<Tensor<2>>; 3], start: usize, count: usize) -> Option<Gradients> {
    let terms = streams.into_iter().zip(upstream).filter_map(|(feature, gradient)| {
        let (feature, gradient) = (feature?, gradient.clone()?.narrow(0, start, count));
        // Plain tensors are constants here.
        Some((feature * gradient).sum())
    });
    terms.reduce(|a, b| a + b).map(|sum| sum.backward())
}

fn outcome(losses: &IdentityLosses, batch: &Batch) -> Outcome {
    let scalar = |loss: &Tensor<1>| loss.clone().into_data().iter::<f64>().next().unwrap_or(f64::NAN);
    let count = batch.len();
    Outcome {
        loss: scalar(&losses.total),
        parts: [0, 1, 2].map(|k| losses.parts[k].as_ref().map_or(0.0, scalar)),
        correct: losses.probability().map_or(0, |probability| hits(&read(probability), &batch.labels)),
        count,
    }
}

fn read(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use finegrain::architecture::{Architecture, Dcal, Mechanism, ResNet, Residual, RgaBlocks, Stem};
    use finegrain::model::Backbone;

    use super::super::config::Train;
    use super::super::gradients::tests::{flat, network as seeded, settings};
    use super::*;

    /// Networks over 8 x 4 pixels, a grid that is not square.
    fn network(mechanism: Mechanism) -> Network {
        let architecture = Architecture {
            resnet: None,
            hybrid: None,
            image_size: [8, 4],
            patch_size: 2,
            dim: 8,
            depth: 2,
            heads: 2,
            mlp_ratio: 2,
            layer_norm_eps: 1e-6,
            classes: 3,
            mechanism,
        };
        seeded(&architecture, &Device::flex()).for_identities()
    }

    fn batch() -> Batch {
        Batch {
            images: (0..8 * 96).map(|i| (i as f32 * 0.7).sin() * 2.0).collect(),
            labels: vec![0, 2, 1, 0, 2, 1, 1, 0],
            seconds: Vec::new(),
            pair_keys: (0..8).collect(),
        }
    }

    #[test]
    fn parts_give_the_gradient_of_the_whole_batch() {
        let device = Device::flex();
        let both = |pwca| Mechanism::Dcal(Dcal { ratio: 0.3, glca: true, pwca, gates: None });
        for mechanism in [Mechanism::None, both(false)] {
            let network = network(mechanism);
            let run = |workers, part| {
                let train = Train { drop_path: 0.3, ..settings(part, 0.1) };
                let workers = Workers::new(&device, workers, &train).unwrap();
                let (gradients, outcome, seen, _) =
                    workers.run_identities(&network, &batch(), &Reid::default()).unwrap();
                (flat(&network, &gradients), outcome, seen)
            };
            let (whole, outcome, seen) = run(0, 8);
            let norm = |values: &[f32]| values.iter().map(|v| v * v).sum::<f32>().sqrt();
            assert!(norm(&whole) > 1e-2 && outcome.count == 8);
            for (workers, part) in [(0, 3), (1, 8), (2, 3), (3, 1)] {
                let (found, same, also) = run(workers, part);
                let apart: Vec<f32> = found.iter().zip(&whole).map(|(a, b)| a - b).collect();
                assert!(found.len() == whole.len() && norm(&apart) < 1e-5 * norm(&whole), "parts of {part}");
                assert!((same.loss - outcome.loss).abs() < 1e-5 && same.correct == outcome.correct);
                let apart = seen[0].iter().zip(&also[0]).flat_map(|(a, b)| a.mean.iter().zip(&b.mean));
                assert!(apart.into_iter().all(|(a, b)| (a - b).abs() < 1e-6));
            }
            assert!(run(1, 3).0 == run(2, 3).0, "the number of workers changes no bit");
            let train = Train { drop_path: 0.3, ..settings(3, 0.1) };
            let two = Workers::over(&[device.clone(), device.clone()], 0, &train).unwrap();
            let (gradients, ..) = two.run_identities(&network, &batch(), &Reid::default()).unwrap();
            assert!(flat(&network, &gradients) == run(1, 3).0, "nor that of devices");
        }
        let network = network(both(true));
        let workers = Workers::new(&device, 2, &settings(4, 0.0)).unwrap();
        let (gradients, outcome, ..) = workers.run_identities(&network, &batch(), &Reid::default()).unwrap();
        assert!(outcome.parts.iter().all(|part| *part > 0.1), "{outcome:?}");
        let usual = flat(&network, &gradients);
        assert!(usual.iter().all(|g| g.is_finite()));
        for part in [4, 8] {
            let run = |gradient_checkpointing| {
                let train = Train { gradient_checkpointing, ..settings(part, 0.0) };
                let workers = Workers::new(&device, 0, &train).unwrap();
                flat(&network, &workers.run_identities(&network, &batch(), &Reid::default()).unwrap().0)
            };
            assert!(run(true) == run(false), "checkpointing changes no bit, parts of {part}");
        }
    }

    /// Through the bottleneck, both losses and the branches: the slope of the loss along its gradient is the gradient's
    /// squared length.
    #[test]
    fn the_gradient_agrees_with_finite_differences() {
        let device = Device::flex();
        let workers = Workers::new(&device, 0, &settings(8, 0.1)).unwrap();
        for (margin, triplet_weight) in [(0.0, 1.0), (4.0, 0.5), (0.0, 0.0)] {
            let reid = Reid { margin, triplet_weight, ..Reid::default() };
            let network = network(Mechanism::None);
            let loss = |network: &Network| workers.run_identities(network, &batch(), &reid).unwrap().1.loss;
            let (gradients, ..) = workers.run_identities(&network, &batch(), &reid).unwrap();
            let gradient = gradients.get::<2>(network.backbone.vit().unwrap().blocks[0].mlp.fc2.weight.id).unwrap();
            let squared: f64 = gradient.clone().into_data().iter::<f64>().map(|g| g * g).sum();
            let step = 2e-3 / squared.sqrt();
            let moved = |by: f64| {
                let mut network = network.clone();
                let Backbone::Vit(vit) = &mut network.backbone else { unreachable!() };
                let fc2 = &mut vit.blocks[0].mlp.fc2;
                fc2.weight = fc2.weight.clone().map(|old| old + gradient.clone() * by);
                loss(&network)
            };
            let slope = (moved(step) - moved(-step)) / (2.0 * step);
            assert!((slope - squared).abs() < 0.02 * squared, "margin {margin}: {slope} and {squared}");
        }
    }

    /// Batch norms on the way normalise by the part, without and with gradients alike: parts of the whole batch give what one pass
    /// over it gives, smaller ones something else, whoever computes them.
    #[test]
    fn networks_with_batch_norms_pass_their_gradients_on() {
        let device = Device::flex();
        let rga = |after: &[usize]| {
            Mechanism::Rga(RgaBlocks { ratio: 2, spatial: true, channel: true, after: after.to_vec() })
        };
        let resnet = ResNet {
            block: Residual::Bottleneck,
            stem: Stem::Small,
            blocks: vec![1, 1],
            strides: vec![1, 2],
            width: 4,
        };
        let residual = resnet.architecture([8, 4], 3, rga(&[1, 2]));
        for network in [network(rga(&[1])), seeded(&residual, &device).for_identities()] {
            let run = |workers, part| {
                let workers = Workers::new(&device, workers, &settings(part, 0.1)).unwrap();
                let (gradients, outcome, seen, norms) =
                    workers.run_identities(&network, &batch(), &Reid::default()).unwrap();
                (flat(&network, &gradients), outcome.loss, seen, norms)
            };
            let (whole, loss, seen, norms) = run(0, 8);
            assert!(seen[0].is_some() && norms.len() == 1 && norms[0].len() > 11);
            let norm = |values: &[f32]| values.iter().map(|v| v * v).sum::<f32>().sqrt();
            assert!(norm(&whole) > 1e-2 && whole.iter().all(|g| g.is_finite()));
            let (parts, other, _, of_parts) = run(1, 4);
            assert!(of_parts.len() == 2 && of_parts[0].len() == norms[0].len());
            assert!(other != loss && norm(&parts) > 1e-2);
            assert!(run(2, 4).0 == parts, "the number of workers changes no bit");
            let observed = network.clone().observe_norms(norms[0].clone()).observe(&seen);
            let (before, after) = (network.weights(), observed.weights());
            let moved = before.iter().filter(|(name, tensor)| after.get(name) != Some(*tensor)).count();
            assert_eq!(moved, 2 * (norms[0].len() + 1), "each norm's mean and variance, and the bottleneck's");
        }
    }
}

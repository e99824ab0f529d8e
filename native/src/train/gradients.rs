//! Loss and gradients of one batch: in parts, on several single-threaded workers where the device is the CPU.
//!
//! burn's CPU back end gains little from a second thread inside one product, so each worker computes whole parts of the
//! batch with one thread. Gradients are summed in the order of the parts: the number of workers changes no bit.

use anyhow::{Context, Result, bail};
use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Gradients, Int, Tensor, TensorData};
use finegrain::model::{BatchStatistics, DropPath, Network, Target};

use super::config::{PrecisionChoice, Train};
use super::loader::Batch;
use super::outcome::{Outcome, hits};
use super::twin::Twin;

/// What the mechanism's batch norms saw of each part of a batch, in the order of the parts and of the forward pass.
pub(super) type Norms = Vec<Vec<BatchStatistics>>;

/// Where a worker computes.
pub(super) struct Seat {
    /// Without gradients.
    pub device: Device,
    /// On that device.
    pub network: Network,
    /// The device where gradients are summed.
    first: bool,
}

/// Runs the parts of batches.
pub(super) struct Workers {
    devices: Vec<Device>,
    pools: Vec<rayon::ThreadPool>,
    part: usize,
    label_smoothing: f32,
    drop_path: f64,
    checkpointing: bool,
    bf16: bool,
}

impl Workers {
    /// `count` workers on a CPU, as the recipe says; without workers the calling thread does the work (a GPU).
    ///
    /// Several `devices` share each batch as burn's Learner has it: in each step every device gets a copy of the network
    /// and its share of the parts, and the gradients come back to the first one.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub(super) fn over(devices: &[Device], count: usize, train: &Train) -> Result<Self> {
        let pools = (0..count)
            .map(|i| rayon::ThreadPoolBuilder::new().num_threads(1).thread_name(move |_| format!("worker {i}")).build())
            .collect::<std::result::Result<_, _>>()
            .context("cannot start the workers' threads")?;
        Ok(Self {
            devices: devices.to_vec(),
            pools,
            part: train.micro_batch.max(1),
            label_smoothing: train.label_smoothing,
            drop_path: train.drop_path,
            checkpointing: train.gradient_checkpointing,
            bf16: train.precision == PrecisionChoice::Bf16,
        })
    }

    /// How many workers there are.
    pub(super) fn count(&self) -> usize {
        self.pools.len()
    }

    /// Gradients of the mean loss over `batch`, and what the mechanism's batch norms saw of each part: they normalise by the
    /// part, as they do on several devices (the authors' code has it so, too). `network` is on the plain device.
    ///
    /// # Errors
    /// When a worker dies.
    pub(super) fn run(&self, network: &Network, batch: &Batch) -> Result<(GradientsParams, Outcome, Norms)> {
        let parts = batch.parts(self.part);
        let share = |part: &Batch| part.len() as f64 / batch.len() as f64;
        let done = self.each(network, &parts, &|seat, _, part| self.part(seat, part, share(part)))?;
        let mut sum = GradientsAccumulator::new();
        let mut total = Outcome::default();
        let mut norms = Vec::with_capacity(parts.len());
        for (gradients, outcome, seen) in done {
            sum.accumulate(network, gradients);
            total.add(&outcome);
            norms.push(seen);
        }
        Ok((sum.grads(), total.mean(), norms))
    }

    /// What `work` makes of each part, in their order; workers, or devices, take every so many-th one.
    ///
    /// # Errors
    /// When a worker dies.
    pub(super) fn each<T: Send>(
        &self,
        network: &Network,
        parts: &[Batch],
        work: &(dyn Fn(&Seat, usize, &Batch) -> T + Sync),
    ) -> Result<Vec<T>> {
        let crew = self.pools.len().max(self.devices.len());
        let seat = |worker: usize| {
            let i = worker % self.devices.len();
            let (device, first) = (self.devices[i].clone(), i == 0);
            let network = if first { network.clone() } else { network.clone().to_device(&device) };
            Seat { device, network, first }
        };
        let share = |worker: usize| {
            let seat = seat(worker);
            let mine = (worker..parts.len()).step_by(crew);
            mine.map(|i| (i, work(&seat, i, &parts[i]))).collect::<Vec<_>>()
        };
        if crew == 1 && self.pools.is_empty() {
            return Ok(share(0).into_iter().map(|(_, result)| result).collect());
        }
        let run = |worker: usize| match self.pools.get(worker) {
            Some(pool) => pool.install(|| share(worker)),
            None => share(worker),
        };
        let mut slots: Vec<Option<T>> = parts.iter().map(|_| None).collect();
        std::thread::scope(|scope| {
            let run = &run;
            let handles: Vec<_> = (0..crew).map(|worker| scope.spawn(move || run(worker))).collect();
            let mut died = None;
            for handle in handles {
                match handle.join() {
                    Ok(results) => results.into_iter().for_each(|(i, result)| slots[i] = Some(result)),
                    Err(panic) => died = Some(panic),
                }
            }
            match died {
                // A GPU's want of memory is told from the panic.
                Some(panic) if self.pools.is_empty() => std::panic::resume_unwind(panic),
                Some(_) => bail!("a training worker stopped"),
                None => Ok(()),
            }
        })?;
        Ok(slots.into_iter().flatten().collect())
    }

    /// A device with gradients.
    pub(super) fn autodiff(&self, device: &Device) -> Device {
        let device = device.clone().autodiff();
        if self.checkpointing { device.gradient_checkpointing() } else { device }
    }

    /// The network for one backward pass.
    pub(super) fn twin(&self, seat: &Seat) -> Twin {
        Twin::new(&seat.network, &self.autodiff(&seat.device), self.bf16)
    }

    /// Gradients of a backward pass through `leaves`, on the device where those of all parts are summed.
    pub(super) fn gathered(&self, seat: &Seat, leaves: &Network, gradients: Gradients) -> GradientsParams {
        let gradients = GradientsParams::from_grads(gradients, leaves);
        if seat.first { gradients } else { gradients.to_device(&self.devices[0], &seat.network) }
    }

    /// `network` for a pass without gradients, in the same precision.
    pub(super) fn looks(&self, network: &Network) -> Network {
        if self.bf16 { network.in_bf16() } else { network.clone() }
    }

    /// The device of the network that is trained.
    pub(super) fn first(&self) -> &Device {
        &self.devices[0]
    }

    /// Photos in a part.
    pub(super) fn part_size(&self) -> usize {
        self.part
    }

    /// The recipe's.
    pub(super) fn label_smoothing(&self) -> f32 {
        self.label_smoothing
    }

    /// PWCA's pairs `[B]` of a part, where the network has PWCA.
    pub(super) fn partners(&self, network: &Network, part: &Batch, device: &Device) -> Option<Tensor<1, Int>> {
        let pairs = network.dcal.as_ref().is_some_and(|dcal| dcal.has_pwca());
        pairs.then(|| Tensor::from_data(TensorData::new(part.partners(), [part.len()]), device))
    }

    /// Stochastic depth of a part, where there is some.
    pub(super) fn drop_path(&self, network: &Network, part: &Batch, device: &Device) -> Option<DropPath> {
        (self.drop_path > 0.0).then(|| part.drop_path(self.drop_path, network.architecture().depth, device))
    }

    /// Gradients of `share` times the loss of one part; the outcome's losses are sums over its photos.
    fn part(&self, seat: &Seat, part: &Batch, share: f64) -> (GradientsParams, Outcome, Vec<BatchStatistics>) {
        let device = self.autodiff(&seat.device);
        let Twin { leaves, runs: twin } = self.twin(seat);
        let count = part.len();
        let partners = self.partners(&twin, part, &device);
        let images = twin.images(&part.images, &device);
        let classes = twin.architecture().classes;
        let target = match part.shares(classes, self.label_smoothing) {
            Some(shares) => Target::Shares(Tensor::from_data(TensorData::new(shares, [count, classes]), &device)),
            None => Target::Classes {
                labels: Tensor::from_data(TensorData::new(part.labels.clone(), [count]), &device),
                label_smoothing: self.label_smoothing,
            },
        };
        let drop_path = self.drop_path(&twin, part, &device);
        let channels = twin.tasn.as_ref().map(|_| part.channels(twin.architecture().dim));
        let losses = twin.losses_with(images, &target, partners, drop_path.as_ref(), channels.as_deref());
        let photos = count as f64;
        let scalar = |loss: &Tensor<1>| loss.clone().into_data().iter::<f64>().next().unwrap_or(f64::NAN) * photos;
        let probability: Vec<f32> = losses.forward.probability().into_data().iter::<f32>().collect();
        let correct = hits(&probability, &part.labels);
        let outcome = Outcome {
            loss: scalar(&losses.total),
            parts: [0, 1, 2].map(|k| losses.parts[k].as_ref().map_or(0.0, scalar)),
            correct,
            count,
        };
        let gradients = (losses.total * share).backward();
        (self.gathered(seat, &leaves, gradients), outcome, losses.statistics)
    }
}

#[cfg(test)]
impl Workers {
    /// On one device.
    pub(super) fn new(device: &Device, count: usize, train: &Train) -> Result<Self> {
        Self::over(std::slice::from_ref(device), count, train)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use burn::module::{ModuleVisitor, Param};
    use finegrain::architecture::{Architecture, Dcal, Mechanism, TasnBlocks};

    use super::super::augment::Second;
    use super::*;

    pub(in super::super) fn architecture() -> Architecture {
        Architecture {
            image_size: [8, 8],
            patch_size: 2,
            dim: 8,
            depth: 2,
            heads: 2,
            mlp_ratio: 2,
            layer_norm_eps: 1e-6,
            classes: 3,
            mechanism: Mechanism::Dcal(Dcal { ratio: 0.25, glca: true, pwca: false }),
        }
    }

    /// The recipe's part of it.
    pub(in super::super) fn settings(part: usize, label_smoothing: f32) -> Train {
        let text =
            format!("epochs = 1\nbatch = 64\nlr = 1.0\nmicro_batch = {part}\nlabel_smoothing = {label_smoothing:?}");
        toml::from_str(&text).unwrap()
    }

    /// The same in every run: burn's initialiser draws from a generator that all tests share.
    pub(in super::super) fn network(architecture: &Architecture, device: &Device) -> Network {
        Network::new(architecture, device).load(&crate::random::weights(architecture)).unwrap()
    }

    fn batch(count: usize) -> Batch {
        Batch {
            images: (0..count * 192).map(|i| (i as f32 * 0.7).sin()).collect(),
            labels: (0..count as i32).map(|i| i % 3).collect(),
            seconds: Vec::new(),
            pair_keys: (0..count as u64).collect(),
        }
    }

    /// Every gradient, flat, in the order of the parameters.
    pub(in super::super) fn flat(network: &Network, gradients: &GradientsParams) -> Vec<f32> {
        struct Flat<'a>(&'a GradientsParams, Vec<f32>);
        impl ModuleVisitor for Flat<'_> {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                if let Some(gradient) = self.0.get::<D>(param.id) {
                    self.1.extend(gradient.into_data().iter::<f32>());
                }
            }
        }
        let mut found = Flat(gradients, Vec::new());
        network.visit(&mut found);
        found.1
    }

    #[test]
    fn parts_add_up_to_the_batch() {
        let device = Device::flex();
        let network = network(&architecture(), &device);
        let run = |workers, part| {
            let workers = Workers::new(&device, workers, &settings(part, 0.1)).unwrap();
            let (gradients, outcome, _) = workers.run(&network, &batch(7)).unwrap();
            (flat(&network, &gradients), outcome)
        };
        let (whole, outcome) = run(0, 7);
        assert!(whole.len() > 1000 && whole.iter().any(|g| g.abs() > 1e-3));
        for (workers, part) in [(0, 3), (1, 3), (2, 3), (3, 1)] {
            let (gradients, same) = run(workers, part);
            let difference: f32 = gradients.iter().zip(&whole).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
            let norm: f32 = whole.iter().map(|g| g * g).sum::<f32>().sqrt();
            assert!(difference < 1e-5 * norm, "{workers} workers, parts of {part}: {difference} of {norm}");
            assert!((same.loss - outcome.loss).abs() < 1e-6 && same.count == 7 && same.correct == outcome.correct);
        }
        assert!(run(1, 2).0 == run(3, 2).0, "the number of workers changes no bit");
    }

    /// Two handles of one CPU: everything but the way between two devices.
    #[test]
    fn several_devices_give_the_gradients_of_one() {
        let device = Device::flex();
        let network = network(&architecture(), &device);
        let run = |devices: usize| {
            let workers = Workers::over(&vec![device.clone(); devices], 0, &settings(2, 0.1)).unwrap();
            let (gradients, outcome, _) = workers.run(&network, &batch(7)).unwrap();
            (flat(&network, &gradients), outcome)
        };
        let one = run(1);
        assert!(one.0.len() > 1000 && (2..=5).all(|devices| run(devices) == one), "bit for bit");
    }

    #[test]
    fn a_mixed_label_is_the_mean_of_two() {
        let device = Device::flex();
        let network = network(&architecture(), &device);
        let run = |batch: &Batch| {
            let (gradients, outcome, _) =
                Workers::new(&device, 0, &settings(3, 0.1)).unwrap().run(&network, batch).unwrap();
            (flat(&network, &gradients), outcome.loss)
        };
        let others: Vec<i32> = (0..7).map(|i| (i + 1) % 3).collect();
        let seconds = others.iter().map(|&class| Second { class, share: 0.3 }).collect();
        let (mixed, mixed_loss) = run(&Batch { seconds, ..batch(7) });
        let (first, first_loss) = run(&batch(7));
        let (second, second_loss) = run(&Batch { labels: others, ..batch(7) });
        assert!((mixed_loss - (0.7 * first_loss + 0.3 * second_loss)).abs() < 1e-6);
        let norm: f32 = first.iter().map(|g| g * g).sum::<f32>().sqrt();
        for ((m, a), b) in mixed.iter().zip(&first).zip(&second) {
            assert!((m - (0.7 * a + 0.3 * b)).abs() < 1e-5 * norm, "{m} {a} {b}");
        }
        assert!(first != second);
    }

    #[test]
    fn stochastic_depth_follows_the_photos_and_not_the_parts() {
        let device = Device::flex();
        let network = network(&architecture(), &device);
        let run = |part, rate| {
            let train = Train { drop_path: rate, ..settings(part, 0.1) };
            let workers = Workers::new(&device, 0, &train).unwrap();
            flat(&network, &workers.run(&network, &batch(7)).unwrap().0)
        };
        let (whole, parts, none) = (run(7, 0.5), run(2, 0.5), run(7, 0.0));
        let norm = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
        let length = norm(&none, &vec![0.0; none.len()]);
        assert!(norm(&whole, &parts) < 1e-5 * length);
        assert!(norm(&whole, &none) > 0.01 * length, "{} of {length}", norm(&whole, &none));
    }

    #[test]
    fn the_part_nets_photos_follow_the_photos_and_not_the_parts() {
        let device = Device::flex();
        let tasn = TasnBlocks { after: 1, ..TasnBlocks::default() };
        let network = network(&Architecture { mechanism: Mechanism::Tasn(tasn), ..architecture() }, &device);
        let photos = |keys: u64| Batch {
            images: (0..7 * 768).map(|i| (i as f32 * 0.07).sin()).collect(),
            pair_keys: (keys..keys + 7).collect(),
            ..batch(7)
        };
        let run = |part, keys| {
            let workers = Workers::new(&device, 0, &settings(part, 0.1)).unwrap();
            let (gradients, outcome, _) = workers.run(&network, &photos(keys)).unwrap();
            (flat(&network, &gradients), outcome.loss)
        };
        let (whole, parts, other) = (run(7, 0), run(2, 0), run(7, 100));
        let norm = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
        let length = norm(&whole.0, &vec![0.0; whole.0.len()]);
        assert!(norm(&whole.0, &parts.0) < 1e-4 * length && (whole.1 - parts.1).abs() < 1e-5);
        assert!(norm(&whole.0, &other.0) > 1e-3 * length, "other random numbers, other channels");
        assert_ne!(photos(0).channels(8), photos(100).channels(8));
    }

    #[test]
    fn checkpointing_changes_no_gradient() {
        let device = Device::flex();
        let pwca = Mechanism::Dcal(Dcal { ratio: 0.25, glca: true, pwca: true });
        let network = network(&Architecture { mechanism: pwca, ..architecture() }, &device);
        let run = |gradient_checkpointing, workers| {
            let train = Train { gradient_checkpointing, drop_path: 0.3, ..settings(3, 0.1) };
            let workers = Workers::new(&device, workers, &train).unwrap();
            let kept = workers.autodiff(&device).gradient_checkpointing_strategy();
            (flat(&network, &workers.run(&network, &batch(7)).unwrap().0), format!("{kept:?}"))
        };
        let (usual, checkpointed) = (run(false, 0), run(true, 0));
        assert!(usual.0.len() > 1000 && usual.0 == checkpointed.0, "bit for bit");
        assert_ne!(usual.1, checkpointed.1);
        assert!(run(true, 2).0 == usual.0);
    }

    #[test]
    fn an_equal_guess_is_no_hit() {
        // Both classifiers start at zero, so every class is equally probable.
        let device = Device::flex();
        let network = Network::new(&architecture(), &device);
        let (_, outcome, _) = Workers::new(&device, 0, &settings(6, 0.0)).unwrap().run(&network, &batch(6)).unwrap();
        assert_eq!(outcome.correct, 0);
        assert!((outcome.parts[0] - 3f64.ln()).abs() < 1e-6 && outcome.parts[2] == 0.0);
    }
}

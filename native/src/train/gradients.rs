//! Loss and gradients of one batch: in parts, on several single-threaded workers where the device is the CPU.
//!
//! burn's CPU back end gains little from a second thread inside one product, so each worker computes whole parts of the
//! batch with one thread. Gradients are summed in the order of the parts: the number of workers changes no bit.

use anyhow::{Context, Result};
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Int, Tensor, TensorData};
use finegrain::model::{DropPath, Network, Target};

use super::loader::Batch;

/// Losses and hits of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Outcome {
    /// Total loss, mean over the photos.
    pub loss: f64,
    /// Cross-entropy of SA, GLCA and PWCA, mean over the photos; 0 where a branch does not run.
    pub parts: [f64; 3],
    /// Photos whose most probable class is right.
    pub correct: usize,
    /// Photos.
    pub count: usize,
}

/// Runs the parts of batches.
pub(super) struct Workers {
    device: Device,
    pools: Vec<rayon::ThreadPool>,
    part: usize,
    label_smoothing: f32,
    drop_path: f64,
}

impl Workers {
    /// `count` workers for parts of `part` photos on `device`; without workers the calling thread does the work (GPUs).
    ///
    /// # Errors
    /// When the system gives no threads.
    pub(super) fn new(device: &Device, count: usize, part: usize, label_smoothing: f32) -> Result<Self> {
        let pools = (0..count)
            .map(|i| rayon::ThreadPoolBuilder::new().num_threads(1).thread_name(move |_| format!("worker {i}")).build())
            .collect::<std::result::Result<_, _>>()
            .context("cannot start the workers' threads")?;
        Ok(Self { device: device.clone(), pools, part, label_smoothing, drop_path: 0.0 })
    }

    /// The same with stochastic depth of rate `rate`.
    pub(super) fn with_drop_path(self, rate: f64) -> Self {
        Self { drop_path: rate, ..self }
    }

    /// How many workers there are.
    pub(super) fn count(&self) -> usize {
        self.pools.len()
    }

    /// Gradients of the mean loss over `batch`. `network` is on the plain device.
    ///
    /// # Errors
    /// When a worker dies.
    pub(super) fn run(&self, network: &Network, batch: &Batch) -> Result<(GradientsParams, Outcome)> {
        let parts = batch.parts(self.part);
        let share = |part: &Batch| part.len() as f64 / batch.len() as f64;
        let done = self.each(&parts, &|_, part| self.part(network, part, share(part)))?;
        let mut sum = GradientsAccumulator::new();
        let mut total = Outcome::default();
        for (gradients, outcome) in done {
            sum.accumulate(network, gradients);
            total.add(&outcome);
        }
        Ok((sum.grads(), total.mean()))
    }

    /// What `work` makes of each part, in their order; workers take every so many-th one.
    ///
    /// # Errors
    /// When a worker dies.
    pub(super) fn each<T: Send>(&self, parts: &[Batch], work: &(dyn Fn(usize, &Batch) -> T + Sync)) -> Result<Vec<T>> {
        if self.pools.is_empty() {
            return Ok(parts.iter().enumerate().map(|(i, part)| work(i, part)).collect());
        }
        let mut slots: Vec<Option<T>> = parts.iter().map(|_| None).collect();
        std::thread::scope(|scope| {
            let spawn = |(w, pool): (usize, &'_ rayon::ThreadPool)| {
                let mine = (w..parts.len()).step_by(self.pools.len());
                pool.install(|| mine.map(|i| (i, work(i, &parts[i]))).collect::<Vec<_>>())
            };
            let handles: Vec<_> =
                self.pools.iter().enumerate().map(|worker| scope.spawn(move || spawn(worker))).collect();
            for handle in handles {
                let results = handle.join().map_err(|_| anyhow::anyhow!("a training worker stopped"))?;
                results.into_iter().for_each(|(i, result)| slots[i] = Some(result));
            }
            anyhow::Ok(())
        })?;
        Ok(slots.into_iter().flatten().collect())
    }

    /// The device without gradients.
    pub(super) fn plain(&self) -> &Device {
        &self.device
    }

    /// The device with gradients.
    pub(super) fn autodiff(&self) -> Device {
        self.device.clone().autodiff()
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
    fn part(&self, network: &Network, part: &Batch, share: f64) -> (GradientsParams, Outcome) {
        let device = self.autodiff();
        // Fresh leaves: workers that shared them would share, and wait for, one autodiff graph.
        let twin = network.clone().train();
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
        let losses = twin.losses_with(images, &target, partners, drop_path.as_ref());
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
        (GradientsParams::from_grads(gradients, &twin), outcome)
    }
}

/// How many rows of `probability` `[B, classes]` are highest at their label, and nowhere else as high.
pub(super) fn hits(probability: &[f32], labels: &[i32]) -> usize {
    let rows = probability.chunks(probability.len() / labels.len().max(1));
    let hit = |(row, label): &(&[f32], &i32)| {
        row.iter().enumerate().all(|(c, p)| c as i32 == **label || *p < row[**label as usize])
    };
    rows.zip(labels).filter(hit).count()
}

impl Outcome {
    /// Adds sums to sums.
    pub(super) fn add(&mut self, other: &Self) {
        self.loss += other.loss;
        self.parts.iter_mut().zip(other.parts).for_each(|(a, b)| *a += b);
        self.correct += other.correct;
        self.count += other.count;
    }

    /// Sums to means.
    pub(super) fn mean(self) -> Self {
        let n = self.count.max(1) as f64;
        Self { loss: self.loss / n, parts: self.parts.map(|p| p / n), ..self }
    }

    /// Means to sums.
    pub(super) fn sum(self) -> Self {
        let n = self.count as f64;
        Self { loss: self.loss * n, parts: self.parts.map(|p| p * n), ..self }
    }
}

/// Makes every parameter contiguous: weights that were loaded are transposed views, weights after a step are not, and
/// a run must not depend on whether it was resumed.
pub(super) fn contiguous(network: Network) -> Network {
    struct Contiguous;
    impl burn::module::ModuleMapper for Contiguous {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|value| {
                let shape = value.dims();
                value.flatten::<1>(0, D - 1).reshape(shape)
            })
        }
    }
    network.map(&mut Contiguous)
}

/// How many parameters a network has, and how many of them are trained.
pub(super) fn count_parameters(network: &Network) -> (usize, usize) {
    struct Count(usize, usize);
    impl ModuleVisitor for Count {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let count = param.val().dims().iter().product::<usize>();
            self.0 += count;
            if param.is_require_grad() {
                self.1 += count;
            }
        }
    }
    let mut count = Count(0, 0);
    network.clone().train().visit(&mut count);
    (count.0, count.1)
}

#[cfg(test)]
pub(super) mod tests {
    use finegrain::architecture::{Architecture, Dcal, Mechanism};

    use super::super::augment::Second;
    use super::*;

    fn architecture() -> Architecture {
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
        let network = Network::new(&architecture(), &device);
        let run = |workers, part| {
            let workers = Workers::new(&device, workers, part, 0.1).unwrap();
            let (gradients, outcome) = workers.run(&network, &batch(7)).unwrap();
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

    #[test]
    fn a_mixed_label_is_the_mean_of_two() {
        let device = Device::flex();
        let network = Network::new(&architecture(), &device);
        let run = |batch: &Batch| {
            let (gradients, outcome) = Workers::new(&device, 0, 3, 0.1).unwrap().run(&network, batch).unwrap();
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
        let network = Network::new(&architecture(), &device);
        let run = |part, rate| {
            let workers = Workers::new(&device, 0, part, 0.1).unwrap().with_drop_path(rate);
            flat(&network, &workers.run(&network, &batch(7)).unwrap().0)
        };
        let (whole, parts, none) = (run(7, 0.5), run(2, 0.5), run(7, 0.0));
        let norm = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt();
        let length = norm(&none, &vec![0.0; none.len()]);
        assert!(norm(&whole, &parts) < 1e-5 * length);
        assert!(norm(&whole, &none) > 0.01 * length, "{} of {length}", norm(&whole, &none));
    }

    #[test]
    fn an_equal_guess_is_no_hit() {
        // Both classifiers start at zero, so every class is equally probable.
        let device = Device::flex();
        let network = Network::new(&architecture(), &device);
        let (_, outcome) = Workers::new(&device, 0, 6, 0.0).unwrap().run(&network, &batch(6)).unwrap();
        assert_eq!(outcome.correct, 0);
        assert!((outcome.parts[0] - 3f64.ln()).abs() < 1e-6 && outcome.parts[2] == 0.0);
    }

    #[test]
    fn loaded_weights_become_contiguous_and_keep_their_values() {
        let network = Network::new(&architecture(), &Device::flex());
        let weights = network.weights();
        assert_eq!(contiguous(network.load(&weights).unwrap()).weights(), weights);
    }
}

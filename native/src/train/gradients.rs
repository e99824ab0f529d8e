//! Loss and gradients of one batch: in parts, on several single-threaded workers where the device is the CPU.
//!
//! burn's CPU back end gains little from a second thread inside one product, so each worker computes whole parts of the
//! batch with one thread. Gradients are summed in the order of the parts: the number of workers changes no bit.

use anyhow::{Context, Result, bail};
use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Gradients, Int, Tensor, TensorData};
use finegrain::model::{DropPath, Network, Seen, Target};

use super::config::{PrecisionChoice, Train};
use super::loader::Batch;
use super::outcome::{Outcome, hits};
use super::teachers::{Staff, Teacher};
use super::twin::Twin;

/// What the batch norms saw of each part of a batch, in the order of the parts and of the forward pass.
pub(super) type Norms = Vec<Vec<Seen>>;

/// Where a worker computes.
pub(super) struct Seat {
    /// Without gradients.
    pub device: Device,
    /// On that device.
    pub network: Network,
    /// Its number among the devices; gradients are summed on the first.
    place: usize,
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
    staff: Option<Staff>,
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
            staff: None,
        })
    }

    /// With teachers, where there are some.
    pub(super) fn taught_by(self, staff: Option<Staff>) -> Self {
        Self { staff, ..self }
    }

    /// The teachers, where there are some.
    pub(super) fn staff(&self) -> Option<&Staff> {
        self.staff.as_ref()
    }

    /// The teachers, for the record.
    pub(super) fn teachers(&self) -> &[Teacher] {
        self.staff.as_ref().map_or(&[], Staff::teachers)
    }

    /// How many workers there are.
    pub(super) fn count(&self) -> usize {
        self.pools.len()
    }

    /// Gradients of the mean loss over `batch`, and what the batch norms saw of each part: they normalise by the
    /// part, as they do on several devices (the authors' code has it so, too). `network` is on the plain device.
    ///
    /// # Errors
    /// When a worker dies, or a teacher has no answer.
    pub(super) fn run(&self, network: &Network, batch: &Batch) -> Result<(GradientsParams, Outcome, Norms)> {
        let parts = batch.parts(self.part);
        let share = |part: &Batch| part.len() as f64 / batch.len() as f64;
        let done = self.each(network, &parts, &|seat, _, part| self.part(seat, part, share(part)))?;
        let mut sum = GradientsAccumulator::new();
        let mut total = Outcome::default();
        let mut norms = Vec::with_capacity(parts.len());
        for part in done {
            let (gradients, outcome, seen) = part?;
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
            let place = worker % self.devices.len();
            let device = self.devices[place].clone();
            let network = if place == 0 { network.clone() } else { network.clone().to_device(&device) };
            Seat { device, network, place }
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
        if seat.place == 0 { gradients } else { gradients.to_device(&self.devices[0], &seat.network) }
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
    fn part(&self, seat: &Seat, part: &Batch, share: f64) -> Result<(GradientsParams, Outcome, Vec<Seen>)> {
        let device = self.autodiff(&seat.device);
        let Twin { leaves, runs: twin } = self.twin(seat);
        let count = part.len();
        let partners = self.partners(&twin, part, &device);
        let images = twin.images(&part.images, &device);
        let classes = twin.architecture().classes;
        let target = if self.staff.is_none() && part.seconds.is_empty() {
            Target::Classes {
                labels: Tensor::from_data(TensorData::new(part.labels.clone(), [count]), &device),
                label_smoothing: self.label_smoothing,
            }
        } else {
            let mut shares = part.shares(classes, self.label_smoothing);
            if let Some(staff) = &self.staff {
                staff.teach(&part.images, seat.place, &mut shares)?;
            }
            Target::Shares(Tensor::from_data(TensorData::new(shares, [count, classes]), &device))
        };
        let drop_path = self.drop_path(&twin, part, &device);
        let behind = twin.architecture().tasn().map(|tasn| twin.architecture().map_behind(tasn.after));
        let channels = behind.map(|map| part.channels(map.channels));
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
        Ok((self.gathered(seat, &leaves, gradients), outcome, losses.statistics))
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
pub(super) mod tests;

//! The back ends against a trace: runs the network, compares every result, judges.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow, bail};
use burn::tensor::{Device, Int, Tensor, TensorData};
use finegrain::compare::{Difference, compare};
use finegrain::cpu::Cpu;
use finegrain::engine::traces::Run;
use finegrain::engine::{self, Engine, Gpu};
use finegrain::model::{self, Network};
use finegrain::tensors::{self, TensorMap, Values};

use crate::parts::{Mechanism, Part};
use crate::traces::Trace;

/// What f32 must reach of the float64 truth, as relative norm: results of the forward pass.
pub const FORWARD: f64 = 1e-5;
/// The same for gradients, which pass through twice as many operations.
pub const GRADIENT: f64 = 1e-4;

/// Results of training, which the engine does not compute.
const TRAINING: [&str; 3] = ["out.loss.parts", "out.loss.total", "out.logits.pwca"];

/// The distances of one back end, and the names that are too far off or were not computed.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// By output.
    pub differences: BTreeMap<String, Difference>,
    /// Outputs beyond their tolerance.
    pub failed: Vec<String>,
    /// Outputs of the trace that this back end should have computed and did not.
    pub missing: Vec<String>,
}

impl Verdict {
    /// True if everything was computed and is near enough.
    pub fn pass(&self) -> bool {
        self.failed.is_empty() && self.missing.is_empty()
    }
}

/// Runs the burn model on the CPU: forward pass, loss and gradients, as far as the trace has them.
///
/// # Errors
/// A trace whose tensors are not those of its network.
pub fn burn(trace: &Trace) -> Result<Verdict> {
    let device = Device::flex().autodiff();
    let network = Network::new(&trace.architecture, &device).load(&trace.weights)?;
    let (images, batch) = trace.images()?;
    let images = network.images(images, &device);
    let integers = |values: &[i32]| -> Tensor<1, Int> {
        Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), &device)
    };
    let labels = trace.indices("input.labels", trace.architecture.classes)?;
    let partners = trace.indices("input.perm", batch)?;
    let found = match labels {
        Some(labels) => {
            let losses = network.losses(images, integers(labels), partners.map(integers), 0.0);
            let mut found = losses.trace();
            if trace.tensors.iter().any(|(name, _)| name.starts_with("grad.")) {
                for (name, gradient) in network.gradients(&losses.total.backward()).iter() {
                    found.insert(format!("grad.{name}"), gradient.clone());
                }
            }
            found
        }
        None => network.trace(images),
    };
    Ok(judge(found, &trace.tensors, &["out.", "grad."], &[]))
}

/// Runs our kernels, image by image; the engine has no training, so losses and gradients are left out. Gives the
/// adapter's name too.
///
/// # Errors
/// No adapter, a device that fails, or a trace whose tensors are not those of its network.
pub fn webgpu(trace: &Trace) -> Result<(Verdict, String)> {
    let gpu = pollster::block_on(Gpu::open()).map_err(|error| anyhow!("{error} (--backend burn)"))?;
    let engine = pollster::block_on(Engine::load(&gpu, &trace.architecture, &trace.weights))?;
    let (images, batch) = trace.images()?;
    let mut found = Vec::new();
    for image in images.chunks(images.len() / batch) {
        found.push(pollster::block_on(engine.trace(image))?);
    }
    let verdict = judge(stack(&found)?, &trace.tensors, &["out."], &TRAINING);
    Ok((verdict, gpu.adapter().name.clone()))
}

/// Runs the forward pass on the processor, image by image; training is left out as in [`webgpu`].
///
/// # Errors
/// A trace whose tensors are not those of its network.
pub fn cpu(trace: &Trace) -> Result<Verdict> {
    let cpu = Cpu::load(&trace.architecture, &trace.weights)?;
    let (images, batch) = trace.images()?;
    let found = images.chunks(images.len() / batch).map(|image| cpu.trace(image)).collect::<Result<Vec<_>, _>>()?;
    Ok(judge(stack(&found)?, &trace.tensors, &["out."], &TRAINING))
}

/// Runs a mechanism by itself in burn on the CPU.
///
/// # Errors
/// A trace whose tensors are not those of its mechanism.
pub fn burn_part(part: &Part) -> Result<Verdict> {
    let Part { tensors, weights, mechanism } = part;
    let device = Device::flex();
    let found = match mechanism {
        Mechanism::Tasn { settings, detail_channel } => {
            model::tasn::trace(settings, *detail_channel, tensors, &device)?
        }
        Mechanism::Rga(settings) => model::rga::trace(settings, tensors, weights, &device)?,
        Mechanism::Rectify { heads, classes } => model::rectify::trace(*heads, *classes, tensors, weights, &device)?,
    };
    Ok(judge(found, tensors, &["out."], &[]))
}

/// Runs a mechanism by itself with our kernels; what belongs to training is left out. Gives the adapter's name too.
///
/// # Errors
/// As [`webgpu`].
pub fn webgpu_part(part: &Part) -> Result<(Verdict, String)> {
    let gpu = pollster::block_on(Gpu::open()).map_err(|error| anyhow!("{error} (--backend burn)"))?;
    let run: Run<'_> =
        &mut |recording, weights, image| pollster::block_on(engine::run(&gpu, recording, weights, image));
    let Part { tensors, weights, mechanism } = part;
    let found = match mechanism {
        Mechanism::Tasn { settings, detail_channel } => engine::traces::tasn(settings, *detail_channel, tensors, run)?,
        Mechanism::Rga(settings) => engine::traces::rga(settings, tensors, weights, run)?,
        Mechanism::Rectify { heads, classes } => engine::traces::rectify(*heads, *classes, tensors, weights, run)?,
    };
    let verdict = judge(found, tensors, &["out."], &["out.distill", "out.regulariser"]);
    Ok((verdict, gpu.adapter().name.clone()))
}

/// Compares what was found with the truth.
fn judge(mut found: TensorMap, truth: &TensorMap, prefixes: &[&str], left_out: &[&str]) -> Verdict {
    align(&mut found, truth);
    let mut verdict = Verdict { differences: BTreeMap::new(), failed: Vec::new(), missing: Vec::new() };
    for prefix in prefixes {
        verdict.differences.extend(compare(&found, truth, prefix));
        let expected = truth.iter().map(|(name, _)| name).filter(|name| name.starts_with(prefix));
        let missing = expected.filter(|name| found.get(name).is_none() && !left_out.contains(name));
        verdict.missing.extend(missing.map(str::to_owned));
    }
    for (name, difference) in &verdict.differences {
        let distance = difference.judged(name);
        if distance.is_nan() || distance > tolerance(name) {
            verdict.failed.push(name.clone());
        }
    }
    verdict
}

fn tolerance(name: &str) -> f64 {
    if name.starts_with("grad.") { GRADIENT } else { FORWARD }
}

/// Puts the rows of GLCA into the truth's order of local queries. Where two rollout scores tie, another order (or, at
/// the end of the list, another token) is no error: `compare` judges `out.selected` itself, and the rows of a token
/// that only one of both selected say nothing.
fn align(found: &mut TensorMap, truth: &TensorMap) {
    let name = "out.selected";
    let (Ok(ours), Ok(theirs)) = (found.integers(name), truth.integers(name)) else { return };
    let Some(k) = truth.get(name).and_then(|tensor| tensor.shape.last().copied()) else { return };
    if ours == theirs || ours.len() != theirs.len() || k == 0 {
        return;
    }
    let (ours, theirs) = (ours.to_vec(), theirs.to_vec());
    for name in ["out.glca.tokens", "out.glca.attn"] {
        let (Some(tensor), Some(expected)) = (found.get(name).cloned(), truth.get(name)) else { continue };
        let (Values::F32(from), Values::F32(rows)) = (&tensor.values, &expected.values) else { continue };
        if tensor.shape != expected.shape || tensor.shape.len() < 3 {
            continue;
        }
        let width = tensor.shape[tensor.shape.len() - 1];
        let images = theirs.len() / k;
        // [B, (heads,) 1 + k, width]: each head repeats the list of its image.
        let lists = from.len() / ((1 + k) * width);
        let mut to = rows.clone();
        for list in 0..lists {
            let image = list * images / lists;
            let (ours, theirs) = (&ours[image * k..(image + 1) * k], &theirs[image * k..(image + 1) * k]);
            let row = |place: usize| (list * (1 + k) + place) * width;
            to[row(0)..row(1)].copy_from_slice(&from[row(0)..row(1)]);
            for (place, token) in theirs.iter().enumerate() {
                if let Some(other) = ours.iter().position(|own| own == token) {
                    to[row(1 + place)..row(2 + place)].copy_from_slice(&from[row(1 + other)..row(2 + other)]);
                }
            }
        }
        found.insert(name, tensors::Tensor::f32(tensor.shape.clone(), to));
    }
}

/// Joins the results of single images into a batch.
fn stack(found: &[TensorMap]) -> Result<TensorMap> {
    let mut batch = TensorMap::default();
    let Some(first) = found.first() else { bail!("there are no images") };
    for (name, tensor) in first.iter() {
        let mut shape = tensor.shape.clone();
        if let Some(count) = shape.first_mut() {
            *count = found.len();
        }
        let joined = match tensor.values {
            Values::F32(_) => {
                let parts: Vec<&[f32]> = found.iter().map(|one| one.reals(name)).collect::<Result<_, _>>()?;
                tensors::Tensor::f32(shape, parts.concat())
            }
            Values::I32(_) => {
                let parts: Vec<&[i32]> = found.iter().map(|one| one.integers(name)).collect::<Result<_, _>>()?;
                tensors::Tensor::i32(shape, parts.concat())
            }
        };
        batch.insert(name, joined);
    }
    Ok(batch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use finegrain::tensors::Tensor as T;

    fn truth() -> TensorMap {
        let mut truth = TensorMap::default();
        truth.insert("out.rollout", T::f32([1, 4], vec![0.2, 0.300001, 0.3, 0.2]));
        truth.insert("out.selected", T::i32([1, 2], vec![1, 2]));
        truth.insert("out.glca.tokens", T::f32([1, 3, 2], vec![0.0, 0.5, 1.0, 1.5, 2.0, 2.5]));
        truth.insert("out.glca.attn", T::f32([1, 2, 3, 1], vec![0.0, 1.0, 2.0, 10.0, 11.0, 12.0]));
        truth
    }

    #[test]
    fn a_tie_may_be_ordered_otherwise() {
        let mut found = truth();
        found.insert("out.selected", T::i32([1, 2], vec![2, 1]));
        found.insert("out.glca.tokens", T::f32([1, 3, 2], vec![0.0, 0.5, 2.0, 2.5, 1.0, 1.5]));
        found.insert("out.glca.attn", T::f32([1, 2, 3, 1], vec![0.0, 2.0, 1.0, 10.0, 12.0, 11.0]));
        let verdict = judge(found.clone(), &truth(), &["out."], &[]);
        assert!(verdict.pass(), "{verdict:?}");
        // The rows must still be those of their tokens.
        found.insert("out.glca.tokens", T::f32([1, 3, 2], vec![0.0, 0.5, 1.0, 1.5, 2.0, 2.5]));
        assert_eq!(judge(found, &truth(), &["out."], &[]).failed, ["out.glca.tokens"]);
    }

    #[test]
    fn what_is_off_or_missing_fails() {
        let mut found = truth();
        found.insert("out.rollout", T::f32([1, 4], vec![0.2, 0.300001, 0.3001, 0.2]));
        found.remove("out.glca.attn");
        let verdict = judge(found, &truth(), &["out."], &[]);
        assert_eq!((verdict.failed, verdict.missing), (vec!["out.rollout".into()], vec!["out.glca.attn".into()]));
        let mut found = truth();
        found.insert("out.rollout", T::f32([1, 4], vec![f32::NAN; 4]));
        assert_eq!(judge(found, &truth(), &["out."], &[]).failed, ["out.rollout"]);
    }
}

//! The network on several threads: what one computes, whoever computes it.

use std::path::PathBuf;
use std::sync::{Barrier, Mutex};

use finegrain::architecture::Architecture;
use finegrain::compare::reals;
use finegrain::cpu::{Cpu, CpuError, Exchange, Seen, common_values};
use finegrain::tensors::TensorMap;

use crate::traces::architecture;
use crate::{architectures, case, read, single, tolerance};

/// What threads have in common here; in the browser it is a `SharedArrayBuffer`.
struct Common {
    values: Mutex<Vec<f32>>,
    barrier: Barrier,
    threads: usize,
}

struct End<'a> {
    common: &'a Common,
    index: usize,
}

impl Exchange for End<'_> {
    fn place(&self) -> [usize; 2] {
        [self.index, self.common.threads]
    }

    fn give(&self, at: usize, values: &[f32]) {
        self.common.values.lock().unwrap()[at..][..values.len()].copy_from_slice(values);
    }

    fn meet(&self) -> Result<(), String> {
        self.common.barrier.wait();
        Ok(())
    }

    fn take(&self, at: usize, values: &mut [f32]) {
        values.copy_from_slice(&self.common.values.lock().unwrap()[at..][..values.len()]);
    }
}

/// Sees each photo on so many threads, each with weights of its own, one photo after the other in the same memory.
pub(crate) fn together(
    architecture: &Architecture,
    weights: &TensorMap,
    images: &[&[f32]],
    threads: usize,
) -> Vec<Seen> {
    // What lies there before must not matter.
    let values = Mutex::new(vec![f32::NAN; common_values(architecture, threads)]);
    let common = Common { values, barrier: Barrier::new(threads), threads };
    std::thread::scope(|scope| {
        for index in 1..threads {
            let common = &common;
            scope.spawn(move || {
                let cpu = Cpu::load(architecture, weights).unwrap();
                for _ in images {
                    cpu.help(&End { common, index }).unwrap();
                }
            });
        }
        let cpu = Cpu::load(architecture, weights).unwrap();
        images.iter().map(|image| cpu.see_together(image, &End { common: &common, index: 0 }).unwrap()).collect()
    })
}

#[test]
fn several_threads_reproduce_the_traces() {
    for name in ["dcal_small.safetensors", "dcal_odd.safetensors", "dcal_hybrid.safetensors"] {
        let trace = read(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name));
        let (architecture, weights) = (architecture(&trace), trace.under("param."));
        let photos: Vec<TensorMap> =
            (0..trace.get("input.images").unwrap().shape[0]).map(|index| single(&trace, index)).collect();
        let images: Vec<&[f32]> = photos.iter().map(|photo| photo.reals("input.images").unwrap()).collect();
        for threads in [1, 2, 3, 4, 7, architecture.tokens() + 2] {
            for (truth, seen) in photos.iter().zip(together(&architecture, &weights, &images, threads)) {
                let answer = seen.answer();
                for (name, found) in [
                    ("out.logits.sa", &answer.logits_sa),
                    ("out.logits.glca", &answer.logits_glca),
                    ("out.probability", &answer.probability),
                    ("out.rollout", &answer.rollout),
                ] {
                    let difference = reals(found, truth.reals(name).unwrap()).rel_norm;
                    assert!(difference <= 1e-5, "{name} on {threads} threads: {difference:.2e}");
                }
                let selected: Vec<i32> = answer.selected.iter().map(|&token| token.cast_signed()).collect();
                assert_eq!(selected, truth.integers("out.selected").unwrap(), "{threads} threads");
            }
        }
    }
}

#[test]
fn several_threads_see_what_one_sees() {
    for architecture in architectures() {
        let (_, weights, image) = case(&architecture);
        let cpu = Cpu::load(&architecture, &weights).unwrap();
        let one = cpu.see(&image).unwrap();
        let (last, tokens) = (architecture.depth - 1, architecture.tokens());
        for threads in [2, 3, 5, 8] {
            let several = together(&architecture, &weights, &[&image, &image], threads).pop().unwrap();
            let same = |what: &str, found: &[f32], truth: &[f32]| {
                let difference = reals(found, truth).rel_norm;
                assert!(
                    difference <= tolerance(&architecture),
                    "{tokens} tokens on {threads} threads, {what}: {difference:.2e}"
                );
            };
            let (found, truth) = (several.answer(), one.answer());
            same("SA", &found.logits_sa, &truth.logits_sa);
            same("GLCA", &found.logits_glca, &truth.logits_glca);
            same("mixed votes", &found.logits_mixed, &truth.logits_mixed);
            same("rollout", &found.rollout, &truth.rollout);
            let apart = found.sampling.iter().zip(&truth.sampling).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart < 1e-6 && found.sampling.len() == truth.sampling.len(), "a coordinate is off by {apart}");
            // Looks go into the tokens of all rows, whichever thread computed them.
            let look = |seen: &Seen| seen.attention(&cpu, last, tokens - 1).unwrap();
            same("attention", &look(&several), &look(&one));
            let look = |seen: &Seen| seen.rollout(&cpu, last).unwrap();
            same("rollout again", &look(&several), &look(&one));
            if architecture.rectify().is_some() {
                same("masks", several.masks().unwrap(), one.masks().unwrap());
            }
            if architecture.glca().is_some() {
                let look = |seen: &Seen| seen.glca_attention(&cpu, 0).unwrap();
                same("GLCA's attention", &look(&several), &look(&one));
            }
            let [found, truth] = [&several, &one].map(|seen| seen.difference(&cpu, [0, 1]).unwrap());
            let difference = reals(&found.both(), &truth.both()).rel_norm;
            // Contributions of both signs cancel.
            assert!(
                difference <= 10.0 * tolerance(&architecture),
                "{tokens} tokens on {threads} threads, difference: {difference:.2e}"
            );
        }
    }
}

/// An end whose other ends never come.
struct Broken;

impl Exchange for Broken {
    fn place(&self) -> [usize; 2] {
        [0, 2]
    }

    fn give(&self, _: usize, _: &[f32]) {}

    fn meet(&self) -> Result<(), String> {
        Err("it fell over".into())
    }

    fn take(&self, _: usize, _: &mut [f32]) {}
}

#[test]
fn a_thread_that_stops_is_told() {
    let trace = read(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/dcal_small.safetensors"));
    let cpu = Cpu::load(&architecture(&trace), &trace.under("param.")).unwrap();
    let image = single(&trace, 0).reals("input.images").unwrap().to_vec();
    let error = cpu.see_together(&image, &Broken).err().unwrap().to_string();
    assert!(error.contains("it fell over") && error.contains("load the network again"), "{error}");
    assert!(matches!(cpu.help(&Broken), Err(CpuError::Thread(_))));
    assert!(matches!(cpu.see_together(&image[1..], &Broken), Err(CpuError::Image { .. })));
}

//! Parts, devices and workers give one gradient.

use burn::module::{ModuleVisitor, Param};
use finegrain::architecture::{Architecture, Dcal, Mechanism, TasnBlocks};

use super::super::augment::Second;
use super::*;

pub(in super::super) fn architecture() -> Architecture {
    Architecture {
        resnet: None,
        hybrid: None,
        image_size: [8, 8],
        patch_size: 2,
        dim: 8,
        depth: 2,
        heads: 2,
        mlp_ratio: 2,
        layer_norm_eps: 1e-6,
        classes: 3,
        mechanism: Mechanism::Dcal(Dcal { ratio: 0.25, glca: true, pwca: false, gates: None }),
    }
}

/// The recipe's part of it.
pub(in super::super) fn settings(part: usize, label_smoothing: f32) -> Train {
    let text = format!("epochs = 1\nbatch = 64\nlr = 1.0\nmicro_batch = {part}\nlabel_smoothing = {label_smoothing:?}");
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
    let pwca = Mechanism::Dcal(Dcal { ratio: 0.25, glca: true, pwca: true, gates: None });
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

//! What a target is made of.

use super::*;
use crate::train::gradients::tests::architecture;

/// Teachers of random weights, each from other ones.
fn found(count: usize) -> Vec<Found> {
    let architecture = architecture();
    let pixels = Preprocessing { resize: 8, fit: Default::default(), crop: [8, 8], mean: [0.5; 3], std: [0.5; 3] };
    let one = |i: usize| {
        let mut weights = crate::random::weights(&architecture);
        let values = weights.reals("head.weight").unwrap().iter().map(|w| w * (i + 1) as f32).collect();
        let shape = weights.get("head.weight").unwrap().shape.clone();
        weights.insert("head.weight", finegrain::tensors::Tensor::f32(shape, values));
        Found {
            teacher: Teacher { run: format!("teacher {i}"), sha256: i.to_string() },
            architecture: architecture.clone(),
            preprocessing: pixels.clone(),
            labels: vec!["a".into(), "b".into(), "c".into()],
            weights,
            training: None,
        }
    };
    (0..count).map(one).collect()
}

fn staff(found: &[Found], on_cpu: bool, share: f32, temperature: f32) -> Staff {
    let device = Device::flex();
    let load = |found| Answering::load(found, std::slice::from_ref(&device), on_cpu).unwrap();
    let answering = found.iter().map(load).collect();
    let teachers = found.iter().map(|found| found.teacher.clone()).collect();
    Staff { teachers, answering, classes: 3, share, temperature, warnings: Vec::new() }
}

fn photos() -> Vec<f32> {
    (0..4 * 192).map(|i| (i as f32 * 0.7).sin() * 2.0).collect()
}

fn labels() -> Vec<f32> {
    [[1.0, 0.0, 0.0], [0.1, 0.2, 0.7], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]].concat()
}

#[test]
fn a_target_is_the_labels_and_the_teachers_mean() {
    let two = found(2);
    let answers: Vec<Vec<f32>> = two
        .iter()
        .map(|one| staff(std::slice::from_ref(one), true, 1.0, 1.0).answering[0].answers(&photos(), 0).unwrap())
        .collect();
    assert!(answers[0] != answers[1], "they do not say the same");
    for (share, temperature) in [(0.3, 1.0), (1.0, 1.0), (0.7, 2.0), (0.5, 0.5)] {
        let mut target = labels();
        staff(&two, true, share, temperature).teach(&photos(), 0, &mut target).unwrap();
        for (i, row) in target.chunks(3).enumerate() {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{row:?}");
            for (c, found) in row.iter().enumerate() {
                let powers = |answers: &Vec<f32>| -> Vec<f64> {
                    answers[3 * i..3 * i + 3].iter().map(|p| f64::from(*p).powf(1.0 / f64::from(temperature))).collect()
                };
                let soft = |answers: &Vec<f32>| powers(answers)[c] / powers(answers).iter().sum::<f64>();
                let mean = 0.5 * (soft(&answers[0]) + soft(&answers[1]));
                let expected = f64::from(1.0 - share) * f64::from(labels()[3 * i + c]) + f64::from(share) * mean;
                assert!((f64::from(*found) - expected).abs() < 1e-5, "photo {i}, class {c}: {found} and {expected}");
            }
        }
    }
}

#[test]
fn devices_and_the_cpu_path_answer_alike() {
    let two = found(2);
    let of = |on_cpu| {
        let mut target = labels();
        staff(&two, on_cpu, 0.6, 1.5).teach(&photos(), 0, &mut target).unwrap();
        target
    };
    let (cpu, burn) = (of(true), of(false));
    assert!(cpu != labels() && cpu.iter().zip(&burn).all(|(a, b)| (a - b).abs() < 1e-5), "{cpu:?} {burn:?}");
    assert!(staff(&two, false, 0.6, 1.5).teach(&photos(), 1, &mut labels()).is_err(), "there is one device");
}

#[test]
fn what_a_teacher_rules_out_stays_ruled_out() {
    assert_eq!(softened(&[0.0, 1.0, 0.0], 4.0), [0.0, 1.0, 0.0]);
    assert_eq!(softened(&[0.2, 0.8], 1.0), [0.2, 0.8]);
    let soft = softened(&[0.8, 0.2, 0.0], 2.0);
    assert!((soft[0] - 2.0 / 3.0).abs() < 1e-6 && (soft[1] - 1.0 / 3.0).abs() < 1e-6 && soft[2] == 0.0, "{soft:?}");
}

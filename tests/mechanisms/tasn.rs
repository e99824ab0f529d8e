//! TASN: trilinear attention, both maps, resampling and distillation.

use burn::module::Param;
use burn::tensor::{Device, FloatDType, Tensor};
use finegrain::architecture::Tasn;
use finegrain::model::tasn::{coordinates, detail, distil, grid_sample, resize, structure, trace, trilinear};

use crate::support::{Random, assert_close, check_gradients, config, fixture, values};

#[test]
fn tasn_small_is_reproduced() {
    let truth = fixture("tasn_small.safetensors");
    let config = config(&truth);
    let side = config["out_size"].as_u64().unwrap() as usize;
    let settings = Tasn::of_size([side, side]);
    assert_eq!(f64::from(settings.scale), config["scale"]);
    assert_eq!(f64::from(settings.dense), config["dense"]);
    assert_eq!(settings.rounds, config["rounds"].as_u64().unwrap() as usize);
    assert_eq!(f64::from(settings.temperature), config["temperature"]);
    let channel = config["detail_channel"].as_u64().unwrap() as usize;
    assert_close(&trace(&settings, channel, &truth, &Device::flex()).unwrap(), &truth);
}

#[test]
fn a_trace_with_the_wrong_shape_is_named() {
    let mut truth = fixture("tasn_small.safetensors");
    let mut image = truth.get("input.image").unwrap().clone();
    image.shape = vec![1, 6, 64, 64];
    truth.insert("input.image", image);
    let error = trace(&Tasn::of_size([40, 40]), 3, &truth, &Device::flex()).unwrap_err();
    assert!(error.to_string().contains("\"input.image\" has shape [1, 6, 64, 64]"), "{error}");
}

/// By hand: two channels that respond apart, so strongly that each softmax is all or nothing.
#[test]
fn a_channel_gathers_those_that_respond_where_it_does() {
    let x = Tensor::<4>::from_floats([[[[9.0, 0.0, 0.0]], [[0.0, 8.0, 0.0]]]], &Device::flex());
    // relation: softmax_hw picks position 0 for channel 0 and position 1 for channel 1; [[9, 0], [0, 8]].
    let m = values(&trilinear(x, 7.0));
    let share = |gap: f64| 1.0 / (1.0 + (-gap).exp());
    let (a, b) = (share(9.0), share(8.0));
    let expected = [9.0 * a, 8.0 * (1.0 - a), 0.0, 9.0 * (1.0 - b), 8.0 * b, 0.0];
    for (found, expected) in m.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-5, "{m:?} {expected}");
    }
}

#[test]
fn the_detail_map_is_a_channel_in_training_and_the_sum_at_test() {
    let device = Device::flex();
    let attention = Random(1).tensor([3, 4, 2, 2], 1.0, &device).cast(FloatDType::F32);
    let chosen = values(&detail(attention.clone(), Some(&[2, 0, 3]), [2, 2]));
    let all = values(&attention);
    for (image, channel) in [2, 0, 3].into_iter().enumerate() {
        let at = (image * 4 + channel) * 4;
        assert_eq!(chosen[image * 4..image * 4 + 4], all[at..at + 4], "no resizing, so an exact copy");
    }
    let sum = values(&detail(attention.clone(), None, [2, 2]));
    let squared = values(&structure(attention, [2, 2]));
    for (sum, squared) in sum.iter().zip(squared) {
        assert!((sum * sum - squared).abs() < 1e-6);
    }
}

#[test]
fn resizing_keeps_straight_lines_and_goes_no_further_than_the_edge() {
    let line = Tensor::<3>::from_floats([[[0.0, 2.0, 4.0]]], &Device::flex());
    // Centres of six pixels in units of three: -0.25, 0.25, ... 2.25; before the first and after the last it is flat.
    let found = values(&resize(line, [1, 6]));
    for (found, expected) in found.iter().zip([0.0, 0.5, 1.5, 2.5, 3.5, 4.0]) {
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }
}

/// Sampling any plane is exact, whatever the coordinates.
#[test]
fn a_plane_is_sampled_exactly() {
    let device = Device::flex();
    let (height, width) = (5, 9);
    let plane = |y: f64, x: f64| 0.3 * y - 0.7 * x + 0.1;
    let at = |i: usize, n: usize| 2.0 * i as f64 / (n - 1) as f64 - 1.0;
    let pixels: Vec<f32> =
        (0..height * width).map(|i| plane(at(i / width, height), at(i % width, width)) as f32).collect();
    let image = Tensor::<1>::from_floats(pixels.as_slice(), &device).reshape([1, 1, height, width]);
    let mut random = Random(2);
    let mut coordinates: Vec<f64> = (0..7).map(|_| random.real()).collect();
    coordinates[0] = -1.0;
    coordinates[6] = 1.0;
    let tensor = |values: &[f64]| {
        let values: Vec<f32> = values.iter().map(|v| *v as f32).collect();
        Tensor::<1>::from_floats(values.as_slice(), &device).unsqueeze::<2>()
    };
    let (vertical, horizontal) = (&coordinates[..4], &coordinates[4..]);
    let found = values(&grid_sample(image, [tensor(vertical), tensor(horizontal)]));
    for (i, y) in vertical.iter().enumerate() {
        for (j, x) in horizontal.iter().enumerate() {
            assert!((found[i * 3 + j] - plane(*y, *x)).abs() < 1e-6);
        }
    }
}

#[test]
fn the_attention_carries_no_gradient() {
    let device = Device::flex().autodiff();
    let mut random = Random(5);
    let features = random.tensor([1, 3, 4, 4], 1.0, &device).cast(FloatDType::F32).require_grad();
    let image = random.tensor([1, 3, 16, 16], 1.0, &device).cast(FloatDType::F32).require_grad();
    let map = structure(trilinear(features.clone(), 7.0), [16, 16]);
    let sampled = grid_sample(image.clone(), coordinates(map, &Tasn::of_size([8, 8])));
    let gradients = sampled.sum().backward();
    assert!(features.grad(&gradients).is_none());
    // What is sampled does carry it: every sample's weights sum to 1.
    let sum: f64 = values(&image.grad(&gradients).unwrap()).iter().sum();
    assert!((sum - 3.0 * 64.0).abs() < 1e-3, "{sum}");
}

#[test]
fn the_student_learns_and_the_teacher_does_not() {
    let device = Device::flex().autodiff();
    let mut random = Random(3);
    let teacher = random.tensor([3, 5], 20.0, &device).require_grad();
    let student = Param::from_tensor(random.tensor([3, 5], 20.0, &device).require_grad());
    let loss = |student: &Param<Tensor<2>>| distil(teacher.clone(), student.val(), 10.0);
    assert_eq!(check_gradients(student.clone(), loss), (1, 1));
    assert!(teacher.grad(&loss(&student).backward()).is_none());
}

//! Attend and Rectify: the module, the global gates, the regulariser.

use burn::module::Param;
use burn::tensor::activation::softmax;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, FloatDType, Tensor};
use finegrain::architecture::Mixing;
use finegrain::model::Statistics;
use finegrain::model::rectify::{Attend, GlobalGates, mix, regulariser, trace};

use crate::support::{Random, assert_close, check_gradients, config, fixture, seeded, values, weighted};

#[test]
fn rectify_small_is_reproduced() {
    let truth = fixture("rectify_small.safetensors");
    let config = config(&truth);
    let [heads, classes] = ["heads", "classes"].map(|key| config[key].as_u64().unwrap() as usize);
    let weights = truth.under("param.");
    assert_close(&trace(heads, classes, &truth, &weights, &Device::flex()).unwrap(), &truth);
    let error = trace(heads, classes + 1, &truth, &weights, &Device::flex()).unwrap_err();
    assert!(error.to_string().contains("\"input.hypothesis2\" has shape [2, 6]"), "{error}");
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let device = Device::flex().autodiff();
    let mut random = Random(1);
    let attend = seeded(Attend::new(4, 3, 5, &device), 4);
    // Wide scores, so that masks are no mere means.
    let input = Param::from_tensor(random.tensor([2, 4, 4, 5], 3.0, &device).require_grad());
    let module = check_gradients((attend, input), |(attend, z)| {
        let found = attend.forward(z.val());
        weighted(found.logits, 1) + weighted(found.head_gates, 2) + regulariser(found.masks) * 10.0
    });
    assert_eq!(module, (4, 4));

    let gates = seeded(GlobalGates::new(6, 3, &device), 5);
    let pooled = Param::from_tensor(random.tensor([4, 6], 1.0, &device).require_grad());
    let votes: Vec<_> =
        (0..3).map(|_| Param::from_tensor(random.tensor([4, 5], 2.0, &device).require_grad())).collect();
    for mixing in [Mixing::Softmax, Mixing::Sigmoid] {
        for training in [false, true] {
            let case = (gates.clone(), pooled.clone(), votes.clone());
            let found = check_gradients(case, |(gates, pooled, votes)| {
                let mut batches = Vec::new();
                let mut statistics = if training { Statistics::Batch(&mut batches) } else { Statistics::Running };
                let logits = gates.forward(pooled.val(), &mut statistics);
                let votes: Vec<Tensor<2>> = votes.iter().map(Param::val).collect();
                weighted(mix(&votes, logits, mixing), 3)
            });
            assert_eq!(found, (7, 7));
        }
    }
}

/// A batch of one has no variance: its gates are those of inference, and the running statistics stay.
#[test]
fn one_photo_by_itself_is_normalised_as_at_inference() {
    let device = Device::flex();
    let gates = seeded(GlobalGates::new(6, 3, &device), 8);
    let photo = |count| Random(9).tensor::<2>([count, 6], 1.0, &device).cast(FloatDType::F32);
    let mut batches = Vec::new();
    let trained = gates.forward(photo(1), &mut Statistics::Batch(&mut batches));
    assert!(batches.is_empty());
    assert_eq!(values(&trained), values(&gates.forward(photo(1), &mut Statistics::Running)));
    gates.forward(photo(2), &mut Statistics::Batch(&mut batches));
    assert_eq!(batches.len(), 1);
}

/// The weights applied once, to what each mask sums up, against three convolutions of the whole map.
#[test]
fn summing_up_first_is_convolving_everywhere() {
    let device = Device::flex();
    for (heads, classes, [channels, height, width]) in
        [(4, 6, [12, 5, 7]), (1, 2, [3, 1, 1]), (3, 11, [33, 14, 14]), (5, 4, [7, 1, 6]), (2, 3, [9, 2, 2])]
    {
        let module = seeded(Attend::new(channels, heads, classes, &device), 7);
        let z: Tensor<4> = Random(6).tensor([2, channels, height, width], 2.0, &device).cast(FloatDType::F32);
        let found = module.forward(z.clone());
        let by_head = |weight: &Param<Tensor<4>>| -> Tensor<4> {
            let weight = weight.val().cast(FloatDType::F32);
            let rest = weight.dims()[0] / heads;
            let options = ConvOptions::new([1, 1], [1, 1], [1, 1], 1);
            conv2d(z.clone(), weight, None, options).reshape([2, heads, rest, height * width])
        };
        let masks = softmax(by_head(&module.attention), 3);
        let opinions: Tensor<3> = (by_head(&module.output) * masks.clone()).sum_dim(3).squeeze_dim(3);
        let trust: Tensor<3> = (by_head(&module.gate) * masks.clone()).sum_dim(3).squeeze_dim(3);
        let head_gates = softmax(trust.tanh(), 1);
        let logits: Tensor<2> = (opinions * head_gates).sum_dim(1).squeeze_dim(1);
        let close = |what: &str, a: Vec<f64>, b: Vec<f64>| {
            let size = b.iter().map(|v| v * v).sum::<f64>().sqrt();
            let off = a.iter().zip(&b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
            assert!(
                a.len() == b.len() && off <= 1e-5 * size,
                "{what} {channels} x {height} x {width}: {off} of {size}"
            );
        };
        close("masks", values(&found.masks), values(&masks));
        close("logits", values(&found.logits), values(&logits));
    }
}

/// Whatever the gates say, softmax gates of equal votes change nothing, and open gates count alike.
#[test]
fn gates_weigh_votes() {
    let device = Device::flex();
    let mut random = Random(2);
    let mut real = |shape, scale| random.tensor::<2>(shape, scale, &device).cast(FloatDType::F32);
    let vote = real([3, 7], 2.0);
    let votes = [vote.clone(), vote.clone(), vote.clone()];
    let found = values(&mix(&votes, real([3, 3], 5.0), Mixing::Softmax));
    let alone = values(&burn::tensor::activation::log_softmax(vote, 1));
    assert!(found.iter().zip(&alone).all(|(a, b)| (a - b).abs() < 1e-5));
    let votes = [real([3, 7], 2.0), real([3, 7], 2.0)];
    let even = Tensor::zeros([3, 2], &device);
    let [soft, hard] = [Mixing::Softmax, Mixing::Sigmoid].map(|mixing| values(&mix(&votes, even.clone(), mixing)));
    assert!(soft.iter().zip(&hard).all(|(a, b)| (a - b).abs() < 1e-5));
}

#[test]
fn heads_that_look_apart_cost_nothing() {
    let device = Device::flex();
    let mask = |places: [usize; 2]| {
        let mut masks = vec![0.0f32; 2 * 16];
        places.iter().enumerate().for_each(|(head, place)| masks[head * 16 + place] = 1.0);
        Tensor::<1>::from_floats(masks.as_slice(), &device).reshape([1, 2, 4, 4])
    };
    assert_eq!(values(&regulariser(mask([0, 2])))[0], 0.0);
    // Neighbours in one 2x2 square: each pools to 1/4, the product is 1/16, two of four products count.
    let same = values(&regulariser(mask([0, 5])))[0];
    assert!((same - (1.0f64 / 16.0).powi(2) / 2.0).abs() < 1e-7, "{same}");
    // A map of one row is not pooled.
    let flat = Tensor::<1>::from_floats([0.5f32, 0.5, 0.5, 0.5], &device).reshape([1, 2, 1, 2]);
    assert!((values(&regulariser(flat))[0] - 0.125).abs() < 1e-6);
}

//! Every kernel against its twin in plain tensors: values and gradients, over the shapes that break kernels.
#![allow(clippy::unwrap_used, reason = "tests")]

use burn::tensor::{Device, Int, Tensor, TensorData};

use super::plain;
use crate::model::random::Random;

/// Largest difference over the largest value.
fn distance<const D: usize>(found: &Tensor<D>, truth: &Tensor<D>) -> f32 {
    assert_eq!(found.dims(), truth.dims());
    let values = |t: &Tensor<D>| t.clone().into_data().iter::<f32>().collect::<Vec<_>>();
    let (found, truth) = (values(found), values(truth));
    let most = truth.iter().fold(1e-3f32, |m, v| m.max(v.abs()));
    assert!(found.iter().all(|v| v.is_finite()));
    found.iter().zip(&truth).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / most
}

fn draw<const D: usize>(random: &mut Random, shape: [usize; D], device: &Device) -> Tensor<D> {
    let values = (0..shape.iter().product()).map(|_| random.real(3.0)).collect::<Vec<_>>();
    Tensor::from_data(TensorData::new(values, shape), device).require_grad()
}

/// Gradients of `sum(y w)` for random weights `w`, so that no gradient is uniform.
fn gradients<const D: usize, const E: usize>(inputs: &[&Tensor<D>], y: &Tensor<E>, w: &Tensor<E>) -> Vec<Tensor<D>> {
    let gradients = (y.clone() * w.clone()).sum().backward();
    inputs.iter().map(|x| x.grad(&gradients).unwrap()).collect()
}

/// `kernel` and `twin` agree on `inputs` in value and gradient.
fn agree<const D: usize>(
    what: &str,
    inputs: &[&Tensor<D>],
    kernel: impl Fn() -> Tensor<3>,
    twin: impl Fn() -> Tensor<3>,
    limit: f32,
) {
    let (found, truth) = (kernel(), twin());
    let far = distance(&found, &truth);
    assert!(far < limit, "{what}: {far}");
    let weights = draw(&mut Random(9), truth.dims(), &Device::flex().autodiff()).detach();
    let pairs = gradients(inputs, &found, &weights).into_iter().zip(gradients(inputs, &truth, &weights));
    for (i, (found, truth)) in pairs.enumerate() {
        let far = distance(&found, &truth);
        assert!(far < 4.0 * limit, "{what}: gradient {i}: {far}");
    }
}

/// Batch, tokens, heads, width of a head.
const SHAPES: [[usize; 4]; 6] =
    [[1, 1, 1, 1], [2, 197, 3, 64], [1, 785, 3, 16], [3, 50, 5, 7], [2, 17, 1, 33], [4, 5, 2, 3]];

#[test]
fn gelu_agrees() {
    let device = Device::flex().autodiff();
    let mut random = Random(1);
    for shape in [[1, 1, 1], [2, 197, 5], [1, 3, 1029]] {
        let x = draw(&mut random, shape, &device) * 2.0;
        let x = x.detach().require_grad();
        agree("gelu", &[&x], || super::gelu(x.clone()), || plain::gelu(x.clone()), 1e-6);
    }
}

#[test]
fn layer_norm_agrees() {
    let device = Device::flex().autodiff();
    let mut random = Random(2);
    for shape in [[1, 1, 9], [2, 197, 192], [3, 50, 35], [1, 785, 17]] {
        let x = (draw(&mut random, shape, &device) + 3.0).detach().require_grad();
        let (gamma, beta) = (draw(&mut random, [shape[2]], &device), draw(&mut random, [shape[2]], &device));
        let kernel = || super::layer_norm(x.clone(), gamma.clone(), beta.clone(), 1e-6);
        let twin = || plain::layer_norm(x.clone(), gamma.clone(), beta.clone(), 1e-6);
        agree("layer norm of x", &[&x], kernel, twin, 8e-6);
        agree("layer norm of gamma and beta", &[&gamma, &beta], kernel, twin, 8e-6);
    }
}

#[test]
fn self_attention_agrees() {
    let device = Device::flex().autodiff();
    let mut random = Random(3);
    for [batch, tokens, heads, width] in SHAPES {
        let qkv = draw(&mut random, [batch, tokens, 3 * heads * width], &device);
        let what = format!("self-attention {batch} {tokens} {heads} {width}");
        let kernel = || super::self_attention(qkv.clone(), heads);
        let twin = || plain::self_attention(qkv.clone(), heads);
        agree(&what, &[&qkv], || kernel().0, || twin().0, 8e-6);
        assert!(distance(&kernel().1, &twin().1) < 8e-6, "{what}: map");
    }
}

#[test]
fn pair_attention_agrees() {
    let device = Device::flex().autodiff();
    let mut random = Random(4);
    for [batch, tokens, heads, width] in SHAPES {
        let qkv = draw(&mut random, [batch, tokens, 3 * heads * width], &device);
        let turned: Vec<i32> = (0..batch as i32).map(|i| (i + 1) % batch as i32).collect();
        let partners = Tensor::<1, Int>::from_data(TensorData::new(turned, [batch]), &device);
        let kernel = || super::pair_attention(qkv.clone(), partners.clone(), heads);
        let twin = || plain::pair_attention(qkv.clone(), partners.clone(), heads);
        agree(&format!("pair attention {batch} {tokens} {heads} {width}"), &[&qkv], kernel, twin, 8e-6);
    }
}

#[test]
fn cross_attention_agrees() {
    let device = Device::flex().autodiff();
    let mut random = Random(5);
    for [batch, tokens, heads, width] in SHAPES {
        let count = tokens.div_ceil(3);
        let (q, kv) = (
            draw(&mut random, [batch, count, heads * width], &device),
            draw(&mut random, [batch, tokens, 2 * heads * width], &device),
        );
        let what = format!("cross-attention {batch} {count} of {tokens} {heads} {width}");
        let kernel = || super::cross_attention(q.clone(), kv.clone(), heads);
        let twin = || plain::cross_attention(q.clone(), kv.clone(), heads);
        agree(&what, &[&q, &kv], || kernel().0, || twin().0, 8e-6);
        assert!(distance(&kernel().1, &twin().1) < 8e-6, "{what}: map");
    }
}

#[test]
fn views_that_are_not_contiguous_are_read_rightly() {
    let device = Device::flex().autodiff();
    let mut random = Random(6);
    let x = draw(&mut random, [2, 12, 7], &device);
    let turned = || x.clone().swap_dims(1, 2);
    agree("gelu of a view", &[&x], || super::gelu(turned()), || plain::gelu(turned()), 1e-6);
    let attention = |f: fn(Tensor<3>, usize) -> (Tensor<3>, Tensor<3>)| f(turned(), 2).0;
    agree("attention of a view", &[&x], || attention(super::self_attention), || attention(plain::self_attention), 8e-6);
}

#[test]
fn a_number_that_is_none_is_not_hidden() {
    let device = Device::flex();
    let mut values = vec![0.5f32; 2 * 5 * 12];
    values[3] = f32::NAN;
    let qkv = Tensor::<3>::from_data(TensorData::new(values, [2, 5, 12]), &device);
    for tensor in [super::self_attention(qkv.clone(), 2).0, super::gelu(qkv)] {
        assert!(tensor.into_data().iter::<f32>().any(f32::is_nan));
    }
}

//! The steps of a block in one pass each, where the device is the CPU; the same equations in plain tensors elsewhere.
//!
//! burn's CPU back end evaluates a layer norm, a GELU or an attention as a chain of elementwise tensors, each written to
//! memory and read back, and keeps all of them for the backward pass. Here each is one kernel with its own backward
//! pass: no `[B, heads, T, T]` map is ever stored, vectors are as wide as the processor's. Every function has a twin in
//! plain tensors (`plain.rs`), which other devices and bf16 use and against which the kernels are tested.
//!
//! With gradient checkpointing, burn computes cheap elementwise results again in the backward pass instead of keeping them.
//! The kernels count as dear and stay as they are: each keeps its inputs and a number per row. Measured on a training step
//! of ViT-Tiny with GLCA and PWCA at 224 pixels, 8 photos, peak memory of the process: plain tensors 1,155 MiB, with
//! checkpointing 703; kernels 660, with checkpointing 879, because burn then keeps results beside the kernels' own.

#[cfg(feature = "autodiff")]
mod autodiff;
mod flex;
mod plain;
#[cfg(all(test, feature = "autodiff"))]
mod tests;

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Dispatch, DispatchTensor, DispatchTensorKind, backend_extension};
use burn::tensor::{Int, Tensor};

/// The kernels, as operations of a back end.
#[backend_extension(Flex, Autodiff: cfg(feature = "autodiff"))]
pub(super) trait Fused: burn::backend::Backend {
    /// Exact GELU, any shape.
    fn gelu(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Layer norm over the last axis: `x` `[.., D]`, `gamma` and `beta` `[D]`.
    fn layer_norm(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self>;

    /// `qkv` `[B, T, 3 D]` to the mixed values `[B, T, D]` and the head-averaged map `[B, T, T]`, which carries no
    /// gradient.
    fn self_attention(qkv: FloatTensor<Self>, heads: usize) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// `qkv` `[B, T, 3 D]` and `partners` `[B]` to the mixed values `[B, T, D]`.
    fn pair_attention(qkv: FloatTensor<Self>, partners: IntTensor<Self>, heads: usize) -> FloatTensor<Self>;

    /// `queries` `[B, Q, D]` and `kv` `[B, T, 2 D]` to the mixed values `[B, Q, D]` and the map `[B, heads, Q, T]`,
    /// which carries no gradient.
    fn cross_attention(
        queries: FloatTensor<Self>,
        kv: FloatTensor<Self>,
        heads: usize,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

/// Exact GELU: `x` times the normal distribution function.
pub(super) fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if on_cpu(&x) { wrap(<Dispatch as Fused>::gelu(x.into_dispatch())) } else { plain::gelu(x) }
}

/// Layer norm over the last axis of `x` `[B, T, D]`; `gamma` and `beta` are `[D]`.
pub(super) fn layer_norm(x: Tensor<3>, gamma: Tensor<1>, beta: Tensor<1>, epsilon: f32) -> Tensor<3> {
    if !on_cpu(&x) {
        return plain::layer_norm(x, gamma, beta, epsilon);
    }
    wrap(<Dispatch as Fused>::layer_norm(x.into_dispatch(), gamma.into_dispatch(), beta.into_dispatch(), epsilon))
}

/// Self-attention: queries, keys and values `qkv` `[B, T, 3 D]` to `softmax(Q K^T / sqrt(d)) V` `[B, T, D]` and the
/// head-averaged map `[B, T, T]`, which carries no gradient.
pub(super) fn self_attention(qkv: Tensor<3>, heads: usize) -> (Tensor<3>, Tensor<3>) {
    if !on_cpu(&qkv) {
        return plain::self_attention(qkv, heads);
    }
    let (mixed, map) = <Dispatch as Fused>::self_attention(qkv.into_dispatch(), heads);
    (wrap(mixed), wrap::<3>(map).detach())
}

/// Pair-wise cross-attention: each image's queries over its own keys and values and those of its partner, one softmax;
/// `qkv` `[B, T, 3 D]` and the permutation `partners` `[B]` to `[B, T, D]`.
pub(super) fn pair_attention(qkv: Tensor<3>, partners: Tensor<1, Int>, heads: usize) -> Tensor<3> {
    if !on_cpu(&qkv) {
        return plain::pair_attention(qkv, partners, heads);
    }
    wrap(<Dispatch as Fused>::pair_attention(qkv.into_dispatch(), partners.into_dispatch(), heads))
}

/// Cross-attention: `queries` `[B, Q, D]` over keys and values `kv` `[B, T, 2 D]` to `[B, Q, D]` and the map
/// `[B, heads, Q, T]`, which carries no gradient.
pub(super) fn cross_attention(queries: Tensor<3>, kv: Tensor<3>, heads: usize) -> (Tensor<3>, Tensor<4>) {
    if !on_cpu(&queries) {
        return plain::cross_attention(queries, kv, heads);
    }
    let (mixed, map) = <Dispatch as Fused>::cross_attention(queries.into_dispatch(), kv.into_dispatch(), heads);
    (wrap(mixed), wrap::<4>(map).detach())
}

fn wrap<const D: usize>(tensor: DispatchTensor) -> Tensor<D> {
    Tensor::from_dispatch(tensor)
}

/// True where the tensor lies on burn's CPU back end, with or without gradients, in f32.
fn on_cpu<const D: usize>(tensor: &Tensor<D>) -> bool {
    fn flex(kind: &DispatchTensorKind) -> bool {
        match kind {
            DispatchTensorKind::Flex(_) => true,
            #[cfg(feature = "autodiff")]
            DispatchTensorKind::Autodiff(inner) => flex(inner),
            #[allow(unreachable_patterns, reason = "other back ends are features")]
            _ => false,
        }
    }
    tensor.dtype() == burn::tensor::DType::F32 && flex(&tensor.clone().into_dispatch().kind)
}

//! Attention rollout (Abnar and Zuidema; DCAL paper, equations 2 and 3).

use burn::tensor::{Device, Tensor};

/// The class token's row of the rollout, `[B, T]`, from head-averaged maps `[B, T, T]`, first block first.
///
/// The paper multiplies matrices: `Ŝ = S̄_L ... S̄_1` with `S̄ = 0.5 S + 0.5 I`. Only row 0 is ever used, so it is
/// computed as a vector: `r = e_0; for l = L..1: r = 0.5 r + 0.5 r S_l`.
pub fn rollout(attention_means: &[Tensor<3>]) -> Tensor<2> {
    let Some(last) = attention_means.last() else {
        return Tensor::ones([1, 1], &Device::flex());
    };
    let [batch, tokens, _] = last.dims();
    let class = Tensor::<3>::ones([batch, 1, 1], &last.device());
    let mut row = if tokens > 1 {
        Tensor::cat(vec![class, Tensor::zeros([batch, 1, tokens - 1], &last.device())], 2)
    } else {
        class
    };
    for map in attention_means.iter().rev() {
        row = (row.clone() + row.matmul(map.clone())) * 0.5;
    }
    row.squeeze_dim(1)
}

//! Twin of `shaders/layer_norm.wgsl`.

use crate::engine::kernels::LayerNormUniforms;

/// x `[M, D]`, weight `[D]`, bias `[D]`, y `[M, D]`.
pub fn layer_norm(u: &LayerNormUniforms, bindings: &mut [Vec<f32>]) {
    let [x, weight, bias, y] = bindings else { return };
    let (rows, dim) = (u.rows as usize, u.dim as usize);
    for row in 0..rows {
        let x = &x[row * dim..(row + 1) * dim];
        let mean = x.iter().map(|&v| f64::from(v)).sum::<f64>() / dim as f64;
        let variance = x.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / dim as f64;
        let scale = 1.0 / (variance + f64::from(u.eps)).sqrt();
        for i in 0..dim {
            let normed = (f64::from(x[i]) - mean) * scale;
            y[row * dim + i] = (normed * f64::from(weight[i]) + f64::from(bias[i])) as f32;
        }
    }
}

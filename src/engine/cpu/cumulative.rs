//! Twin of `shaders/cumulative.wgsl`.

use crate::engine::kernels::CumulativeUniforms;

/// marginal `[H + W]`, density `[H + W]`, excess `[H + W]`.
pub fn cumulative(u: &CumulativeUniforms, bindings: &mut [Vec<f32>]) {
    let [marginal, density, excess] = bindings else { return };
    let (height, both) = (u.height as usize, (u.height + u.width) as usize);
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let mut axes = [0..height, height..both].map(|part| {
        let values: Vec<f64> = marginal[part].iter().map(|&v| f64::from(v)).collect();
        let mean = mean(&values);
        values.iter().map(|v| if mean > 0.0 { v / mean } else { 1.0 }).collect::<Vec<f64>>()
    });
    for round in 0..u.rounds {
        let largest = axes.each_ref().map(|axis| axis.iter().copied().fold(0.0, f64::max));
        let mut bound = largest[0].min(largest[1]);
        if round == 0 {
            bound = bound.min(f64::from(u.dense));
        }
        for axis in &mut axes {
            axis.iter_mut().for_each(|v| *v = v.min(bound));
            let missing = 1.0 - mean(axis);
            axis.iter_mut().for_each(|v| *v += missing);
        }
    }
    for (start, axis) in [0, height].into_iter().zip(&axes) {
        let mut sum = 0.0;
        for (i, &value) in axis.iter().enumerate() {
            sum += if i == 0 { 0.0 } else { value - 1.0 };
            density[start + i] = value as f32;
            excess[start + i] = sum as f32;
        }
    }
}

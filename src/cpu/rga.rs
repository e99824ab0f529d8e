//! RGA at inference, batch norm folded into the weights (`src/model/rga.rs`).

use std::ops::Range;

use super::CpuError;
use super::kernels::convolution;
use super::kernels::matmul::{Matrix, Store, matmul};
use super::together::Together;
use super::weights::Linear;

/// The gates of one place: of positions, of channels, or both.
pub(super) struct Gates(pub Vec<Part>);

/// RGA-S or RGA-C.
pub(super) struct Part {
    /// Nodes are channels and features positions, not the other way round.
    pub channels: bool,
    pub theta: Linear,
    pub phi: Linear,
    pub unary: Linear,
    pub relation: Linear,
    pub w1: Linear,
    pub w2: Linear,
}

/// Values of a band of relations, two megabytes: of a large map all of them would be hundreds.
const BAND: usize = 512 << 10;

impl Gates {
    /// Multiplies `map` `[positions, channels]`, which every thread has as a whole, by its gates, one part after the other; adds
    /// spatial gates to `spatial`. Each thread computes some nodes' gates.
    pub(super) fn apply(
        &self,
        map: &mut [f32],
        channels: usize,
        together: &mut Together<'_>,
        spatial: &mut Vec<f32>,
    ) -> Result<(), CpuError> {
        let positions = map.len() / channels;
        for part in &self.0 {
            let nodes = if part.channels { channels } else { positions };
            let own = together.share(nodes);
            let mut gates = vec![0.0; nodes];
            if part.channels {
                part.gates(&turned(map, channels), nodes, own.clone(), &mut gates[own.clone()]);
            } else {
                part.gates(map, nodes, own.clone(), &mut gates[own.clone()]);
            }
            together.trade(&mut gates, &own, 0..nodes)?;
            let rows = map.chunks_exact_mut(channels);
            if part.channels {
                rows.for_each(|row| row.iter_mut().zip(&gates).for_each(|(value, gate)| *value *= gate));
            } else {
                rows.zip(&gates).for_each(|(row, gate)| row.iter_mut().for_each(|value| *value *= gate));
                spatial.extend(gates);
            }
        }
        Ok(())
    }
}

impl Part {
    /// The gates of the nodes `own` among nodes `x` `[nodes, features]`.
    fn gates(&self, x: &[f32], nodes: usize, own: Range<usize>, gates: &mut [f32]) {
        let (features, embedded) = (x.len() / nodes, self.theta.bias.len());
        let [theta, phi] = [&self.theta, &self.phi].map(|layer| relu(layer.of(x, nodes)));
        let matrix = |values, rows| Matrix::new(values, rows, embedded, embedded);
        let band = (BAND / (2 * nodes)).max(64);
        let mut related = Vec::new();
        for (first, gates) in own.step_by(band).zip(gates.chunks_mut(band)) {
            let count = gates.len();
            let rows = first * embedded..(first + count) * embedded;
            let unary = relu(self.unary.of(&x[first * features..][..count * features], count));
            // Row i holds r_i1 ... r_iN, then r_1i ... r_Ni.
            related.resize(2 * nodes * count, 0.0);
            let (these, all) = (matrix(&theta[rows.clone()], count), matrix(&phi, nodes).transposed());
            matmul(&mut related, 2 * nodes, Store::Set, 1.0, these, all);
            let (these, all) = (matrix(&phi[rows], count), matrix(&theta, nodes).transposed());
            matmul(&mut related[nodes..], 2 * nodes, Store::Set, 1.0, these, all);
            let relation = relu(self.relation.of(&related, count));
            let rows = unary.chunks_exact(embedded).zip(relation.chunks_exact(self.relation.bias.len()));
            let mut y = Vec::with_capacity(count + relation.len());
            for (unary, relation) in rows {
                y.push(unary.iter().sum::<f32>() / embedded as f32);
                y.extend_from_slice(relation);
            }
            let hidden = relu(self.w1.of(&y, count));
            let open = self.w2.of(&hidden, count).into_iter().map(|z| 1.0 / (1.0 + (-z).exp()));
            gates.iter_mut().zip(open).for_each(|(gate, open)| *gate = open);
        }
    }
}

fn relu(mut values: Vec<f32>) -> Vec<f32> {
    convolution::relu(&mut values);
    values
}

/// `[rows, columns]` as `[columns, rows]`.
fn turned(map: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| map.iter().skip(column).step_by(columns).copied()).collect()
}

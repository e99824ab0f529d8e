//! RGA at inference, batch norm folded into the weights (`src/model/rga.rs`).

use super::kernels::matmul::{Matrix, Store, matmul};
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

impl Gates {
    /// Multiplies `map` `[positions, channels]` by its gates, one part after the other; adds spatial gates to `spatial`.
    pub(super) fn apply(&self, map: &mut [f32], channels: usize, spatial: &mut Vec<f32>) {
        let positions = map.len() / channels;
        for part in &self.0 {
            if part.channels {
                let gates = part.gates(&turned(map, channels), channels);
                let rows = map.chunks_exact_mut(channels);
                rows.for_each(|row| row.iter_mut().zip(&gates).for_each(|(value, gate)| *value *= gate));
            } else {
                let gates = part.gates(map, positions);
                let rows = map.chunks_exact_mut(channels).zip(&gates);
                rows.for_each(|(row, gate)| row.iter_mut().for_each(|value| *value *= gate));
                spatial.extend(gates);
            }
        }
    }
}

impl Part {
    /// The gates `[nodes]` of nodes `x` `[nodes, features]`.
    fn gates(&self, x: &[f32], nodes: usize) -> Vec<f32> {
        let [theta, phi, unary] = [&self.theta, &self.phi, &self.unary].map(|layer| relu(layer.of(x, nodes)));
        let embedded = self.theta.bias.len();
        // Row i holds r_i1 ... r_iN, then r_1i ... r_Ni.
        let mut related = vec![0.0; 2 * nodes * nodes];
        let matrix = |values| Matrix::new(values, nodes, embedded, embedded);
        matmul(&mut related, 2 * nodes, Store::Set, 1.0, matrix(&theta), matrix(&phi).transposed());
        matmul(&mut related[nodes..], 2 * nodes, Store::Set, 1.0, matrix(&phi), matrix(&theta).transposed());
        let relation = relu(self.relation.of(&related, nodes));
        let rows = unary.chunks_exact(embedded).zip(relation.chunks_exact(self.relation.bias.len()));
        let mut y = Vec::with_capacity(nodes + relation.len());
        for (unary, relation) in rows {
            y.push(unary.iter().sum::<f32>() / embedded as f32);
            y.extend_from_slice(relation);
        }
        let hidden = relu(self.w1.of(&y, nodes));
        self.w2.of(&hidden, nodes).into_iter().map(|z| 1.0 / (1.0 + (-z).exp())).collect()
    }
}

fn relu(mut values: Vec<f32>) -> Vec<f32> {
    values.iter_mut().for_each(|value| *value = value.max(0.0));
    values
}

/// `[rows, columns]` as `[columns, rows]`.
fn turned(map: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| map.iter().skip(column).step_by(columns).copied()).collect()
}

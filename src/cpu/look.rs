//! Looking into a photo that was classified: the hooks between layers.
//!
//! What is kept is the residual stream before each block, a third of what queries, keys and values would take. A look makes
//! one norm and one product of it, and at most one head's map of one layer exists at a time.

use super::forward::normed;
use super::kernels::attention::{Place, Scratch, apart};
use super::kernels::matmul::{Matrix, Store, matmul};
use super::weights::{Block, Glca, Linear, Norm};
use super::{Cpu, CpuError};
use crate::answer::Answer;
use crate::architecture::Architecture;
use crate::look::{
    Difference, LookError, check_attention, check_classes, check_layer, check_token, gate_places, glca_row, masked,
};
use crate::select::select;

/// A photo that was classified ([`Cpu::see`]). Its methods take the network that classified it.
pub struct Seen {
    /// The network's, with the R of `answer`.
    architecture: Architecture,
    answer: Answer,
    /// Tokens before each block and after the last, `[T, D]` each.
    inputs: Vec<Vec<f32>>,
    /// RGA's spatial gates, `[places, N]`.
    gates: Vec<f32>,
    /// The masks of Attend and Rectify, `[modules, K, N]`.
    masks: Vec<f32>,
    glca: Option<GlcaSeen>,
}

/// What GLCA read and made.
pub(super) struct GlcaSeen {
    /// Keys and values of all tokens, `[T, 2 D]`.
    pub kv: Vec<f32>,
    /// The block's result for the class token, `[D]`.
    pub class: Vec<f32>,
}

impl Seen {
    pub(super) fn new(
        architecture: Architecture,
        answer: Answer,
        inputs: Vec<Vec<f32>>,
        [gates, masks]: [Vec<f32>; 2],
        glca: Option<GlcaSeen>,
    ) -> Self {
        Self { architecture, answer, inputs, gates, masks, glca }
    }

    /// What the network says of it.
    pub fn answer(&self) -> &Answer {
        &self.answer
    }

    /// The attention of token `query` over all tokens in block `layer`, each head by itself: `[heads, N + 1]`, each row
    /// sums to 1. Token 0 is the class token.
    ///
    /// # Errors
    /// [`CpuError::Look`] for a layer or token that is not there.
    pub fn attention(&self, network: &Cpu, layer: usize, query: usize) -> Result<Vec<f32>, CpuError> {
        check_layer(&self.architecture, layer)?;
        check_token(&self.architecture, query)?;
        let block = &network.transformer()?.blocks[layer];
        let (queries, kv) = self.queries_and_rest(block, layer, query);
        Ok(self.rows(&queries, &kv))
    }

    /// The same in every block: `[depth, heads, N + 1]`.
    ///
    /// # Errors
    /// As [`Seen::attention`].
    pub fn attention_of_layers(&self, network: &Cpu, query: usize) -> Result<Vec<f32>, CpuError> {
        let mut all = Vec::new();
        for layer in 0..self.architecture.depth {
            all.extend(self.attention(network, layer, query)?);
        }
        Ok(all)
    }

    /// RGA's spatial gates, from 0 to 1, of each place that has them: `[places, N]`. Of a residual network each place has the `N` of
    /// the map there.
    ///
    /// # Errors
    /// [`CpuError::Look`] for a network without them.
    pub fn gates(&self) -> Result<&[f32], CpuError> {
        gate_places(&self.architecture)?;
        Ok(&self.gates)
    }

    /// Where each head of each module of Attend and Rectify looks, `[modules, K, N]`; each head's mask sums to 1. Of a residual
    /// network each module has the `N` of the map there.
    ///
    /// # Errors
    /// [`CpuError::Look`] for a network without them.
    pub fn masks(&self) -> Result<&[f32], CpuError> {
        masked(&self.architecture)?;
        Ok(&self.masks)
    }

    /// GLCA's attention of token `query`, the class token (0) or a local query, over all tokens: `[heads, N + 1]`.
    ///
    /// # Errors
    /// [`CpuError::Look`] without GLCA, or for a token that was not selected.
    pub fn glca_attention(&self, network: &Cpu, query: usize) -> Result<Vec<f32>, CpuError> {
        glca_row(&self.architecture, &self.answer, query)?;
        let (glca, seen) = network.transformer()?.glca.as_ref().zip(self.glca.as_ref()).ok_or(LookError::NoGlca)?;
        Ok(self.glca_rows(glca, seen, query))
    }

    /// Rollout from the class token's row after block `layer` down to the photo, `[N + 1]`; sums to 1.
    ///
    /// # Errors
    /// [`CpuError::Look`] for a layer that is not there.
    pub fn rollout(&self, network: &Cpu, layer: usize) -> Result<Vec<f32>, CpuError> {
        check_layer(&self.architecture, layer)?;
        let weights = network.transformer()?;
        let Architecture { dim, heads, .. } = self.architecture;
        let tokens = self.architecture.tokens();
        let (mut scratch, mut lse, mut mixed) = (Scratch::default(), vec![0.0; tokens], vec![0.0; tokens * dim]);
        let mut row = vec![0.0; tokens];
        row[0] = 1.0;
        for (block, x) in weights.blocks[..=layer].iter().zip(&self.inputs).rev() {
            let normed = self.normed(x, &block.norm1);
            let (queries, kv) = (block.q.of(&normed, tokens), block.kv.of(&normed, tokens));
            let mut next: Vec<f32> = row.iter().map(|r| 0.5 * r).collect();
            for head in 0..heads {
                let (head, out) = apart(Place { image: 0, head, heads }, [tokens, tokens, dim]);
                let map = head.forward(&queries, &kv, (&mut mixed, out), &mut lse, &mut scratch);
                let (row, map) = (Matrix::new(&row, 1, tokens, tokens), Matrix::new(map, tokens, tokens, tokens));
                matmul(&mut next, tokens, Store::Add, 0.5 / heads as f32, row, map);
            }
            row = next;
        }
        Ok(row)
    }

    /// The answer with another share `ratio` of local queries, in (0, 1]: only what depends on it runs, and that is the
    /// selection. Later looks see this answer's local queries. The logits are those of any other R: GLCA is one block, in
    /// which the class token reads all tokens and no other query.
    ///
    /// # Errors
    /// [`CpuError::Look`] without GLCA or for a ratio outside (0, 1].
    pub fn with_ratio(&mut self, ratio: f64) -> Result<&Answer, CpuError> {
        self.architecture = self.architecture.with_ratio(ratio)?;
        self.answer.selected = select(&self.answer.rollout, self.architecture.selected());
        Ok(&self.answer)
    }

    /// What set class `classes[0]` apart from class `classes[1]`.
    ///
    /// # Errors
    /// [`CpuError::Look`] for a class that is not there.
    pub fn difference(&self, network: &Cpu, classes: [usize; 2]) -> Result<Difference, CpuError> {
        check_attention(&self.architecture)?;
        check_classes(&self.architecture, classes)?;
        let weights = network.transformer()?;
        let dim = self.architecture.dim;
        let Some(last) = self.inputs.last() else { return Err(LookError::NoPhoto.into()) };
        let sa = self.direction(&last[..dim], &weights.norm, &weights.head, classes);
        let glca = weights.glca.as_ref().zip(self.glca.as_ref());
        let glca = glca.map(|(glca, seen)| (glca, seen, self.direction(&seen.class, &glca.norm, &glca.head, classes)));
        let tokens = self.architecture.tokens();
        let mut sum_sa = vec![0.0; tokens];
        let mut sum_glca = vec![0.0; if glca.is_some() { tokens } else { 0 }];
        for (layer, block) in weights.blocks.iter().enumerate() {
            let (queries, kv) = self.queries_and_rest(block, layer, 0);
            let map = self.rows(&queries, &kv);
            self.add_contributions(&map, &kv, &block.proj.weight.pull_back(&sa), &mut sum_sa);
            if let Some((_, _, direction)) = &glca {
                self.add_contributions(&map, &kv, &block.proj.weight.pull_back(direction), &mut sum_glca);
            }
        }
        if let Some((glca, seen, direction)) = &glca {
            let map = self.glca_rows(glca, seen, 0);
            self.add_contributions(&map, &seen.kv, &glca.block.proj.weight.pull_back(direction), &mut sum_glca);
        }
        Ok(Difference { sa: sum_sa, glca: sum_glca })
    }

    /// The queries of one token `[D]`, and keys and values of all `[T, 2 D]`, of block `layer`.
    fn queries_and_rest(&self, block: &Block, layer: usize, query: usize) -> (Vec<f32>, Vec<f32>) {
        let dim = self.architecture.dim;
        let normed = self.normed(&self.inputs[layer], &block.norm1);
        (block.q.of(&normed[query * dim..][..dim], 1), block.kv.of(&normed, self.architecture.tokens()))
    }

    /// GLCA's attention of token `query` of those after the last block, `[heads, T]`.
    fn glca_rows(&self, glca: &Glca, seen: &GlcaSeen, query: usize) -> Vec<f32> {
        let dim = self.architecture.dim;
        let token = &self.inputs[self.architecture.depth][query * dim..][..dim];
        self.rows(&glca.block.q.of(&self.normed(token, &glca.block.norm1), 1), &seen.kv)
    }

    fn normed(&self, x: &[f32], norm: &Norm) -> Vec<f32> {
        normed(x, norm, self.architecture.layer_norm_eps)
    }

    /// One query `[D]` over keys and values `[T, 2 D]`: `[heads, T]`.
    fn rows(&self, queries: &[f32], kv: &[f32]) -> Vec<f32> {
        let (tokens, dim, heads) = (self.architecture.tokens(), self.architecture.dim, self.architecture.heads);
        let (mut scratch, mut mixed, mut rows) = (Scratch::default(), vec![0.0; dim], Vec::new());
        for head in 0..heads {
            let (head, out) = apart(Place { image: 0, head, heads }, [1, tokens, dim]);
            rows.extend_from_slice(head.forward(queries, kv, (&mut mixed, out), &mut [0.0], &mut scratch));
        }
        rows
    }

    /// `g` of [`Difference`], `[D]`: `class` is the class token before `norm`, `[D]`.
    fn direction(&self, class: &[f32], norm: &Norm, head: &Linear, [first, second]: [usize; 2]) -> Vec<f32> {
        let dim = self.architecture.dim;
        let mean_of = |values: &[f32]| values.iter().sum::<f32>() / dim as f32;
        let mean = mean_of(class);
        let variance = class.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / dim as f32;
        let scale = 1.0 / (variance + self.architecture.layer_norm_eps).sqrt();
        let weight = |d, class| head.weight.value(d, class);
        let c: Vec<f32> =
            norm.gamma.iter().enumerate().map(|(d, gamma)| gamma * (weight(d, first) - weight(d, second))).collect();
        let centre = mean_of(&c);
        c.iter().map(|c| (c - centre) * scale).collect()
    }

    /// Adds what each token gives along `direction` `[D]` through a row of attention `map` `[heads, T]` to `sum` `[T]`.
    fn add_contributions(&self, map: &[f32], kv: &[f32], direction: &[f32], sum: &mut [f32]) {
        let (tokens, dim, width) = (self.architecture.tokens(), self.architecture.dim, self.architecture.head_dim());
        for (token, sum) in sum.iter_mut().enumerate() {
            let values = &kv[token * 2 * dim + dim..][..dim];
            let heads =
                values.chunks_exact(width).zip(direction.chunks_exact(width)).zip(map[token..].iter().step_by(tokens));
            *sum +=
                heads.map(|((v, g), weight)| weight * v.iter().zip(g).map(|(v, g)| v * g).sum::<f32>()).sum::<f32>();
        }
    }
}

//! One photo's way through the network (DCAL paper, section 3; inference, so without PWCA).

use std::ops::Range;

use super::kernels::attention::{Place, Scratch, apart, packed};
use super::kernels::matmul::{Matrix, Store, matmul};
use super::kernels::{gelu, layer_norm};
use super::weights::{Block, Glca, Linear, Norm, Weights};
use crate::architecture::Architecture;
use crate::select::select;

/// Sees each intermediate result: its name in a trace file, its shape without the batch, its values.
pub(super) type Observe<'a> = &'a mut dyn FnMut(&str, &[usize], &[f32]);

/// The buffers of one photo's way; `T = N + 1` tokens of width `D`.
pub(super) struct Pass<'a> {
    architecture: &'a Architecture,
    weights: &'a Weights,
    /// Tokens, `[T, D]`.
    x: Vec<f32>,
    /// Tokens after a norm, `[T, D]`.
    normed: Vec<f32>,
    /// Queries, keys, values, `[T, 3 D]`.
    qkv: Vec<f32>,
    /// Mixed values, `[T, D]`.
    mixed: Vec<f32>,
    /// The MLP's hidden layer, `[T, mlp_ratio D]`.
    hidden: Vec<f32>,
    /// Head-averaged map of each block, `[T, T]`.
    maps: Vec<Vec<f32>>,
    /// Log-sum-exp of a head's rows, `[T]`: the backward pass of training needs it, inference does not.
    lse: Vec<f32>,
    scratch: Scratch,
    /// Tokens before each block, `[T, D]`, where someone is going to look into them.
    inputs: Option<Vec<Vec<f32>>>,
}

/// What GLCA makes of every token, whichever of them are selected.
pub(super) struct Global {
    /// Tokens of the last block, `[T, D]`.
    pub tokens: Vec<f32>,
    /// The same after GLCA's first norm, `[T, D]`.
    normed: Vec<f32>,
    /// Keys and values, `[T, 2 D]`.
    pub kv: Vec<f32>,
}

/// What GLCA makes of the selected tokens.
pub(super) struct Local {
    /// Token indices, highest rollout first, `[k]`.
    pub selected: Vec<u32>,
    /// Queries of the class token and the selected ones, `[1 + k, D]`.
    pub queries: Vec<f32>,
    /// The block's result for the class token, `[D]`.
    pub class: Vec<f32>,
    /// `[classes]`
    pub logits: Vec<f32>,
}

impl<'a> Pass<'a> {
    pub(super) fn new(architecture: &'a Architecture, weights: &'a Weights) -> Self {
        let (tokens, dim) = (architecture.tokens(), architecture.dim);
        let zeros = |count: usize| vec![0.0; count];
        Self {
            architecture,
            weights,
            x: zeros(tokens * dim),
            normed: zeros(tokens * dim),
            qkv: zeros(tokens * 3 * dim),
            mixed: zeros(tokens * dim),
            hidden: zeros(tokens * architecture.hidden()),
            maps: Vec::with_capacity(architecture.depth),
            lse: zeros(tokens),
            scratch: Scratch::default(),
            inputs: None,
        }
    }

    /// Also keeps the tokens before each block, for [`Pass::into_inputs`].
    pub(super) fn keeping_inputs(mut self) -> Self {
        self.inputs = Some(Vec::with_capacity(self.architecture.depth));
        self
    }

    /// Tokens before each block, `[T, D]`, and those after the last one; nothing unless they were kept.
    pub(super) fn into_inputs(self) -> Vec<Vec<f32>> {
        let Some(mut inputs) = self.inputs else { return Vec::new() };
        inputs.push(self.x);
        inputs
    }

    /// Patch embedding and every block: `image` `[3, H, W]` to the tokens and the maps.
    pub(super) fn backbone(&mut self, image: &[f32], observe: Observe<'_>) {
        let (tokens, dim, weights) = (self.architecture.tokens(), self.architecture.dim, self.weights);
        self.embed(image);
        observe("out.embed", &[tokens, dim], &self.x);
        for (i, block) in weights.blocks.iter().enumerate() {
            if let Some(inputs) = &mut self.inputs {
                inputs.push(self.x.clone());
            }
            self.norm(&block.norm1);
            linear(&self.normed, &block.qkv, &mut self.qkv);
            self.self_attention();
            add_linear(&self.mixed, &block.proj, &mut self.x);
            self.norm(&block.norm2);
            feed_forward(&self.normed, block, &mut self.hidden, &mut self.x);
            observe(&format!("out.block.{i}"), &[tokens, dim], &self.x);
            observe(&format!("out.attn_mean.{i}"), &[tokens, tokens], &self.maps[i]);
        }
    }

    /// Logits `[classes]` of the SA branch.
    pub(super) fn classify(&self, observe: Observe<'_>) -> Vec<f32> {
        let feature = self.class_feature(&self.x, &self.weights.norm);
        observe("out.feature.sa", &[feature.len()], &feature);
        logits(&feature, &self.weights.head)
    }

    /// The class token's row of the rollout, `[T]`: `r = e_0; for l = L..1: r = 0.5 r + 0.5 r S_l` (equations 2, 3).
    pub(super) fn rollout(&self) -> Vec<f32> {
        let tokens = self.architecture.tokens();
        let mut row = vec![0.0; tokens];
        row[0] = 1.0;
        for map in self.maps.iter().rev() {
            let mut next: Vec<f32> = row.iter().map(|r| 0.5 * r).collect();
            let (row_matrix, map) = (Matrix::new(&row, 1, tokens, tokens), Matrix::new(map, tokens, tokens, tokens));
            matmul(&mut next, tokens, Store::Add, 0.5, row_matrix, map);
            row = next;
        }
        row
    }

    /// What does not depend on the selection, where the network has GLCA.
    pub(super) fn global(&mut self) -> Option<Global> {
        let glca = self.weights.glca.as_ref()?;
        let dim = self.architecture.dim;
        self.norm(&glca.block.norm1);
        let kv = part_of_qkv(&self.normed, &glca.block.qkv, dim, dim..3 * dim);
        Some(Global { tokens: self.x.clone(), normed: self.normed.clone(), kv })
    }

    /// The image's patches as rows, times the patch embedding, plus the positions; the class token first.
    fn embed(&mut self, image: &[f32]) {
        let (patch, dim) = (self.architecture.patch_size, self.architecture.dim);
        let ([height, width], [rows, columns]) = (self.architecture.image_size, self.architecture.grid());
        let inputs = 3 * patch * patch;
        let mut patches = Vec::with_capacity(rows * columns * inputs);
        for place in 0..rows * columns {
            let (top, left) = (place / columns * patch, place % columns * patch);
            for line in 0..3 * patch {
                let (channel, y) = (line / patch, top + line % patch);
                patches.extend_from_slice(&image[(channel * height + y) * width + left..][..patch]);
            }
        }
        let (class, rest) = self.x.split_at_mut(dim);
        class.copy_from_slice(&self.weights.class);
        rest.copy_from_slice(&self.weights.positions);
        let (patches, weights) = (
            Matrix::new(&patches, rows * columns, inputs, inputs),
            Matrix::new(&self.weights.patches, inputs, dim, dim),
        );
        matmul(rest, dim, Store::Add, 1.0, patches, weights);
    }

    fn self_attention(&mut self) {
        let (tokens, dim, heads) = (self.architecture.tokens(), self.architecture.dim, self.architecture.heads);
        let share = 1.0 / heads as f32;
        let mut mean = vec![0.0; tokens * tokens];
        for head in 0..heads {
            let (head, out) = packed(Place { image: 0, head, heads }, [tokens, dim], None);
            let map = head.forward(&self.qkv, &self.qkv, (&mut self.mixed, out), &mut self.lse, &mut self.scratch);
            mean.iter_mut().zip(map).for_each(|(mean, p)| *mean += share * p);
        }
        self.maps.push(mean);
    }

    /// `normed` becomes the norm of the tokens.
    fn norm(&mut self, norm: &Norm) {
        let epsilon = self.architecture.layer_norm_eps;
        layer_norm::forward(&self.x, &norm.gamma, &norm.beta, epsilon, &mut self.normed, |_| {});
    }

    /// The class token of `x` `[.., D]` after `norm`, `[D]`.
    fn class_feature(&self, x: &[f32], norm: &Norm) -> Vec<f32> {
        normed(&x[..self.architecture.dim], norm, self.architecture.layer_norm_eps)
    }
}

/// The local queries' second look (equation 4): the tokens with the highest `rollout` `[T]` over all tokens. How many
/// they are, the R of `architecture` says.
pub(super) fn glca(
    architecture: &Architecture,
    glca: &Glca,
    global: &Global,
    rollout: &[f32],
    observe: Observe<'_>,
) -> Local {
    let (tokens, dim, heads, eps) =
        (architecture.tokens(), architecture.dim, architecture.heads, architecture.layer_norm_eps);
    let selected = select(rollout, architecture.selected());
    let count = 1 + selected.len();
    let gather = |from: &[f32]| -> Vec<f32> {
        let rows = std::iter::once(0).chain(selected.iter().map(|&token| token as usize));
        rows.flat_map(|token| from[token * dim..][..dim].iter().copied()).collect()
    };
    // The first third of `qkv` makes the queries of the selected tokens, the rest the keys and values of all.
    let queries = part_of_qkv(&gather(&global.normed), &glca.block.qkv, dim, 0..dim);
    let (mut scratch, mut lse) = (Scratch::default(), vec![0.0; count]);
    let mut mixed = vec![0.0; count * dim];
    let mut maps = Vec::with_capacity(heads * count * tokens);
    for head in 0..heads {
        let (head, out) = apart(Place { image: 0, head, heads }, [count, tokens, dim]);
        let map = head.forward(&queries, &global.kv, (&mut mixed, out), &mut lse, &mut scratch);
        maps.extend_from_slice(map);
    }
    observe("out.glca.attn", &[heads, count, tokens], &maps);
    drop(maps);
    let mut local = gather(&global.tokens);
    add_linear(&mixed, &glca.block.proj, &mut local);
    let mut hidden = vec![0.0; count * architecture.hidden()];
    feed_forward(&normed(&local, &glca.block.norm2, eps), &glca.block, &mut hidden, &mut local);
    observe("out.glca.tokens", &[count, dim], &local);
    local.truncate(dim);
    let feature = normed(&local, &glca.norm, eps);
    observe("out.feature.glca", &[dim], &feature);
    let logits = logits(&feature, &glca.head);
    Local { selected, queries, class: local, logits }
}

/// `norm` of each row of `x` `[rows, D]`.
pub(super) fn normed(x: &[f32], norm: &Norm, epsilon: f32) -> Vec<f32> {
    let mut y = vec![0.0; x.len()];
    layer_norm::forward(x, &norm.gamma, &norm.beta, epsilon, &mut y, |_| {});
    y
}

/// The outputs `part` of a layer `D -> 3 D` (queries, keys, values) for `x` `[rows, D]`: `[rows, part]`.
pub(super) fn part_of_qkv(x: &[f32], qkv: &Linear, dim: usize, part: Range<usize>) -> Vec<f32> {
    let (rows, width) = (x.len() / dim, part.len());
    let mut y = repeated(&qkv.bias[part.clone()], rows);
    let columns = Matrix::new(&qkv.weight[part.start..], dim, width, 3 * dim);
    matmul(&mut y, width, Store::Add, 1.0, Matrix::new(x, rows, dim, dim), columns);
    y
}

/// `x += MLP(normed)`, both `[rows, D]`; `hidden` is room for at least `[rows, mlp_ratio D]`.
fn feed_forward(normed: &[f32], block: &Block, hidden: &mut [f32], x: &mut [f32]) {
    let rows = x.len() / block.fc2.bias.len();
    let hidden = &mut hidden[..rows * block.fc1.bias.len()];
    linear(normed, &block.fc1, hidden);
    gelu::forward(hidden);
    add_linear(hidden, &block.fc2, x);
}

/// `y = x W + b`, `[rows, in]` to `[rows, out]`.
fn linear(x: &[f32], layer: &Linear, y: &mut [f32]) {
    y.chunks_exact_mut(layer.bias.len()).for_each(|row| row.copy_from_slice(&layer.bias));
    add_product(x, layer, y);
}

/// `y += x W + b`: the residual connection is the product's own addition.
fn add_linear(x: &[f32], layer: &Linear, y: &mut [f32]) {
    for row in y.chunks_exact_mut(layer.bias.len()) {
        row.iter_mut().zip(&layer.bias).for_each(|(y, b)| *y += b);
    }
    add_product(x, layer, y);
}

fn add_product(x: &[f32], layer: &Linear, y: &mut [f32]) {
    let outputs = layer.bias.len();
    let (rows, inputs) = (y.len() / outputs, layer.weight.len() / outputs);
    let weight = Matrix::new(&layer.weight, inputs, outputs, outputs);
    matmul(y, outputs, Store::Add, 1.0, Matrix::new(x, rows, inputs, inputs), weight);
}

/// Logits `[classes]` of a feature `[D]`.
fn logits(feature: &[f32], head: &Linear) -> Vec<f32> {
    let mut logits = head.bias.clone();
    add_product(feature, head, &mut logits);
    logits
}

fn repeated(row: &[f32], count: usize) -> Vec<f32> {
    row.iter().copied().cycle().take(count * row.len()).collect()
}

/// Softmax of logits `[classes]`; empty for none.
pub(super) fn softmax(logits: &[f32]) -> Vec<f32> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|z| (z - most).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.iter().map(|p| p / sum).collect()
}

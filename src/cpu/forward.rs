//! One photo's way through the network (DCAL paper, section 3; inference, so without PWCA).

use std::ops::Range;

use super::CpuError;
use super::kernels::attention::{Place, Scratch, apart};
use super::kernels::matmul::{Matrix, Store, matmul};
use super::kernels::{gelu, layer_norm};
use super::tasn;
use super::together::Together;
use super::weights::{Block, Linear, Norm, Weights};
use crate::architecture::Architecture;

/// Sees each intermediate result: its name in a trace file, its shape without the batch, its values.
pub(super) type Observe<'a> = &'a mut dyn FnMut(&str, &[usize], &[f32]);

/// The buffers of one photo's way; `T = N + 1` tokens of width `D`, of which `Q` are this thread's own.
pub(super) struct Pass<'a> {
    architecture: &'a Architecture,
    weights: &'a Weights,
    together: Together<'a>,
    /// The tokens whose rows are computed here.
    rows: Range<usize>,
    /// Tokens, `[Q, D]`.
    x: Vec<f32>,
    /// Tokens after a norm, `[Q, D]`.
    normed: Vec<f32>,
    /// Queries, `[Q, D]`.
    q: Vec<f32>,
    /// Keys and values of all tokens, `[T, 2 D]`.
    kv: Vec<f32>,
    /// Mixed values, `[Q, D]`.
    mixed: Vec<f32>,
    /// The MLP's hidden layer, `[Q, mlp_ratio D]`.
    hidden: Vec<f32>,
    /// Head-averaged map of each block, `[Q, T]`.
    maps: Vec<Vec<f32>>,
    /// Log-sum-exp of a head's rows, `[Q]`: the backward pass of training needs it, inference does not.
    lse: Vec<f32>,
    scratch: Scratch,
    /// Whether someone is going to look into the tokens.
    keep: bool,
    /// Tokens before each block, `[T, D]`, if so, on the first thread.
    inputs: Vec<Vec<f32>>,
    /// RGA's spatial gates, `[places, N]`.
    gates: Vec<f32>,
    /// Masks of the modules of Attend and Rectify, `[modules, K, N]`, on the first thread.
    masks: Vec<f32>,
    /// Their logits, `[classes]` each, on the first thread.
    votes: Vec<Vec<f32>>,
    /// Where the rows and columns of the photo come from that TASN resampled, `[H + W]`.
    sampling: Vec<f32>,
}

impl<'a> Pass<'a> {
    /// With `keep`, the tokens before each block are kept for [`Pass::into_inputs`].
    pub(super) fn new(
        architecture: &'a Architecture,
        weights: &'a Weights,
        together: Together<'a>,
        keep: bool,
    ) -> Self {
        let (tokens, dim) = (architecture.tokens(), architecture.dim);
        let rows = together.share(tokens);
        let count = rows.len();
        let zeros = |count: usize| vec![0.0; count];
        Self {
            architecture,
            weights,
            together,
            rows,
            x: zeros(count * dim),
            normed: zeros(count * dim),
            q: zeros(count * dim),
            kv: zeros(tokens * 2 * dim),
            mixed: zeros(count * dim),
            hidden: zeros(count * architecture.hidden()),
            maps: Vec::with_capacity(architecture.depth),
            lse: zeros(count),
            scratch: Scratch::default(),
            keep,
            inputs: Vec::new(),
            gates: Vec::new(),
            masks: Vec::new(),
            votes: Vec::new(),
            sampling: Vec::new(),
        }
    }

    /// Tokens before each block, `[T, D]`, and those after the last one, nothing unless they were kept; RGA's spatial gates,
    /// `[places, N]`; the masks of Attend and Rectify, `[modules, K, N]`.
    pub(super) fn into_seen(self) -> (Vec<Vec<f32>>, Vec<f32>, Vec<f32>) {
        (self.inputs, self.gates, self.masks)
    }

    /// The class token and those of `local`, which are own ones: `[1 + local, D]`.
    pub(super) fn tokens(&self, local: &[u32]) -> Vec<f32> {
        let dim = self.architecture.dim;
        let rows = std::iter::once(0).chain(local.iter().map(|&token| token as usize));
        rows.flat_map(|token| self.x[token * dim..][..dim].iter().copied()).collect()
    }

    /// Patch embedding and every block: `image` `[3, H, W]`, resampled first where there is TASN, to the tokens and the maps.
    pub(super) fn backbone(&mut self, image: &[f32], observe: Observe<'_>) -> Result<(), CpuError> {
        let resampled = self.resampled(image)?;
        self.blocks(resampled.as_deref().unwrap_or(image), observe, &mut |_, _| false).map(drop)
    }

    /// Where the rows and columns of the resampled photo come from, rows first, `[H + W]`; nothing without TASN.
    pub(super) fn sampling(&self) -> Vec<f32> {
        self.sampling.clone()
    }

    /// The photo `[3, zoom H, zoom W]` as TASN's attention net resamples it, `[3, H, W]`. Of that net each thread computes some
    /// tokens' rows; what follows, a hundredth of the work, each does by itself.
    fn resampled(&mut self, photo: &[f32]) -> Result<Option<Vec<f32>>, CpuError> {
        let architecture = self.architecture;
        let Some((settings, norm)) = architecture.tasn().zip(self.weights.tasn.as_ref()) else { return Ok(None) };
        let size @ [rows, columns] = architecture.image_size;
        // Looks are into the pass that answers.
        let keep = std::mem::replace(&mut self.keep, false);
        let small = tasn::shrink(photo, columns, settings.zoom);
        self.blocks(&small, &mut |_, _, _| {}, &mut |count, _| count == settings.after)?;
        self.keep = keep;
        self.maps.clear();
        let tokens = self.all_tokens(true)?;
        let (dim, input, sampler) = (architecture.dim, architecture.input_size(), settings.sampler(size));
        let mut map = normed(&tokens[dim..], norm, architecture.layer_norm_eps);
        map.iter_mut().for_each(|v| *v = v.max(0.0));
        let attention = tasn::attention(&map, dim, sampler.scale);
        self.sampling = tasn::coordinates(&attention, architecture.grid(), input, &sampler);
        Ok(Some(tasn::grid_sample(photo, input, &self.sampling, rows)))
    }

    /// Patch embedding and the blocks over what the transformer sees, until `enough` says so of the number of blocks and the votes that have come so far: how many blocks were
    /// computed.
    pub(super) fn blocks(
        &mut self,
        image: &[f32],
        observe: Observe<'_>,
        enough: &mut dyn FnMut(usize, &[Vec<f32>]) -> bool,
    ) -> Result<usize, CpuError> {
        let (tokens, dim, weights) = (self.architecture.tokens(), self.architecture.dim, self.weights);
        self.embed(image)?;
        observe("out.embed", &[tokens, dim], &self.x);
        for (i, block) in weights.blocks.iter().enumerate() {
            self.block(i, block, observe)?;
            if enough(i + 1, &self.votes) {
                return Ok(i + 1);
            }
        }
        Ok(weights.blocks.len())
    }

    /// Block `i` and what the mechanism has behind it.
    fn block(&mut self, i: usize, block: &Block, observe: Observe<'_>) -> Result<(), CpuError> {
        let (tokens, dim) = (self.architecture.tokens(), self.architecture.dim);
        self.norm(&block.norm1);
        block.q.apply(&self.normed, &mut self.q);
        self.keys_and_values(Some(&block.kv))?;
        self.self_attention();
        block.proj.add(&self.mixed, &mut self.x);
        self.norm(&block.norm2);
        feed_forward(&self.normed, block, &mut self.hidden, &mut self.x);
        self.rga(i, observe)?;
        self.rectify(i, observe)?;
        observe(&format!("out.block.{i}"), &[tokens, dim], &self.x);
        observe(&format!("out.attn_mean.{i}"), &[tokens, tokens], &self.maps[i]);
        Ok(())
    }

    /// What GLCA makes of all tokens, `[T, 2 D]`, and the end of the tokens' way: nothing without GLCA.
    pub(super) fn finish(&mut self) -> Result<Option<Vec<f32>>, CpuError> {
        let Some(glca) = &self.weights.glca else {
            self.keys_and_values(None)?;
            return Ok(None);
        };
        self.norm(&glca.block.norm1);
        self.keys_and_values(Some(&glca.block.kv))?;
        Ok(Some(std::mem::take(&mut self.kv)))
    }

    /// Logits `[classes]` of the SA branch and the votes of Attend and Rectify mixed, `[classes]` (empty without it), on the
    /// thread that has the class token.
    pub(super) fn classify(&mut self, observe: Observe<'_>) -> [Vec<f32>; 2] {
        let class = &self.x[..self.architecture.dim];
        let feature = normed(class, &self.weights.norm, self.architecture.layer_norm_eps);
        observe("out.feature.sa", &[feature.len()], &feature);
        let logits = self.weights.head.of(&feature, 1);
        let Some(rectify) = &self.weights.rectify else { return [logits, Vec::new()] };
        self.votes.push(logits.clone());
        [logits, rectify.mix(&self.votes, &feature)]
    }

    /// The class token's row of the rollout, `[T]`: `r = e_0; for l = L..1: r = 0.5 r + 0.5 r S_l` (equations 2, 3). Each
    /// thread has some rows of each `S_l`, and so a part of the sum over them.
    pub(super) fn rollout(&mut self) -> Result<Vec<f32>, CpuError> {
        let (tokens, [index, threads]) = (self.architecture.tokens(), self.together.place());
        let mut row = vec![0.0; tokens];
        row[0] = 1.0;
        let mut sums = vec![0.0; threads * tokens];
        for (layer, map) in self.maps.iter().enumerate().rev() {
            let own = index * tokens..(index + 1) * tokens;
            let sum = &mut sums[own.clone()];
            if self.rows.is_empty() {
                sum.fill(0.0);
            } else {
                let count = self.rows.len();
                let row = Matrix::new(&row[self.rows.clone()], 1, count, count);
                matmul(sum, tokens, Store::Set, 0.5, row, Matrix::new(map, count, tokens, tokens));
            }
            let slot = self.together.next_slot();
            self.together.give(slot + own.start, sum);
            self.together.meet()?;
            // The end of it is the first thread's business.
            if layer > 0 || index == 0 {
                self.together.take_others(slot, &mut sums, own);
            }
            row.iter_mut().for_each(|r| *r *= 0.5);
            for sum in sums.chunks_exact(tokens) {
                row.iter_mut().zip(sum).for_each(|(r, s)| *r += s);
            }
        }
        Ok(row)
    }

    /// The image's patches as rows, times the patch embedding, plus the positions; the class token first.
    fn embed(&mut self, image: &[f32]) -> Result<(), CpuError> {
        let (patch, dim) = (self.architecture.patch_size, self.architecture.dim);
        let ([height, width], [_, columns]) = (self.architecture.image_size, self.architecture.grid());
        let places = self.rows.start.max(1) - 1..self.rows.end.max(1) - 1;
        let mut patches = Vec::with_capacity(places.len() * 3 * patch * patch);
        if let Some(hybrid) = &self.weights.hybrid {
            let (map, channels) = hybrid.map(image, [height, width], &mut self.together)?;
            patches.extend_from_slice(&map[places.start * channels..places.end * channels]);
        }
        let cut = if self.weights.hybrid.is_some() { 0..0 } else { places.clone() };
        for place in cut {
            let (top, left) = (place / columns * patch, place % columns * patch);
            for line in 0..3 * patch {
                let (channel, y) = (line / patch, top + line % patch);
                patches.extend_from_slice(&image[(channel * height + y) * width + left..][..patch]);
            }
        }
        let (class, rest) = self.x.split_at_mut((self.rows.len() - places.len()) * dim);
        if !class.is_empty() {
            class.copy_from_slice(&self.weights.class);
        }
        rest.copy_from_slice(&self.weights.positions[places.start * dim..places.end * dim]);
        self.weights.patches.add(&patches, rest);
        Ok(())
    }

    /// Keys and values of all tokens, of which the own ones are made of `normed`; the first thread keeps all tokens where
    /// somebody is going to look into them.
    fn keys_and_values(&mut self, layer: Option<&Linear>) -> Result<(), CpuError> {
        let (tokens, dim) = (self.architecture.tokens(), self.architecture.dim);
        let of_rows = |width: usize| self.rows.start * width..self.rows.end * width;
        let (own, kv) = (of_rows(dim), of_rows(2 * dim));
        let slot = self.together.next_slot();
        let after = slot + tokens * 2 * dim;
        if let Some(layer) = layer {
            layer.apply(&self.normed, &mut self.kv[kv.clone()]);
            self.together.give(slot + kv.start, &self.kv[kv.clone()]);
        }
        if self.keep {
            self.together.give(after + own.start, &self.x);
        }
        self.together.meet()?;
        if layer.is_some() {
            self.together.take_others(slot, &mut self.kv, kv);
        }
        if self.keep && self.together.is_first() {
            let mut all = vec![0.0; tokens * dim];
            all[own.clone()].copy_from_slice(&self.x);
            self.together.take_others(after, &mut all, own);
            self.inputs.push(all);
        }
        Ok(())
    }

    /// RGA's gates behind block `index`, if there are any: from all patch tokens to this thread's own rows.
    fn rga(&mut self, index: usize, observe: Observe<'_>) -> Result<(), CpuError> {
        let Some(place) = self.architecture.rga().and_then(|rga| rga.behind(index)) else { return Ok(()) };
        let Some(gates) = self.weights.rga.get(place) else { return Ok(()) };
        let dim = self.architecture.dim;
        let own = self.rows.start * dim..self.rows.end * dim;
        let mut all = self.all_tokens(true)?;
        gates.apply(&mut all[dim..], dim, &mut self.together, &mut self.gates)?;
        self.x.copy_from_slice(&all[own]);
        let patches = self.architecture.patches();
        if let Some(gates) = self.gates.get(place * patches..).filter(|gates| !gates.is_empty()) {
            observe(&format!("out.gates.{place}"), &[patches], gates);
        }
        Ok(())
    }

    /// The module of Attend and Rectify behind block `index`, if there is one, on the first thread.
    fn rectify(&mut self, index: usize, observe: Observe<'_>) -> Result<(), CpuError> {
        let Some(rectify) = self.architecture.rectify() else { return Ok(()) };
        let Some(place) = rectify.behind(index) else { return Ok(()) };
        let Some(module) = self.weights.rectify.as_ref().and_then(|rectify| rectify.modules.get(place)) else {
            return Ok(());
        };
        let first = self.together.is_first();
        let all = self.all_tokens(first)?;
        if first {
            let (dim, epsilon) = (self.architecture.dim, self.architecture.layer_norm_eps);
            let found = module.hypothesis(&all[dim..], self.architecture.grid(), epsilon);
            observe(&format!("out.masks.{place}"), &[rectify.heads, self.architecture.patches()], &found.masks);
            observe(&format!("out.votes.{place}"), &[found.logits.len()], &found.logits);
            self.masks.extend(found.masks);
            self.votes.push(found.logits);
        }
        Ok(())
    }

    /// All tokens, `[T, D]`, of which the others' are filled in where they are `wanted`.
    fn all_tokens(&mut self, wanted: bool) -> Result<Vec<f32>, CpuError> {
        let (tokens, dim) = (self.architecture.tokens(), self.architecture.dim);
        let own = self.rows.start * dim..self.rows.end * dim;
        let slot = self.together.next_slot();
        self.together.give(slot + own.start, &self.x);
        self.together.meet()?;
        if !wanted {
            return Ok(Vec::new());
        }
        let mut all = vec![0.0; tokens * dim];
        all[own.clone()].copy_from_slice(&self.x);
        self.together.take_others(slot, &mut all, own);
        Ok(all)
    }

    fn self_attention(&mut self) {
        let (tokens, dim, heads) = (self.architecture.tokens(), self.architecture.dim, self.architecture.heads);
        let count = self.rows.len();
        let share = 1.0 / heads as f32;
        let mut mean = vec![0.0; count * tokens];
        for head in 0..if count > 0 { heads } else { 0 } {
            let (head, out) = apart(Place { image: 0, head, heads }, [count, tokens, dim]);
            let map = head.forward(&self.q, &self.kv, (&mut self.mixed, out), &mut self.lse, &mut self.scratch);
            mean.iter_mut().zip(map).for_each(|(mean, p)| *mean += share * p);
        }
        self.maps.push(mean);
    }

    /// `normed` becomes the norm of the tokens.
    fn norm(&mut self, norm: &Norm) {
        let epsilon = self.architecture.layer_norm_eps;
        layer_norm::forward(&self.x, &norm.gamma, &norm.beta, epsilon, &mut self.normed, |_| {});
    }
}

/// `norm` of each row of `x` `[rows, D]`.
pub(super) fn normed(x: &[f32], norm: &Norm, epsilon: f32) -> Vec<f32> {
    let mut y = vec![0.0; x.len()];
    layer_norm::forward(x, &norm.gamma, &norm.beta, epsilon, &mut y, |_| {});
    y
}

/// `x += MLP(normed)`, both `[rows, D]`; `hidden` is room for `[rows, mlp_ratio D]`.
pub(super) fn feed_forward(normed: &[f32], block: &Block, hidden: &mut [f32], x: &mut [f32]) {
    block.fc1.apply(normed, hidden);
    gelu::forward(hidden);
    block.fc2.add(hidden, x);
}

/// Softmax of logits `[classes]`; empty for none.
pub(super) fn softmax(logits: &[f32]) -> Vec<f32> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|z| (z - most).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.iter().map(|p| p / sum).collect()
}

//! Multi-head attention over one or two sources of keys and values, and its gradients (DCAL paper, equations 1, 4, 5).
//!
//! Scores exist for one image and one head at a time. The backward pass computes them again from each row's
//! log-sum-exp, as flash attention does (Dao et al., 2022), so that no map is kept.

use super::lanes::{exp, maximum, sum_of, vectorised};
use super::matmul::{Matrix, Store, matmul};

/// Where one image's rows of width `width` lie in a slice.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows {
    /// First value of the first row.
    pub start: usize,
    /// Rows.
    pub count: usize,
    /// From one row to the next.
    pub stride: usize,
}

/// One head of one image: its queries, and the sources of keys and values that they attend to.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    /// Width of a head.
    pub width: usize,
    /// Rows of `q`.
    pub queries: Rows,
    /// Rows of keys and of values in `kv`, one pair per source.
    pub sources: Vec<[Rows; 2]>,
}

/// Which image of a batch, which of its heads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub image: usize,
    pub head: usize,
    pub heads: usize,
}

/// A head whose queries, keys and values lie side by side in `qkv` `[B, T, 3 D]`, over its own image or over a pair, and
/// its rows of the result `[B, T, D]`.
#[cfg(feature = "model")]
pub(crate) fn packed(place: Place, [tokens, dim]: [usize; 2], partners: Option<&[usize]>) -> (Head, Rows) {
    let Place { image, head, heads } = place;
    let width = dim / heads;
    let rows = |image: usize, part: usize| Rows {
        start: image * tokens * 3 * dim + part * dim + head * width,
        count: tokens,
        stride: 3 * dim,
    };
    let source = |image| [rows(image, 1), rows(image, 2)];
    let sources = std::iter::once(image).chain(partners.map(|partners| partners[image])).map(source).collect();
    let out = Rows { start: image * tokens * dim + head * width, count: tokens, stride: dim };
    (Head { width, queries: rows(image, 0), sources }, out)
}

/// A head whose queries lie in `[B, Q, D]` and whose keys and values lie in `[B, T, 2 D]`, and its rows of the result
/// `[B, Q, D]`.
pub(crate) fn apart(place: Place, [count, tokens, dim]: [usize; 3]) -> (Head, Rows) {
    let Place { image, head, heads } = place;
    let width = dim / heads;
    let rows = |part: usize| Rows {
        start: image * tokens * 2 * dim + part * dim + head * width,
        count: tokens,
        stride: 2 * dim,
    };
    let queries = Rows { start: image * count * dim + head * width, count, stride: dim };
    (Head { width, queries, sources: vec![[rows(0), rows(1)]] }, queries)
}

/// Buffers that heads share one after the other.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    map: Vec<f32>,
    #[cfg(feature = "autodiff")]
    gradient: Vec<f32>,
}

impl Head {
    /// Scores of one query row: the tokens of all sources.
    fn tokens(&self) -> usize {
        self.sources.iter().map(|[keys, _]| keys.count).sum()
    }

    fn scale(&self) -> f32 {
        1.0 / (self.width as f32).sqrt()
    }

    /// Mixed values into the rows `out` of `mixed`, and each row's log-sum-exp into `lse` `[Q]`. Returns the map
    /// `[Q, T]`.
    pub(crate) fn forward<'s>(
        &self,
        q: &[f32],
        kv: &[f32],
        (mixed, out): (&mut [f32], Rows),
        lse: &mut [f32],
        scratch: &'s mut Scratch,
    ) -> &'s [f32] {
        let tokens = self.tokens();
        self.scores(q, kv, &mut scratch.map);
        vectorised(|| {
            for (row, lse) in scratch.map.chunks_exact_mut(tokens).zip(lse) {
                let most = maximum(row);
                row.iter_mut().for_each(|s| *s = exp(*s - most));
                let sum = sum_of(row, row, |a, _| a);
                *lse = most + sum.ln();
                let share = 1.0 / sum;
                row.iter_mut().for_each(|s| *s *= share);
            }
        });
        let mut first = 0;
        for &[_, values] in &self.sources {
            let store = if first == 0 { Store::Set } else { Store::Add };
            let map = Matrix::new(&scratch.map[first..], self.queries.count, values.count, tokens);
            matmul(&mut mixed[out.start..], out.stride, store, 1.0, map, self.matrix(kv, values));
            first += values.count;
        }
        &scratch.map
    }

    /// Adds the gradients of queries (`dq`, laid out as `q`) and of keys and values (`dkv`, as `kv`), given that of the
    /// mixed values: the rows `out` of `d_mixed`.
    #[cfg(feature = "autodiff")]
    pub(crate) fn backward(
        &self,
        q: &[f32],
        kv: &[f32],
        lse: &[f32],
        (d_mixed, out): (&[f32], Rows),
        mut gradients: Gradients<'_>,
        scratch: &mut Scratch,
    ) {
        let (tokens, count) = (self.tokens(), self.queries.count);
        self.scores(q, kv, &mut scratch.map);
        vectorised(|| {
            for (row, &lse) in scratch.map.chunks_exact_mut(tokens).zip(lse) {
                row.iter_mut().for_each(|s| *s = exp(*s - lse));
            }
        });
        let d_out = self.matrix(d_mixed, out);
        scratch.gradient.resize(count * tokens, 0.0);
        let mut first = 0;
        for &[_, values] in &self.sources {
            let map = Matrix::new(&scratch.map[first..], count, values.count, tokens);
            matmul(&mut gradients.kv()[values.start..], values.stride, Store::Add, 1.0, map.transposed(), d_out);
            let values_t = self.matrix(kv, values).transposed();
            matmul(&mut scratch.gradient[first..], tokens, Store::Set, 1.0, d_out, values_t);
            first += values.count;
        }
        // Through the softmax: dS = P (dP - sum(P dP)).
        vectorised(|| {
            let rows = scratch.map.chunks_exact(tokens).zip(scratch.gradient.chunks_exact_mut(tokens));
            for (map, gradient) in rows {
                let shift = sum_of(map, gradient, |a, b| a * b);
                for (g, &p) in gradient.iter_mut().zip(map) {
                    *g = p * (*g - shift);
                }
            }
        });
        let mut first = 0;
        for &[keys, _] in &self.sources {
            let d_scores = Matrix::new(&scratch.gradient[first..], count, keys.count, tokens);
            let (queries, scale) = (self.queries, self.scale());
            matmul(
                &mut gradients.q()[queries.start..],
                queries.stride,
                Store::Add,
                scale,
                d_scores,
                self.matrix(kv, keys),
            );
            let d_scores = d_scores.transposed();
            matmul(
                &mut gradients.kv()[keys.start..],
                keys.stride,
                Store::Add,
                scale,
                d_scores,
                self.matrix(q, queries),
            );
            first += keys.count;
        }
    }

    /// `Q K^T / sqrt(d)` `[Q, T]`.
    fn scores(&self, q: &[f32], kv: &[f32], scores: &mut Vec<f32>) {
        let (tokens, count) = (self.tokens(), self.queries.count);
        scores.resize(count * tokens, 0.0);
        let mut first = 0;
        for &[keys, _] in &self.sources {
            let keys_t = self.matrix(kv, keys).transposed();
            matmul(&mut scores[first..], tokens, Store::Set, self.scale(), self.matrix(q, self.queries), keys_t);
            first += keys.count;
        }
    }

    fn matrix<'a>(&self, values: &'a [f32], rows: Rows) -> Matrix<'a> {
        Matrix::new(&values[rows.start..], rows.count, self.width, rows.stride)
    }
}

#[cfg(feature = "autodiff")]
/// Where gradients go: queries, keys and values in one slice (`qkv`), or queries apart.
#[derive(Debug)]
pub(crate) enum Gradients<'a> {
    /// `dq` and `dkv` are the same slice.
    Together(&'a mut [f32]),
    /// `dq`, `dkv`.
    Apart(&'a mut [f32], &'a mut [f32]),
}

#[cfg(feature = "autodiff")]
impl Gradients<'_> {
    fn q(&mut self) -> &mut [f32] {
        match self {
            Self::Together(all) | Self::Apart(all, _) => all,
        }
    }

    fn kv(&mut self) -> &mut [f32] {
        match self {
            Self::Together(all) | Self::Apart(_, all) => all,
        }
    }
}

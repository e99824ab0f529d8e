//! Products in register tiles, for wasm: [`ROWS`] rows of the left operand by [`COLUMNS`] columns of the right one at a time.
//!
//! Both operands are laid out in panels, the left one in panels of [`ROWS`] rows for each product, the right one in panels of
//! [`COLUMNS`] columns (weights once), so that a tile reads both from front to back.

use std::cell::RefCell;
use std::ops::Range;

use super::vector::Four;
use super::{Matrix, Store};

/// Rows of a tile. V8 leaves 15 vector registers: 8 for sums, 2 for a row of the right panel, and enough to bring the next values
/// in. Six rows are no faster with a fused multiply-add, and half as fast without: the product needs a register there.
const ROWS: usize = 4;

/// Columns of a tile and of a panel.
const COLUMNS: usize = 8;

/// The most terms of a sum at a time: the two panels of a tile stay in the first cache (32 KB) together.
const DEPTH: usize = 400;

/// The most rows at a time: with [`DEPTH`] values each they stay in the second cache.
const BLOCK: usize = 60 * ROWS;

/// A right operand `[k, n]` in panels, `[n / COLUMNS, k, COLUMNS]`, the last one filled up with zeros.
#[derive(Default)]
pub(super) struct Right {
    panels: Vec<f32>,
    size: [usize; 2],
}

/// What is done with the sums of a tile.
#[derive(Clone, Copy)]
struct Finish<'a> {
    scale: f32,
    /// Added to each row, `[n]`.
    bias: Option<&'a [f32]>,
    store: Store,
}

thread_local! {
    /// Room for the right operand of [`matmul`].
    static RIGHT: RefCell<Right> = RefCell::default();
    /// Room for the panels of a left operand, `[rows / ROWS, depth, ROWS]`, the last one with fewer rows.
    static LEFT: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// As [`super::matmul`], which has checked the sizes.
pub(super) fn matmul(out: &mut [f32], stride: usize, store: Store, scale: f32, a: Matrix<'_>, b: Matrix<'_>) {
    if a.size[0] == 1 && a.steps[1] == 1 && b.steps[1] == 1 {
        return one_row(out, store, scale, a, b);
    }
    RIGHT.with_borrow_mut(|right| {
        right.lay_out(b);
        right.multiply(a, Finish { scale, bias: None, store }, out, stride);
    });
}

/// One row times a matrix whose rows lie as they are: laying it out would cost more than the product.
fn one_row(out: &mut [f32], store: Store, scale: f32, a: Matrix<'_>, b: Matrix<'_>) {
    let [inputs, outputs] = b.size;
    let out = &mut out[..outputs];
    if store == Store::Set {
        out.fill(0.0);
    }
    for (i, a) in a.values[..inputs].iter().enumerate() {
        let a = scale * a;
        out.iter_mut().zip(&b.values[i * b.steps[0]..][..outputs]).for_each(|(out, b)| *out += a * b);
    }
}

impl Right {
    pub(super) fn new(matrix: Matrix<'_>) -> Self {
        let mut right = Self::default();
        right.lay_out(matrix);
        right
    }

    fn lay_out(&mut self, matrix: Matrix<'_>) {
        let [k, n] = matrix.size;
        self.size = [k, n];
        // What is there is overwritten but for the columns that fill up the last panel.
        if !n.is_multiple_of(COLUMNS) {
            self.panels.clear();
        }
        self.panels.resize(n.div_ceil(COLUMNS) * k * COLUMNS, 0.0);
        let panels = self.panels.chunks_exact_mut(k * COLUMNS);
        for (panel, first) in panels.zip((0..n).step_by(COLUMNS)) {
            let columns = COLUMNS.min(n - first);
            let columns = matrix.transposed().rows(first, columns);
            lay_out_panel(columns, 0..k, panel, COLUMNS);
        }
    }

    /// As [`super::Weight::apply`], which has checked the sizes.
    pub(super) fn apply(&self, x: Matrix<'_>, bias: &[f32], store: Store, y: &mut [f32]) {
        self.multiply(x, Finish { scale: 1.0, bias: Some(bias), store }, y, self.size[1]);
    }

    pub(super) fn value(&self, i: usize, j: usize) -> f32 {
        let [k, _] = self.size;
        self.panels[(j / COLUMNS * k + i) * COLUMNS + j % COLUMNS]
    }

    /// `a` times this into `out`, whose rows lie `stride` apart.
    fn multiply(&self, a: Matrix<'_>, finish: Finish<'_>, out: &mut [f32], stride: usize) {
        let ([k, n], [m, _]) = (self.size, a.size);
        let depth = k.div_ceil(k.div_ceil(DEPTH));
        LEFT.with_borrow_mut(|left| {
            for start in (0..k).step_by(depth) {
                let depth = depth.min(k - start);
                // The further sums of the same tile are added to the first ones.
                let finish = if start == 0 { finish } else { Finish { bias: None, store: Store::Add, ..finish } };
                for block in (0..m).step_by(BLOCK) {
                    let rows = BLOCK.min(m - block);
                    left.resize((rows * depth).max(left.len()), 0.0);
                    for (panel, row) in left.chunks_mut(ROWS * depth).zip((0..rows).step_by(ROWS)) {
                        let rows = ROWS.min(rows - row);
                        lay_out_panel(a.rows(block + row, rows), start..start + depth, panel, rows);
                    }
                    for first in (0..n).step_by(COLUMNS) {
                        let panel = &self.panels[(first / COLUMNS * k + start) * COLUMNS..][..depth * COLUMNS];
                        let finish = Finish { bias: finish.bias.map(|bias| &bias[first..]), ..finish };
                        let out = &mut out[block * stride + first..];
                        column(&left[..rows * depth], panel, finish, (out, stride, COLUMNS.min(n - first)));
                    }
                }
            }
        });
    }
}

impl<'a> Matrix<'a> {
    fn rows(self, first: usize, count: usize) -> Self {
        let [_, columns] = self.size;
        Self { values: &self.values[first * self.steps[0]..], size: [count, columns], steps: self.steps }
    }
}

/// The values `along` of each row of `from` as columns of `panel`, whose own rows are `width` long: rows become columns.
fn lay_out_panel(from: Matrix<'_>, along: Range<usize>, panel: &mut [f32], width: usize) {
    let ([rows, _], [down, across]) = (from.size, from.steps);
    let depth = along.len();
    let panel = &mut panel[..depth * width];
    let values = &from.values[along.start * across..];
    if down == 1 && rows == COLUMNS && width == COLUMNS {
        for (i, to) in panel.as_chunks_mut::<COLUMNS>().0.iter_mut().enumerate() {
            if let Some(from) = values[i * across..].first_chunk() {
                *to = *from;
            }
        }
        return;
    }
    // Squares of four by four, where the values of a row lie side by side.
    let fours = if across == 1 { rows / 4 * 4 } else { 0 };
    let squares = depth / 4 * 4;
    for row in (0..fours).step_by(4) {
        let lines: [&[f32]; 4] = std::array::from_fn(|i| &values[(row + i) * down..][..depth]);
        for at in (0..squares).step_by(4) {
            // SAFETY: `at + 4` is no more than `depth`, the length of each line.
            let square = Four::turned(lines.map(|line| unsafe { Four::load(line.as_ptr().add(at)) }));
            for (i, column) in square.into_iter().enumerate() {
                // SAFETY: the slice has four values.
                unsafe { column.store(panel[(at + i) * width + row..][..4].as_mut_ptr()) };
            }
        }
    }
    for row in 0..rows {
        let done = if row < fours { squares } else { 0 };
        let from = values[row * down..].iter().step_by(across).take(depth).skip(done);
        panel[row..].iter_mut().step_by(width).skip(done).zip(from).for_each(|(to, from)| *to = *from);
    }
}

/// All rows of `left` times the columns of one panel.
fn column(left: &[f32], panel: &[f32], finish: Finish<'_>, (out, stride, columns): (&mut [f32], usize, usize)) {
    let depth = panel.len() / COLUMNS;
    let rows = left.len() / depth;
    let whole = rows / ROWS;
    let (tiles, rest) = left.split_at(whole * ROWS * depth);
    tiles_of::<ROWS>(tiles, panel, finish, (&mut *out, stride, columns));
    let out = out.get_mut(whole * ROWS * stride..).unwrap_or_default();
    match rows % ROWS {
        0 => {}
        1 => tiles_of::<1>(rest, panel, finish, (out, stride, columns)),
        2 => tiles_of::<2>(rest, panel, finish, (out, stride, columns)),
        _ => tiles_of::<3>(rest, panel, finish, (out, stride, columns)),
    }
}

/// Tiles of `R` rows one below the other, as many as `left` has panels `[depth, R]`; `panel` is `[depth, COLUMNS]`.
///
/// A function of its own for each `R`: engines give out registers by function. Not unrolled: the compiler would bring the loads
/// of several steps forward, and there are no registers for them.
#[inline(never)]
fn tiles_of<const R: usize>(
    left: &[f32],
    panel: &[f32],
    finish: Finish<'_>,
    (out, stride, columns): (&mut [f32], usize, usize),
) {
    let depth = panel.len() / COLUMNS;
    for (tile, left) in left.chunks_exact(depth * R).enumerate() {
        let mut sums = [[Four::splat(0.0); 2]; R];
        let (mut left, mut right) = (left.as_ptr(), panel.as_ptr());
        for _ in 0..depth {
            // SAFETY: each step takes R values of `left` and eight of `panel`, which have `depth` times as many.
            unsafe {
                let [first, second] = [Four::load(right), Four::load(right.add(4))];
                for (row, sums) in sums.iter_mut().enumerate() {
                    let left = Four::load_splat(left.add(row));
                    sums[0] = sums[0].plus_product(left, first);
                    sums[1] = sums[1].plus_product(left, second);
                }
                left = left.add(R);
                right = right.add(COLUMNS);
            }
        }
        for (row, sums) in sums.into_iter().enumerate() {
            let out = &mut out[(tile * R + row) * stride..][..columns];
            match <&mut [f32; COLUMNS]>::try_from(&mut *out) {
                Ok(out) => finish.whole(sums, out),
                Err(_) => finish.part(sums, out),
            }
        }
    }
}

impl Finish<'_> {
    #[inline(always)]
    fn whole(self, sums: [Four; 2], out: &mut [f32; COLUMNS]) {
        let bias = self.bias.and_then(|bias| bias.first_chunk::<COLUMNS>());
        for (half, sum) in sums.into_iter().enumerate() {
            let at = 4 * half;
            // SAFETY: eight values lie in `out` and in `bias`, and `at` is 0 or 4.
            unsafe {
                let mut value =
                    if self.store == Store::Add { Four::load(out[at..].as_ptr()) } else { Four::splat(0.0) };
                if let Some(bias) = bias {
                    value = value.plus(Four::load(bias[at..].as_ptr()));
                }
                value.plus_product(Four::splat(self.scale), sum).store(out[at..].as_mut_ptr());
            }
        }
    }

    /// The last columns of the matrix.
    #[inline(never)]
    fn part(self, [first, second]: [Four; 2], out: &mut [f32]) {
        let mut sums = [0.0; COLUMNS];
        // SAFETY: there is room for twice four values.
        unsafe {
            first.store(sums.as_mut_ptr());
            second.store(sums[4..].as_mut_ptr());
        }
        for (column, (out, sum)) in out.iter_mut().zip(sums).enumerate() {
            let old = if self.store == Store::Add { *out } else { 0.0 };
            *out = old + self.bias.map_or(0.0, |bias| bias[column]) + self.scale * sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919 + seed * 104_729) as f32 * 0.618).sin()).collect()
    }

    /// The product in f64, element by element.
    fn truth(a: Matrix<'_>, b: Matrix<'_>, (i, j): (usize, usize)) -> f64 {
        let at = |m: &Matrix<'_>, i: usize, j: usize| f64::from(m.values[i * m.steps[0] + j * m.steps[1]]);
        (0..a.size[1]).map(|p| at(&a, i, p) * at(&b, p, j)).sum()
    }

    /// Sizes around those of tiles, panels, blocks and depths, and those of networks.
    const SIZES: [[usize; 3]; 14] = [
        [1, 1, 1],
        [1, 5, 8],
        [2, 3, 7],
        [5, 4, 9],
        [6, 8, 16],
        [7, 197, 64],
        [13, 64, 197],
        [197, 64, 50],
        [50, 401, 24],
        [11, 785, 17],
        [12, 801, 8],
        [241, 7, 33],
        [481, 9, 10],
        [785, 18, 12],
    ];

    #[test]
    fn products_of_any_size_and_layout_are_exact() {
        for [m, k, n] in SIZES {
            for (case, (turn_a, turn_b, store)) in [
                (false, false, Store::Set),
                (false, true, Store::Add),
                (true, false, Store::Add),
                (true, true, Store::Set),
            ]
            .into_iter()
            .enumerate()
            {
                let of = |rows: usize, columns: usize, turned: bool, gap: usize, seed: usize| {
                    let [rows, columns] = if turned { [columns, rows] } else { [rows, columns] };
                    (values(rows * (columns + gap), seed), rows, columns, columns + gap, turned)
                };
                let [a, b] = [of(m, k, turn_a, 3, 1), of(k, n, turn_b, 5, 2)];
                let [a, b] = [&a, &b].map(|(values, rows, columns, stride, turned)| {
                    let matrix = Matrix::new(values, *rows, *columns, *stride);
                    if *turned { matrix.transposed() } else { matrix }
                });
                let stride = n + 2;
                let before = values(m * stride, 3);
                let mut out = before.clone();
                matmul(&mut out, stride, store, 0.5, a, b);
                for i in 0..m {
                    for j in 0..stride {
                        let old = f64::from(before[i * stride + j]);
                        let expected = match (j < n, store) {
                            (false, _) => old,
                            (true, Store::Set) => 0.5 * truth(a, b, (i, j)),
                            (true, Store::Add) => old + 0.5 * truth(a, b, (i, j)),
                        };
                        let found = f64::from(out[i * stride + j]);
                        let far = (found - expected).abs();
                        assert!(
                            far < 1e-5 * expected.abs().max(10.0),
                            "{m} {k} {n} case {case}, ({i}, {j}): {found} {expected}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn layers_add_their_bias() {
        for [m, k, n] in SIZES {
            let (x, weight, bias) = (values(m * k, 1), values(n * k, 2), values(n, 3));
            let (x, weight) = (Matrix::new(&x, m, k, k), Matrix::new(&weight, n, k, k).transposed());
            let right = Right::new(weight);
            for store in [Store::Set, Store::Add] {
                let mut y = values(m * n, 4);
                let before = y.clone();
                right.apply(x, &bias, store, &mut y);
                for (at, found) in y.iter().enumerate() {
                    let old = if store == Store::Add { f64::from(before[at]) } else { 0.0 };
                    let expected = old + f64::from(bias[at % n]) + truth(x, weight, (at / n, at % n));
                    let far = (f64::from(*found) - expected).abs();
                    assert!(far < 1e-5 * expected.abs().max(10.0), "{m} {k} {n} at {at}: {found} {expected}");
                }
            }
            assert_eq!(right.value(k - 1, n - 1), weight.values[(n - 1) * k + k - 1]);
        }
    }
}

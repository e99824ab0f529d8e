//! Square convolutions and the maximum over 3x3 positions, on maps `[H W, C]`: positions row by row, channels last.
//!
//! A convolution is a product: what its kernel sees from a position is a row, tap by tap, and a band of such rows, small enough
//! for a cache, is gathered at a time. A 1x1 convolution of stride 1 has the map itself for rows.

use std::ops::Range;

use super::lanes::vectorised;
use super::matmul::{Matrix, Store, Weight};

/// A square window that moves over a map; beyond the edges it sees nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// Rows and columns that it sees at a time.
    pub side: usize,
    /// Positions from one to the next.
    pub stride: usize,
    /// How many positions beyond the map it sees at the top and at the left.
    pub padding: usize,
}

impl Window {
    /// Rows and columns of what it gives for a map of `size`.
    pub(crate) fn result(&self, size: [usize; 2]) -> [usize; 2] {
        size.map(|side| side.div_ceil(self.stride))
    }

    /// Whether a position of the result is made of more than the same position of the map.
    pub(crate) fn mixes(&self) -> bool {
        self.side > 1 || self.stride > 1
    }

    /// The positions of a map of `size` that `outputs` of the result are made of, whole rows of them.
    pub(crate) fn sees(&self, size @ [height, width]: [usize; 2], outputs: &Range<usize>) -> Range<usize> {
        if outputs.is_empty() {
            return 0..0;
        }
        if !self.mixes() {
            return outputs.clone();
        }
        let [_, columns] = self.result(size);
        let (first, last) = (outputs.start / columns * self.stride, (outputs.end - 1) / columns * self.stride);
        let before = self.padding;
        first.saturating_sub(before) * width..(last + self.side - before).min(height) * width
    }

    /// Of `size` positions those that it sees from `place`, and how many lie before the first of them.
    fn along(&self, size: usize, place: usize) -> (Range<usize>, usize) {
        let (first, before) = (place * self.stride, self.padding);
        (first.saturating_sub(before)..(first + self.side - before).min(size), before.saturating_sub(first))
    }
}

/// A convolution with its bias.
pub(crate) struct Convolution {
    /// `[side side C, outputs]`, tap by tap.
    weight: Weight,
    /// `[outputs]`
    bias: Vec<f32>,
    inputs: usize,
    /// How it moves over the map.
    pub window: Window,
}

/// Values of a band of rows: half a megabyte, a part of the second cache.
const BAND: usize = 128 << 10;

/// The fewest rows of a band: with fewer, fetching the weights for each band would take longer than the products.
const FEWEST: usize = 64;

impl Convolution {
    /// Takes a weight `[outputs, inputs, side, side]` and a bias `[outputs]`.
    pub(crate) fn new(weight: &[f32], bias: Vec<f32>, inputs: usize, window: Window) -> Self {
        let (outputs, taps) = (bias.len(), window.side * window.side);
        let weight = by_tap(weight, inputs, taps);
        let rows = taps * inputs;
        let weight = Weight::new(Matrix::new(&weight, outputs, rows, rows).transposed());
        Self { weight, bias, inputs, window }
    }

    /// How many channels it sees.
    pub(crate) fn inputs(&self) -> usize {
        self.inputs
    }

    /// How many channels its result has.
    pub(crate) fn outputs(&self) -> usize {
        self.bias.len()
    }

    /// The positions `wanted` of the result, `[wanted, outputs]`, from a map `[H W, inputs]` of `size`, of which only those need be
    /// there that [`Window::sees`] names: set, or added to what is there; with `relu` what comes out is no less than 0. `room`
    /// is for a band of rows.
    pub(crate) fn apply(
        &self,
        (map, size): (&[f32], [usize; 2]),
        wanted: Range<usize>,
        (store, relu): (Store, bool),
        y: &mut [f32],
        room: &mut Vec<f32>,
    ) {
        let outputs = self.outputs();
        let width = self.window.side * self.window.side * self.inputs;
        let band = band(wanted.len(), width);
        for (first, y) in wanted.clone().step_by(band).zip(y.chunks_mut(band * outputs)) {
            let positions = first..wanted.end.min(first + band);
            let rows = if self.window.mixes() {
                room.resize(room.len().max(positions.len() * width), 0.0);
                let rows = &mut room[..positions.len() * width];
                self.gather((map, size), positions, rows);
                rows
            } else {
                &map[positions.start * width..positions.end * width]
            };
            self.weight.apply(rows, &self.bias, store, y);
            if relu {
                self::relu(y);
            }
        }
    }

    /// What the kernel sees from each of `positions` of the result, tap by tap: `[positions, side side inputs]`.
    fn gather(&self, (map, size): (&[f32], [usize; 2]), positions: Range<usize>, rows: &mut [f32]) {
        let (Window { side, .. }, inputs) = (self.window, self.inputs);
        let ([height, width], [_, columns]) = (size, self.window.result(size));
        for (position, row) in positions.zip(rows.chunks_exact_mut(side * side * inputs)) {
            let (lines, above) = self.window.along(height, position / columns);
            let (places, before) = self.window.along(width, position % columns);
            if (lines.len(), places.len()) != (side, side) {
                row.fill(0.0);
            }
            let count = places.len() * inputs;
            for (line, row) in lines.zip(row.chunks_exact_mut(side * inputs).skip(above)) {
                let from = (line * width + places.start) * inputs;
                row[before * inputs..][..count].copy_from_slice(&map[from..][..count]);
            }
        }
    }
}

/// How many rows of `width` values a band has, of `count`: bands of about the same size.
fn band(count: usize, width: usize) -> usize {
    let most = (BAND / width).max(FEWEST);
    // Four rows are a tile of a product in the browser.
    count.div_ceil(count.div_ceil(most).max(1)).next_multiple_of(4).max(4)
}

/// A residual network's window for [`max_pool`].
pub(crate) const POOL: Window = Window { side: 3, stride: 2, padding: 1 };

/// The maximum of what `window` sees: the positions `wanted` of the result, `[wanted, C]`, from a map `[H W, C]` of `size`.
pub(crate) fn max_pool(
    map: &[f32],
    (window, size): (Window, [usize; 2]),
    channels: usize,
    wanted: Range<usize>,
    y: &mut [f32],
) {
    let ([height, width], [_, columns]) = (size, window.result(size));
    vectorised(|| {
        for (position, y) in wanted.zip(y.chunks_exact_mut(channels)) {
            let ((lines, _), (places, _)) =
                (window.along(height, position / columns), window.along(width, position % columns));
            y.fill(f32::NEG_INFINITY);
            for place in lines.flat_map(|line| places.clone().map(move |place| line * width + place)) {
                let x = &map[place * channels..][..channels];
                for i in 0..channels {
                    y[i] = if x[i] <= y[i] { y[i] } else { x[i] };
                }
            }
        }
    });
}

/// Values below 0 become 0; what is no number stays that.
pub(crate) fn relu(values: &mut [f32]) {
    vectorised(|| {
        for value in values {
            *value = if *value < 0.0 { 0.0 } else { *value };
        }
    });
}

/// `y = max(0, x scale + shift)`, channel by channel, of a map `[positions, C]`.
pub(crate) fn scaled_relu(x: &[f32], [scale, shift]: [&[f32]; 2], y: &mut [f32]) {
    let channels = scale.len();
    vectorised(|| {
        for (x, y) in x.chunks_exact(channels).zip(y.chunks_exact_mut(channels)) {
            for i in 0..channels {
                let value = x[i] * scale[i] + shift[i];
                y[i] = if value < 0.0 { 0.0 } else { value };
            }
        }
    });
}

/// The mean over the positions of a map `[positions, C]`, `[C]`.
pub(crate) fn mean(map: &[f32], channels: usize) -> Vec<f32> {
    let mut sums = vec![0.0; channels];
    vectorised(|| {
        for row in map.chunks_exact(channels) {
            for i in 0..channels {
                sums[i] += row[i];
            }
        }
        let share = channels as f32 / map.len() as f32;
        sums.iter_mut().for_each(|sum| *sum *= share);
    });
    sums
}

/// Weights `[outputs, C, side, side]` as `[outputs, taps, C]`, `taps` being `side` times `side`.
pub(crate) fn by_tap(values: &[f32], channels: usize, taps: usize) -> Vec<f32> {
    let mut turned = Vec::with_capacity(values.len());
    for row in values.chunks_exact(taps * channels) {
        for tap in 0..taps {
            turned.extend(row.iter().skip(tap).step_by(taps));
        }
    }
    turned
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919 + seed * 104_729) as f32 * 0.618).sin()).collect()
    }

    /// The positions of the map that `window` sees from `(row, column)` of the result, each with its tap.
    fn taps(window: Window, [height, width]: [usize; 2], [row, column]: [usize; 2]) -> Vec<(usize, usize)> {
        let seen = |tap: usize| {
            let at = |place: usize, tap: usize, size: usize| {
                (place * window.stride + tap).checked_sub(window.padding).filter(|&at| at < size)
            };
            let (row, column) = (at(row, tap / window.side, height)?, at(column, tap % window.side, width)?);
            Some((tap, row * width + column))
        };
        (0..window.side * window.side).filter_map(seen).collect()
    }

    /// Maps of one position, lines, odd sizes; more and fewer positions than a band; each side and stride.
    const CASES: [([usize; 2], [usize; 2], Window); 12] = [
        ([1, 1], [3, 2], Window { side: 3, stride: 1, padding: 1 }),
        ([1, 1], [3, 2], Window { side: 7, stride: 2, padding: 3 }),
        ([2, 9], [5, 4], Window { side: 3, stride: 2, padding: 1 }),
        ([7, 7], [64, 9], Window { side: 3, stride: 1, padding: 1 }),
        ([7, 5], [6, 8], Window { side: 1, stride: 2, padding: 0 }),
        ([6, 6], [6, 8], Window { side: 1, stride: 1, padding: 0 }),
        ([31, 17], [3, 16], Window { side: 7, stride: 2, padding: 3 }),
        ([12, 8], [4, 3], Window { side: 3, stride: 4, padding: 1 }),
        ([13, 11], [230, 7], Window { side: 3, stride: 3, padding: 1 }),
        ([20, 15], [256, 3], Window { side: 3, stride: 1, padding: 1 }),
        ([8, 6], [4, 3], Window { side: 3, stride: 2, padding: 0 }),
        ([16, 10], [3, 5], Window { side: 7, stride: 2, padding: 2 }),
    ];

    #[test]
    fn convolutions_of_any_part_of_a_map_are_exact() {
        for (size, [inputs, outputs], window) in CASES {
            let weight = values(outputs * inputs * window.side * window.side, 1);
            let bias = values(outputs, 2);
            let map = values(size[0] * size[1] * inputs, 3);
            let convolution = Convolution::new(&weight, bias.clone(), inputs, window);
            let [rows, columns] = window.result(size);
            let count = rows * columns;
            for (wanted, store, relu) in [
                (0..count, Store::Set, false),
                (0..count, Store::Add, true),
                (count / 3..count, Store::Set, true),
                (count / 4..count / 2, Store::Add, false),
                (count..count, Store::Set, false),
            ] {
                let before = values(wanted.len() * outputs, 4);
                let mut y = before.clone();
                // What is not seen must not matter.
                let seen = window.sees(size, &wanted);
                let mut part = vec![f32::NAN; map.len()];
                let seen = seen.start * inputs..seen.end * inputs;
                part[seen.clone()].copy_from_slice(&map[seen]);
                convolution.apply((&part, size), wanted.clone(), (store, relu), &mut y, &mut Vec::new());
                for (at, found) in y.iter().enumerate() {
                    let (position, output) = (wanted.start + at / outputs, at % outputs);
                    let taps = taps(window, size, [position / columns, position % columns]);
                    let terms = taps.iter().flat_map(|&(tap, place)| {
                        let weight = &weight;
                        let map = &map;
                        (0..inputs).map(move |input| {
                            let weight = weight[(output * inputs + input) * window.side * window.side + tap];
                            f64::from(weight) * f64::from(map[place * inputs + input])
                        })
                    });
                    let old = if store == Store::Add { f64::from(before[at]) } else { 0.0 };
                    let sum = old + f64::from(bias[output]) + terms.sum::<f64>();
                    let expected = if relu { sum.max(0.0) } else { sum };
                    let far = (f64::from(*found) - expected).abs();
                    assert!(far < 1e-5 * expected.abs().max(10.0), "{size:?} {window:?} at {at}: {found} {expected}");
                }
            }
        }
    }

    #[test]
    fn the_maximum_sees_only_the_map() {
        let same = Window { padding: 0, ..POOL };
        for (window, size) in
            [[1, 1], [2, 3], [7, 4], [16, 9]].into_iter().flat_map(|size| [(POOL, size), (same, size)])
        {
            let channels = 5;
            let map: Vec<f32> = values(size[0] * size[1] * channels, 5).iter().map(|v| v - 2.0).collect();
            let [rows, columns] = window.result(size);
            let wanted = rows * columns / 3..rows * columns;
            let mut y = vec![f32::NAN; wanted.len() * channels];
            max_pool(&map, (window, size), channels, wanted.clone(), &mut y);
            for (at, found) in y.iter().enumerate() {
                let (position, channel) = (wanted.start + at / channels, at % channels);
                let seen = taps(window, size, [position / columns, position % columns]);
                let most = seen.iter().map(|(_, place)| map[place * channels + channel]).fold(f32::MIN, f32::max);
                assert_eq!(*found, most);
            }
        }
    }

    #[test]
    fn what_is_no_number_stays_that() {
        let mut values = [-1.0, 2.0, f32::NAN];
        relu(&mut values);
        assert!(values[..2] == [0.0, 2.0] && values[2].is_nan());
        let mut scaled = [0.0; 4];
        scaled_relu(&[1.0, -1.0, -3.0, f32::NAN], [&[2.0, 4.0], &[0.5, -0.5]], &mut scaled);
        assert!(scaled[..3] == [2.5, 0.0, 0.0] && scaled[3].is_nan());
        assert_eq!(mean(&[1.0, 2.0, 3.0, -6.0], 2), [2.0, -2.0]);
    }
}

//! TASN at inference (`src/model/tasn`): what the attention net sees, and the photo as its map resamples it.

use super::forward::softmax;
use super::kernels::matmul::{Matrix, Store, matmul};
use crate::architecture::Tasn;

/// `photo` `[3, zoom H, zoom W]` as means of `zoom` x `zoom` pixels, `[3, H, W]`; `columns` is `W`.
pub(super) fn shrink(photo: &[f32], columns: usize, zoom: usize) -> Vec<f32> {
    let share = 1.0 / (zoom * zoom) as f32;
    let mut small = Vec::with_capacity(photo.len() / (zoom * zoom));
    for lines in photo.chunks_exact(zoom * zoom * columns) {
        small.extend((0..columns).map(|column| {
            let pieces = lines.chunks_exact(zoom * columns).map(|line| &line[column * zoom..][..zoom]);
            share * pieces.flatten().sum::<f32>()
        }));
    }
    small
}

/// The sum of all attention maps of the map `x` `[positions, channels]`, `[positions]`: trilinear attention mixes channels, and
/// the sum of its mixtures is a mixture.
pub(super) fn attention(x: &[f32], channels: usize, scale: f32) -> Vec<f32> {
    let positions = x.len() / channels;
    let map = || Matrix::new(x, positions, channels, channels);
    let channel = |channel| x.iter().skip(channel).step_by(channels).map(|v| scale * v).collect::<Vec<_>>();
    let responses: Vec<f32> = (0..channels).flat_map(|c| softmax(&channel(c))).collect();
    let mut relation = vec![0.0; channels * channels];
    let responses = Matrix::new(&responses, channels, positions, positions);
    matmul(&mut relation, channels, Store::Set, 1.0, responses, map());
    let mut shares = vec![0.0; channels];
    for row in relation.chunks_exact(channels) {
        shares.iter_mut().zip(softmax(row)).for_each(|(share, value)| *share += value);
    }
    x.chunks_exact(channels).map(|row| row.iter().zip(&shares).map(|(v, share)| v * share).sum()).collect()
}

/// Where the rows and columns of the resampled photo lie in a photo of `photo` pixels, rows first, `[H + W]`, in -1..1 between
/// the first and the last pixel's centre. They are dense where `attention` `[h, w]` is high: this is the structure map, its
/// square.
pub(super) fn coordinates(attention: &[f32], map: [usize; 2], photo: [usize; 2], settings: &Tasn) -> Vec<f32> {
    let mut axes = marginals(attention, map, photo).map(density);
    for round in 0..settings.rounds {
        let [rows, columns] = axes.each_ref().map(|axis| axis.iter().copied().fold(0.0, f64::max));
        let bound = if round == 0 { rows.min(columns).min(f64::from(settings.dense)) } else { rows.min(columns) };
        for axis in &mut axes {
            axis.iter_mut().for_each(|v| *v = v.min(bound));
            let missing = 1.0 - axis.iter().sum::<f64>() / axis.len() as f64;
            axis.iter_mut().for_each(|v| *v += missing);
        }
    }
    let mut found = Vec::with_capacity(settings.size[0] + settings.size[1]);
    for (axis, count) in axes.iter().zip(settings.size) {
        inverse(axis, count, &mut found);
    }
    found
}

/// `photo` `[3, *size]` at the grid that `sampling` spans, `rows` of them first: `[3, rows, columns]`.
pub(super) fn grid_sample(photo: &[f32], size: [usize; 2], sampling: &[f32], rows: usize) -> Vec<f32> {
    let (down, along) = sampling.split_at(rows.min(sampling.len()));
    let [height, width] = size;
    // The pixel before, the one after, and the second one's share.
    let places = |coordinates: &[f32], size: usize| -> Vec<(usize, usize, f32)> {
        let last = (size - 1) as f32;
        let positions = coordinates.iter().map(|c| ((c + 1.0) * 0.5 * last).clamp(0.0, last));
        positions.map(|p| (p as usize, (p as usize + 1).min(size - 1), p.fract())).collect()
    };
    let (down, along) = (places(down, height), places(along, width));
    let mut pixels = Vec::with_capacity(3 * down.len() * along.len());
    for plane in photo.chunks_exact(height * width) {
        for &(top, bottom, further) in &down {
            let (top, bottom) = (&plane[top * width..][..width], &plane[bottom * width..][..width]);
            pixels.extend(along.iter().map(|&(left, right, share)| {
                let between = |line: &[f32]| line[left] + (line[right] - line[left]) * share;
                let upper = between(top);
                upper + (between(bottom) - upper) * further
            }));
        }
    }
    pixels
}

/// The largest value in each row and in each column of the structure map, `attention` `[h, w]` resized to `photo` and squared.
fn marginals(attention: &[f32], [map_height, map_width]: [usize; 2], photo: [usize; 2]) -> [Vec<f64>; 2] {
    let [height, width] = photo;
    // As in `grid_sample`; corners are those of the pixels, not of their centres.
    let places = |to: usize, from: usize| -> Vec<(usize, usize, f64)> {
        let position = |i: usize| ((i as f64 + 0.5) * from as f64 / to as f64 - 0.5).clamp(0.0, (from - 1) as f64);
        (0..to).map(position).map(|p| (p as usize, (p as usize + 1).min(from - 1), p.fract())).collect()
    };
    let (down, along) = (places(height, map_height), places(width, map_width));
    let (mut rows, mut columns) = (vec![0.0f64; height], vec![0.0f64; width]);
    let mut line = vec![0.0; map_width];
    for (&(top, bottom, further), row) in down.iter().zip(&mut rows) {
        for (x, value) in line.iter_mut().enumerate() {
            let [upper, lower] = [top, bottom].map(|y| f64::from(attention[y * map_width + x]));
            *value = upper + (lower - upper) * further;
        }
        for (&(left, right, share), column) in along.iter().zip(&mut columns) {
            let value = (line[left] + (line[right] - line[left]) * share).powi(2);
            *row = row.max(value);
            *column = column.max(value);
        }
    }
    [rows, columns]
}

/// Divided by the mean; evenly where nothing is there.
fn density(mut marginal: Vec<f64>) -> Vec<f64> {
    let mean = marginal.iter().sum::<f64>() / marginal.len() as f64;
    marginal.iter_mut().for_each(|v| *v = if mean > 0.0 { *v / mean } else { 1.0 });
    marginal
}

/// Adds the `count` coordinates at which the cumulative sum of `density` reaches even steps.
fn inverse(density: &[f64], count: usize, found: &mut Vec<f32>) {
    let last = density.len() - 1;
    // c[0] = 0, c[i + 1] = c[i] + density[i + 1].
    let mut sums = vec![0.0; density.len()];
    for (i, step) in density.iter().enumerate().skip(1) {
        sums[i] = sums[i - 1] + step;
    }
    let whole = sums[last];
    let mut place = 0;
    for i in 0..count {
        // Where nothing lies beyond the first row or column, by which the rest could be placed: evenly.
        if whole < 0.01 {
            found.push((2.0 * i as f64 / count as f64 - 1.0) as f32);
            continue;
        }
        let goal = whole * i as f64 / count as f64;
        while place + 1 < last && sums[place + 1] < goal {
            place += 1;
        }
        let share = ((goal - sums[place]) / density[place + 1].max(f64::from(f32::MIN_POSITIVE))).clamp(0.0, 1.0);
        found.push(((2.0 * (place as f64 + share) - last as f64) / last as f64) as f32);
    }
}

//! The sampler: where attention is high, rows and columns of the resampled photo lie close together (TASN, section 3.2;
//! clipping as in the authors' code).
//!
//! A map's marginals say how dense rows and columns are to be, as multiples of an even grid. (The authors scale by the
//! output's size o over the input's n; measured against an even grid, o / n is 1 and neither matters.) What exceeds a bound is
//! cut off and spread evenly, a few times over. The inverse of their cumulative sum says where each row and column lies.

use burn::tensor::{Int, Tensor};

use crate::architecture::Tasn;

/// Where the rows and columns of the resampled photo lie, in -1..1 between the first and the last pixel's centre: vertical
/// `[B, settings.size[0]]`, horizontal `[B, settings.size[1]]`; neither ever decreases. `map` is `[B, H, W]`, at least 2 x 2
/// and not negative; one without anything in it gives an even grid.
pub fn coordinates(map: Tensor<3>, settings: &Tasn) -> [Tensor<2>; 2] {
    let map = map.clamp_min(0.0);
    let rows = density(map.clone().max_dim(2).squeeze_dim(2));
    let columns = density(map.max_dim(1).squeeze_dim(1));
    let [rows, columns] = clip(rows, columns, settings);
    [inverse(rows, settings.size[0]), inverse(columns, settings.size[1])]
}

/// Marginals `[B, n]` divided by their mean.
fn density(marginal: Tensor<2>) -> Tensor<2> {
    let mean = marginal.clone().mean_dim(1);
    let empty = mean.clone().equal_elem(0.0).float();
    (marginal + empty.clone()) / (mean + empty)
}

/// Densities `[B, H]` and `[B, W]`, clipped: in the first round at `dense`, in all rounds at the lower of both maxima.
fn clip(mut rows: Tensor<2>, mut columns: Tensor<2>, settings: &Tasn) -> [Tensor<2>; 2] {
    for round in 0..settings.rounds {
        let bound = rows.clone().max_dim(1).min_pair(columns.clone().max_dim(1));
        let bound = if round == 0 { bound.clamp_max(settings.dense) } else { bound };
        let spread = |density: Tensor<2>| {
            let shape = density.dims();
            let clipped = density.min_pair(bound.clone().expand(shape));
            clipped.clone() + (clipped.mean_dim(1).neg() + 1.0)
        };
        (rows, columns) = (spread(rows), spread(columns));
    }
    [rows, columns]
}

/// `count` coordinates at which the cumulative sum of a density `[B, n]` reaches even steps, `[B, count]`.
fn inverse(density: Tensor<2>, count: usize) -> Tensor<2> {
    let [batch, n] = density.dims();
    let device = density.device();
    // c[0] = 0, c[i + 1] = c[i] + density[i + 1]. Only what it differs from an even grid by is summed up: less is rounded.
    let steps = density.narrow(1, 1, n - 1);
    let even = Tensor::<1, Int>::arange(0..n as i64, &device).float().unsqueeze::<2>();
    let start = Tensor::zeros([batch, 1], &device);
    let cumulative = Tensor::cat(vec![start, (steps.clone() - 1.0).cumsum(1)], 1) + even;
    let last = cumulative.clone().narrow(1, n - 1, 1);
    let shares = Tensor::<1, Int>::arange(0..count as i64, &device).float().unsqueeze::<2>() / count as f32;
    let targets = last * shares;
    // The last place before each target.
    let shape = [batch, count, n];
    let below = cumulative.clone().unsqueeze_dim::<3>(1).expand(shape);
    let below = below.lower(targets.clone().unsqueeze_dim::<3>(2).expand(shape)).int().sum_dim(2).squeeze_dim::<2>(2);
    let place = (below - 1).clamp(0, n as i64 - 2);
    let step = steps.gather(1, place.clone());
    let beyond = targets - cumulative.gather(1, place.clone());
    let share = (beyond / step.clamp_min(f32::MIN_POSITIVE)).clamp(0.0, 1.0);
    (place.float() + share) * (2.0 / (n - 1) as f64) - 1.0
}

/// Samples `images` `[B, channels, H, W]` bilinearly at `coordinates` (vertical `[B, h]`, horizontal `[B, w]`):
/// `[B, channels, h, w]`. -1 and 1 are the centres of the first and the last pixel.
pub fn grid_sample(images: Tensor<4>, [vertical, horizontal]: [Tensor<2>; 2]) -> Tensor<4> {
    // The grid is the product of its rows and columns, so one axis is interpolated after the other.
    let rows = sample_rows(images, vertical);
    sample_rows(rows.swap_dims(2, 3), horizontal).swap_dims(2, 3)
}

/// Rows of `images` `[B, channels, H, W]` at `coordinates` `[B, h]`, `[B, channels, h, W]`.
fn sample_rows(images: Tensor<4>, coordinates: Tensor<2>) -> Tensor<4> {
    let [batch, channels, height, width] = images.dims();
    let [_, count] = coordinates.dims();
    let last = (height - 1) as f64;
    let position = ((coordinates + 1.0) * (last / 2.0)).clamp(0.0, last);
    let before = position.clone().floor();
    let share = (position - before.clone()).reshape([batch, 1, count, 1]);
    let row = |at: Tensor<2>| {
        let at = at.clamp(0.0, last).int().reshape([batch, 1, count, 1]).expand([batch, channels, count, width]);
        images.clone().gather(2, at)
    };
    let (first, second) = (row(before.clone()), row(before + 1.0));
    first.clone() + (second - first) * share
}

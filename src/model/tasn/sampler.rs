//! The sampler: where attention is high, rows and columns of the resampled photo lie close together (TASN, section 3.2;
//! clipping as in the authors' code).
//!
//! A map's marginals say how dense rows and columns are to be, as multiples of an even grid. (The authors scale by the
//! output's size o over the input's n; measured against an even grid, o / n is 1 and neither matters.) What exceeds a bound is
//! cut off and spread evenly, a few times over. The inverse of their cumulative sum says where each row and column lies.

use burn::tensor::Tensor;

use crate::architecture::Tasn;
use crate::model::indices;

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
    let whole = |values: Vec<i32>, shape| indices::<2>(values, shape, &device).float();
    // c[0] = 0, c[i + 1] = c[i] + density[i + 1]. Kept is c[i] - i: c itself, as large as the photo, would round away what
    // places a row between two others.
    let steps = density.narrow(1, 1, n - 1);
    let excess = Tensor::cat(vec![Tensor::zeros([batch, 1], &device), (steps.clone() - 1.0).cumsum(1)], 1);
    // Where nothing lies beyond the first row or column, by which the rest could be placed: evenly.
    let empty = (excess.clone().narrow(1, n - 1, 1) + (n - 1) as f32).lower_elem(0.01).float();
    let steps = steps * (empty.clone().neg() + 1.0) + empty.clone();
    let excess = excess * (empty.neg() + 1.0);
    // Each goal c[n - 1] i / count is a whole number of places and a rest.
    let goals = (0..count).map(|i| (n - 1) * i);
    let (places, rests): (Vec<i32>, Vec<i32>) =
        goals.map(|goal| ((goal / count) as i32, (goal % count) as i32)).unzip();
    let places = whole(places, [1, count]);
    let shares = whole((0..count as i32).collect(), [1, count]);
    let last = excess.clone().narrow(1, n - 1, 1);
    let rests = (whole(rests, [1, count]) + last * shares) / count as f32;
    // The last place before each goal.
    let shape = [batch, count, n];
    let all = whole((0..n as i32).collect(), [1, n]).unsqueeze_dim::<3>(1);
    let reached = (all - places.clone().unsqueeze_dim::<3>(2)) + excess.clone().unsqueeze_dim::<3>(1);
    let below = reached.expand(shape).lower(rests.clone().unsqueeze_dim::<3>(2).expand(shape));
    let place = (below.int().sum_dim(2).squeeze_dim::<2>(2) - 1).clamp(0, n as i64 - 2);
    let step = steps.gather(1, place.clone());
    let before = excess.gather(1, place.clone());
    let place = place.float();
    let further = (places - place.clone()) + (rests - before);
    let share = (further / step.clamp_min(f32::MIN_POSITIVE)).clamp(0.0, 1.0);
    let last = (n - 1) as f32;
    // Steps that all keep an order: no coordinate is below the one before it by rounding.
    ((place + share) * 2.0 - last) / last
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

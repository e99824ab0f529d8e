//! Group norm (Wu and He, ECCV 2018) of a map `[positions, C]`, whose positions may be several threads': what each saw is put together.

use super::lanes::vectorised;

/// Mean and sum of squared differences from it, for each group of channels.
pub(crate) type Moments = Vec<[f32; 2]>;

/// Positions whose values are added up before they are added to the others': long sums of f32 lose digits.
const BLOCK: usize = 64;

/// What some positions, `[positions, C]`, say of each group; 0 without any.
pub(crate) fn moments(map: &[f32], channels: usize, groups: usize) -> Moments {
    let count = (map.len() / groups) as f64;
    let within = |sums: &[f64]| -> Vec<f64> {
        sums.chunks_exact(channels / groups).map(|group| group.iter().sum::<f64>()).collect()
    };
    let sums = within(&sums(map, channels, |x, _| x, &vec![0.0; channels]));
    let means: Vec<f32> = sums.iter().map(|sum| if count > 0.0 { (sum / count) as f32 } else { 0.0 }).collect();
    let of_channels: Vec<f32> = means.iter().flat_map(|&mean| vec![mean; channels / groups]).collect();
    let squares = within(&self::sums(map, channels, |x, mean| (x - mean) * (x - mean), &of_channels));
    means.iter().zip(squares).map(|(&mean, squares)| [mean, squares as f32]).collect()
}

/// The sum of `of(x, mean)` over the positions, for each channel.
fn sums(map: &[f32], channels: usize, of: impl Fn(f32, f32) -> f32, mean: &[f32]) -> Vec<f64> {
    let mut total = vec![0.0; channels];
    let mut sums = vec![0.0; channels];
    for block in map.chunks(BLOCK * channels) {
        sums.fill(0.0f32);
        vectorised(|| {
            for row in block.chunks_exact(channels) {
                for i in 0..channels {
                    sums[i] += of(row[i], mean[i]);
                }
            }
        });
        total.iter_mut().zip(&sums).for_each(|(total, &sum)| *total += f64::from(sum));
    }
    total
}

/// Scale and shift `[C]` of the norm with this `weight` and `bias` `[C]`, where `parts` are what some `positions` each saw.
pub(crate) fn scale_and_shift(parts: &[(usize, Moments)], [weight, bias]: [&[f32]; 2], epsilon: f64) -> [Vec<f32>; 2] {
    let groups = parts.first().map_or(1, |(_, moments)| moments.len());
    let across = weight.len() / groups;
    let total: f64 = parts.iter().map(|(positions, _)| (positions * across) as f64).sum();
    let (mut scale, mut shift) = (Vec::with_capacity(weight.len()), Vec::with_capacity(weight.len()));
    for group in 0..groups {
        let seen = || {
            let part = |(positions, moments): &(usize, Moments)| {
                let [mean, squares] = moments[group].map(f64::from);
                ((positions * across) as f64, mean, squares)
            };
            parts.iter().map(part)
        };
        let mean = seen().map(|(count, mean, _)| count * mean).sum::<f64>() / total;
        let variance = seen().map(|(count, own, squares)| squares + count * (own - mean).powi(2)).sum::<f64>() / total;
        let factor = 1.0 / (variance + epsilon).sqrt();
        for channel in group * across..(group + 1) * across {
            let factor = factor * f64::from(weight[channel]);
            scale.push(factor as f32);
            shift.push((f64::from(bias[channel]) - mean * factor) as f32);
        }
    }
    [scale, shift]
}

/// `x = x scale + shift`, channel by channel, of a map `[positions, C]`; with `relu` no less than 0.
pub(crate) fn apply(x: &mut [f32], [scale, shift]: [&[f32]; 2], relu: bool) {
    let channels = scale.len();
    let least = if relu { 0.0 } else { f32::NEG_INFINITY };
    vectorised(|| {
        for x in x.chunks_exact_mut(channels) {
            for i in 0..channels {
                let value = x[i] * scale[i] + shift[i];
                // What is no number stays that.
                x[i] = if value < least { least } else { value };
            }
        }
    });
}

/// `y = max(0, x + y)`.
pub(crate) fn add_relu(x: &[f32], y: &mut [f32]) {
    vectorised(|| {
        for (y, x) in y.iter_mut().zip(x) {
            let value = *y + *x;
            *y = if value < 0.0 { 0.0 } else { value };
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However the positions are shared out, and with a mean far from 0.
    #[test]
    fn parts_say_what_the_whole_says() {
        for (positions, channels, groups) in [(1, 6, 3), (197, 10, 5), (7, 3, 3), (785, 8, 1), (50, 4, 2)] {
            let map: Vec<f32> = (0..positions * channels).map(|i| 20.0 + (i as f32 * 0.618).sin()).collect();
            let weight: Vec<f32> = (0..channels).map(|i| 0.5 + i as f32).collect();
            let bias: Vec<f32> = (0..channels).map(|i| 0.3 - i as f32).collect();
            for cuts in [vec![0, positions], vec![0, positions / 3, positions / 2, positions], vec![0, 0, positions]] {
                let part = |ends: &[usize]| {
                    let own = &map[ends[0] * channels..ends[1] * channels];
                    (ends[1] - ends[0], moments(own, channels, groups))
                };
                let parts: Vec<_> = cuts.windows(2).map(part).collect();
                let [scale, shift] = scale_and_shift(&parts, [&weight, &bias], 1e-5);
                let mut found = map.clone();
                apply(&mut found, [&scale, &shift], false);
                for (at, found) in found.iter().enumerate() {
                    let (channel, across) = (at % channels, channels / groups);
                    let group = channel / across;
                    let values = || {
                        let of = |row: &[f32]| row[group * across..(group + 1) * across].to_vec();
                        map.chunks(channels).flat_map(of).map(f64::from)
                    };
                    let count = values().count() as f64;
                    let mean = values().sum::<f64>() / count;
                    let variance = values().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
                    let normed = (f64::from(map[at]) - mean) / (variance + 1e-5).sqrt();
                    let truth = normed * f64::from(weight[channel]) + f64::from(bias[channel]);
                    // As scale and shift it is a difference of terms that may be much larger.
                    let terms = f64::from(map[at] * scale[channel]).abs().max(1.0);
                    let far = (f64::from(*found) - truth).abs();
                    assert!(far < 5e-7 * terms, "{positions} {channels} {groups}: {found} {truth}, of {terms}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_number_stays_that() {
        let mut x = [1.0, -2.0, f32::NAN, 3.0];
        apply(&mut x, [&[2.0, 1.0], &[0.5, 0.0]], true);
        assert!(x[0] == 2.5 && x[1] == 0.0 && x[2].is_nan() && x[3] == 3.0);
        let mut y = [1.0, -3.0, 0.0, 1.0];
        add_relu(&[1.0, 2.0, f32::NAN, -5.0], &mut y);
        assert!(y[0] == 2.0 && y[1] == 0.0 && y[2].is_nan() && y[3] == 0.0);
    }
}

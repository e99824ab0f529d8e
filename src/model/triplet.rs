//! Batch-hard triplet loss: Hermans et al., "In Defense of the Triplet Loss for Person Re-Identification", 2017.

use burn::tensor::{Tensor, activation::relu};

use super::{host, indices};

/// Keeps the square root's derivative finite where two features are equal.
const TINY: f64 = 1e-12;

/// The mean over the photos of a batch of `m(d_p - d_n)`: `d_p` is the Euclidean distance to the farthest photo of the
/// same identity, `d_n` that to the nearest photo of another one. `m(x)` is `max(0, x + margin)`, or `log(1 + exp(x))`
/// (soft margin, the DCAL paper's) without a margin.
///
/// `features` is `[B, D]`, not normalised; `identities` `[B]`. A photo that has no other of its identity, or none of
/// another, is left out. The result `[1]` is 0 where none is left.
pub fn triplet(features: Tensor<2>, identities: &[i32], margin: Option<f64>) -> Tensor<1> {
    let [batch, width] = features.dims();
    let device = features.device();
    // Which photos are the hardest is looked up on the host, in f64; the loss then derives by their distances alone.
    let found = hardest(&host(features.clone().detach()), width, &identities[..batch.min(identities.len())]);
    if found.is_empty() {
        return features.zeros_like().sum();
    }
    let pick = |which: fn(&[usize; 3]) -> usize| {
        let rows = found.iter().map(|triple| which(triple) as i32).collect();
        features.clone().select(0, indices(rows, [found.len()], &device))
    };
    let (anchor, positive, negative) = (pick(|t| t[0]), pick(|t| t[1]), pick(|t| t[2]));
    let distance = |other: Tensor<2>| {
        let apart = anchor.clone() - other;
        ((apart.clone() * apart).sum_dim(1) + TINY).sqrt()
    };
    let x = distance(positive) - distance(negative);
    match margin {
        Some(margin) => relu(x + margin).mean(),
        // log(1 + exp(x)) without overflow.
        None => (relu(x.clone()) + x.abs().neg().exp().log1p()).mean(),
    }
}

/// For each photo that has both: itself, the farthest of its identity, the nearest of another. Of equals the first.
fn hardest(features: &[f32], width: usize, identities: &[i32]) -> Vec<[usize; 3]> {
    let row = |photo: usize| &features[photo * width..][..width];
    let squared = |a: usize, b: usize| -> f64 {
        row(a).iter().zip(row(b)).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
    };
    let of_one = |anchor: usize| {
        let mut positive: Option<(f64, usize)> = None;
        let mut negative: Option<(f64, usize)> = None;
        for other in (0..identities.len()).filter(|&other| other != anchor) {
            let distance = squared(anchor, other);
            if identities[other] == identities[anchor] {
                if positive.is_none_or(|(most, _)| distance > most) {
                    positive = Some((distance, other));
                }
            } else if negative.is_none_or(|(least, _)| distance < least) {
                negative = Some((distance, other));
            }
        }
        Some([anchor, positive?.1, negative?.1])
    };
    (0..identities.len()).filter_map(of_one).collect()
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    /// Two identities on a line: 7 at 0 and 3, 9 at 4 and 10.
    fn line() -> (Tensor<2>, [i32; 4]) {
        (Tensor::from_floats([[0.0, 1.0], [3.0, 1.0], [4.0, 1.0], [10.0, 1.0]], &Device::flex()), [7, 7, 9, 9])
    }

    #[test]
    fn four_photos_are_worked_out_by_hand() {
        // Anchor 0: farthest own 3, nearest other 4; 3: 3 and 1; 4: 6 and 1; 10: 6 and 7.
        let x = [3.0 - 4.0, 3.0 - 1.0, 6.0 - 1.0, 6.0 - 7.0];
        let value = |margin| {
            let (features, identities) = line();
            f64::from(host(triplet(features, &identities, margin))[0])
        };
        let hinge = |margin: f64| x.iter().map(|x: &f64| (x + margin).max(0.0)).sum::<f64>() / 4.0;
        assert!((value(Some(0.3)) - hinge(0.3)).abs() < 1e-5 && (hinge(0.3) - (2.3 + 5.3) / 4.0).abs() < 1e-12);
        assert!((value(Some(2.0)) - hinge(2.0)).abs() < 1e-5);
        let soft = x.iter().map(|x| (1.0 + x.exp()).ln()).sum::<f64>() / 4.0;
        assert!((value(None) - soft).abs() < 1e-5, "{} {soft}", value(None));
    }

    #[test]
    fn the_hardest_are_found_and_lonely_photos_left_out() {
        let features = [0.0, 2.0, 1.0, 5.0, 5.0];
        assert_eq!(hardest(&features, 1, &[1, 1, 1, 2, 3]), [[0, 1, 3], [1, 0, 3], [2, 0, 3]]);
        assert!(hardest(&features, 1, &[4; 5]).is_empty(), "nobody else");
        let alone = triplet(Tensor::from_floats([[1.0], [2.0]], &Device::flex()), &[4, 4], None);
        assert_eq!(host(alone), [0.0]);
    }

    #[test]
    fn far_apart_does_not_overflow() {
        let features = Tensor::from_floats([[0.0], [4000.0], [1.0], [3000.0]], &Device::flex());
        let value = host(triplet(features, &[0, 0, 1, 1], None))[0];
        assert!(value.is_finite() && value > 1000.0, "{value}");
    }
}

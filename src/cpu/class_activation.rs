//! The class activation map of a residual network (Zhou et al., CVPR 2016): what each position of the last map said for a class.

use super::kernels::lanes::{sum_of, vectorised};

/// `a_p = max(0, w . f_p)` of the positions of the last map `[N, D]`, divided by their sum, with a 0 in front where a transformer's
/// class token would be: `[N + 1]`. All are 0 where nothing spoke for the class, whose row of the classifier `w` `[D]` is.
pub(super) fn class_activation(map: &[f32], row: &[f32]) -> Vec<f32> {
    let mut activation = vec![0.0; 1 + map.len() / row.len()];
    vectorised(|| {
        for (value, features) in activation[1..].iter_mut().zip(map.chunks_exact(row.len())) {
            let spoke = sum_of(features, row, |f, w| f * w);
            *value = if spoke < 0.0 { 0.0 } else { spoke };
        }
    });
    let sum: f32 = activation.iter().sum();
    // A sum that is no number is told by whoever checks the answer.
    if sum != 0.0 {
        activation.iter_mut().for_each(|value| *value /= sum);
    }
    activation
}

/// The most probable class of `logits`, the lowest index on a tie.
pub(super) fn named(logits: &[f32]) -> usize {
    let larger = |best: usize, class: usize| if logits[class] > logits[best] { class } else { best };
    (1..logits.len()).fold(0, larger)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_spoke_against_the_class_is_nothing() {
        let map = [1.0, 0.0, 0.0, 2.0, 3.0, 1.0];
        assert_eq!(class_activation(&map, &[1.0, -1.0]), [0.0, 1.0 / 3.0, 0.0, 2.0 / 3.0]);
        assert_eq!(class_activation(&map, &[-1.0, -1.0]), [0.0; 4]);
        assert!(class_activation(&[f32::NAN, 1.0], &[1.0, 1.0])[1].is_nan());
        assert_eq!((named(&[0.0, 2.0, 2.0]), named(&[5.0]), named(&[-3.0, -2.0, -9.0])), (1, 0, 1));
    }
}

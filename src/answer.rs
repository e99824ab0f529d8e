//! What a network says of one photo, whichever back end ran it.

use serde::{Deserialize, Serialize};

/// The result of one forward pass at inference (PWCA is dropped, DCAL paper, section 3.5).
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Logits of the self-attention branch, `[classes]`.
    pub logits_sa: Vec<f32>,
    /// Logits of the global-local cross-attention branch, `[classes]`; empty without GLCA.
    pub logits_glca: Vec<f32>,
    /// Softmax of `logits_sa`, `[classes]`.
    pub sa: Vec<f32>,
    /// Softmax of `logits_glca`, `[classes]`; empty without GLCA.
    pub glca: Vec<f32>,
    /// The answer: mean of `sa` and `glca`, or `sa` alone without GLCA, `[classes]`.
    pub probability: Vec<f32>,
    /// Attention rollout, the class token's row, `[N + 1]`, class token first; sums to 1.
    pub rollout: Vec<f32>,
    /// Token indices of the local queries, highest rollout first, class token not listed, `[k]`; empty without GLCA.
    pub selected: Vec<u32>,
}

/// One class and its probability.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Name of the class as in the bundle.
    pub label: String,
    /// Between 0 and 1.
    pub probability: f32,
}

/// The `k` most probable classes, most probable first, ties to the lower class index.
///
/// `probability` and `labels` are `[classes]`.
pub fn top(probability: &[f32], labels: &[String], k: usize) -> Vec<Prediction> {
    let mut order: Vec<usize> = (0..probability.len().min(labels.len())).collect();
    order.sort_by(|&a, &b| probability[b].total_cmp(&probability[a]).then(a.cmp(&b)));
    order
        .into_iter()
        .take(k)
        .map(|class| Prediction { label: labels[class].clone(), probability: probability[class] })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn top_orders_by_probability_then_by_class() {
        let labels: Vec<String> = ["a", "b", "c", "d"].map(String::from).into();
        let found = top(&[0.1, 0.4, 0.1, 0.4], &labels, 3);
        assert_eq!(found.iter().map(|p| p.label.as_str()).collect::<Vec<_>>(), ["b", "d", "a"]);
        assert_eq!(top(&[0.5, 0.5], &labels[..2], 9).len(), 2);
    }
}

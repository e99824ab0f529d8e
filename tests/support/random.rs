//! Numbers and networks that are the same in every run: a limit that holds once holds always. (burn's initialisers draw from one
//! generator that all tests share, so what they give depends on which test came first.)

use finegrain::architecture::Architecture;
use finegrain::tensors::{Tensor, TensorMap};

/// Reproducible numbers (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From -`scale` to `scale`.
    pub(crate) fn real(&mut self, scale: f32) -> f32 {
        ((self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0) * scale
    }

    #[allow(dead_code, reason = "not every test that draws numbers needs a tensor")]
    pub(crate) fn tensor(&mut self, shape: &[usize], scale: f32) -> Tensor {
        let values = (0..shape.iter().product()).map(|_| self.real(scale)).collect();
        Tensor::f32(shape, values)
    }
}

/// Weights of every name that `architecture` has, in timm's layout: matrices keep activations about as large as they were (times
/// `gain`), norms are near the identity, everything else (biases, tokens, positions) is small but not zero.
#[allow(dead_code, reason = "not every test that draws numbers needs a network")]
pub(crate) fn weights(architecture: &Architecture, gain: f32, seed: u64) -> TensorMap {
    let mut random = Random(seed);
    let mut weights = TensorMap::default();
    for spec in architecture.weights() {
        let inputs: usize = spec.shape.iter().skip(1).product();
        let matrix = spec.shape.len() > 1 && !["cls_token", "pos_embed"].contains(&spec.name.as_str());
        let scale = if matrix { gain * (3.0 / inputs as f32).sqrt() } else { 0.3 };
        let norm = spec.shape.len() == 1 && spec.name.ends_with(".weight");
        let middle = if norm || spec.name.ends_with("running_var") { 1.0 } else { 0.0 };
        let values = (0..spec.shape.iter().product()).map(|_| middle + random.real(scale)).collect();
        weights.insert(spec.name, Tensor::f32(spec.shape, values));
    }
    weights
}

//! Twin of `shaders/shared`: the error function, a linear layer's weight and product, an attention weight.

use half::f16;

use crate::tensors::Precision;

/// The error function, within 1.5 units in the last place (the shader's polynomials, evaluated in f32).
pub fn erf(a: f32) -> f32 {
    let t = a.abs();
    let s = a * a;
    if t > 0.927_734_4 {
        let mut r = (-1.728_534_7e-5_f32).mul_add(t, 3.831_972e-4);
        let u = (-3.883_964_4e-3_f32).mul_add(t, 2.425_462_2e-2);
        r = r.mul_add(s, u);
        r = r.mul_add(t, -1.067_778_8e-1);
        r = r.mul_add(t, -6.348_467e-1);
        r = r.mul_add(t, -1.287_175_1e-1);
        r = r.mul_add(t, -t);
        return (1.0 - r.exp()).copysign(a);
    }
    let mut r = -5.967_617e-4_f32;
    r = r.mul_add(s, 4.991_194_2e-3);
    r = r.mul_add(s, -2.676_813_5e-2);
    r = r.mul_add(s, 1.128_199_25e-1);
    r = r.mul_add(s, -3.761_253_4e-1);
    r = r.mul_add(s, 1.283_791_7e-1);
    r.mul_add(a, a)
}

/// GELU, exact: `x` times the normal distribution function.
pub fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// A linear layer's weight `[K, N]` as it lies in memory: in each word one value, two halves or four bytes; rows padded to a
/// multiple of four; beside bytes, the scale of each output.
pub(super) struct Weight<'a> {
    precision: Precision,
    stride: usize,
    words: &'a [f32],
    scales: Option<&'a [f32]>,
}

impl<'a> Weight<'a> {
    /// `scales` are the bindings behind the kernel's others: one in eight bits, none elsewhere.
    pub(super) fn new(precision: Precision, columns: usize, words: &'a [f32], scales: &'a [Vec<f32>]) -> Self {
        Self { precision, stride: columns.next_multiple_of(4), words, scales: scales.first().map(Vec::as_slice) }
    }

    /// Output `column` at input `k`.
    pub(super) fn at(&self, k: usize, column: usize) -> f64 {
        let index = k * self.stride + column;
        match self.precision {
            Precision::F32 => f64::from(self.words[index]),
            Precision::F16 => {
                let bits = self.words[index / 2].to_bits() >> (16 * (index % 2));
                f16::from_bits(bits as u16).to_f64()
            }
            Precision::Int8 => {
                let byte = (self.words[index / 4].to_bits() >> (8 * (index % 4))) as u8;
                f64::from(byte.cast_signed()) * self.scales.map_or(f64::NAN, |scales| f64::from(scales[column]))
            }
        }
    }

    /// Element `column` of x W, x given by `x(k)`.
    pub(super) fn product(&self, inner: usize, column: usize, x: impl Fn(usize) -> f32) -> f64 {
        (0..inner).map(|k| f64::from(x(k)) * self.at(k, column)).sum()
    }
}

/// Where Q and K of an attention lie; each kernel's uniform struct has these fields.
pub(super) struct Scores<'a> {
    pub(super) q: &'a [f32],
    pub(super) kv: &'a [f32],
    pub(super) head_dim: usize,
    pub(super) q_stride: usize,
    pub(super) kv_stride: usize,
    pub(super) k_offset: usize,
    pub(super) scale: f32,
}

impl Scores<'_> {
    /// `q k / sqrt(d)` of one head, one query and one key.
    pub(super) fn at(&self, head: usize, query: usize, key: usize) -> f64 {
        let a = query * self.q_stride + head * self.head_dim;
        let b = key * self.kv_stride + self.k_offset + head * self.head_dim;
        let dot: f64 = (0..self.head_dim).map(|d| f64::from(self.q[a + d]) * f64::from(self.kv[b + d])).sum();
        dot * f64::from(self.scale)
    }
}

/// Softmax in place of a copy.
pub(super) fn softmax(logits: &[f32]) -> Vec<f32> {
    let high = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f64> = logits.iter().map(|&v| (f64::from(v) - f64::from(high)).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|w| (w / sum) as f32).collect()
}

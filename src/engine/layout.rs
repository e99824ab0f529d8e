//! How the weights of a model lie in buffers: turned for the kernels, and packed where they are stored in less than f32.

use half::f16;

use crate::tensors::{Precision, Quantised, TensorError, TensorMap};

/// How a weight of the model lies in a buffer.
#[derive(Debug, Clone, PartialEq)]
pub struct WeightLayout {
    /// timm's name.
    pub name: String,
    /// Its shape in the file.
    pub shape: Vec<usize>,
    /// Which rows (outputs) of it, or all.
    pub rows: Option<std::ops::Range<usize>>,
    /// What of it, and how.
    pub form: Form,
}

/// What a buffer holds of a weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Its values as in the file, f32 (norms, biases, embeddings).
    Plain,
    /// The weight of a linear layer or the patch convolution, `[out, in...]` in the file: kernels read it as `[in, out]`,
    /// rows padded with zeros to a multiple of four, so that neighbouring threads read neighbours. A word of four bytes
    /// holds one value in f32, two neighbours in f16, four in eight bits, the first in the lowest bits.
    Turned(Precision),
    /// The weight of a convolution, `[out, in, k, k]` in the file: as `[k k in, out]`, so that neighbouring rows are neighbouring
    /// channels of one tap. Never in eight bits: it is no matrix.
    Taps(Precision),
    /// The scales of such a weight in eight bits, one f32 for each output.
    Scales,
}

/// Neighbouring values in a word of four bytes.
pub(super) fn values_a_word(precision: Precision) -> usize {
    match precision {
        Precision::F32 => 1,
        Precision::F16 => 2,
        Precision::Int8 => 4,
    }
}

impl WeightLayout {
    /// The words of the buffer, as the kernels read them.
    ///
    /// # Errors
    /// [`TensorError`] for a weight that is missing, of another shape, not finite or too large for f16.
    pub fn read(&self, weights: &TensorMap) -> Result<Vec<u32>, TensorError> {
        let values = weights.weight(&self.name, &self.shape)?;
        let inner: usize = self.shape.iter().skip(1).product();
        let rows = self.rows.clone().unwrap_or(0..self.shape.first().copied().unwrap_or(1));
        let Some(part) = values.get(rows.start * inner..rows.end * inner) else {
            return Err(TensorError::Missing(format!("{}[{}..{}]", self.name, rows.start, rows.end)));
        };
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect();
        let (mut form, mut by_taps) = (self.form, Vec::new());
        if let Form::Taps(precision) = form {
            form = Form::Turned(precision);
            by_taps.reserve_exact(part.len());
            let taps = inner / self.shape.get(1).copied().unwrap_or(1).max(1);
            for row in part.chunks_exact(inner.max(1)) {
                by_taps.extend((0..taps).flat_map(|tap| row.iter().skip(tap).step_by(taps)));
            }
        }
        let part = if by_taps.is_empty() { part } else { &by_taps };
        Ok(match form {
            Form::Plain | Form::Taps(_) => bits(part),
            Form::Scales => bits(&Quantised::of(part, inner).scales),
            Form::Turned(Precision::F32) => turned(part, inner, |v| v.to_bits()),
            Form::Turned(Precision::F16) => {
                // Infinity where a value is beyond the range.
                let halves = turned(part, inner, |v| f16::from_f32(v).to_bits());
                if halves.iter().any(|&bits| !f16::from_bits(bits).is_finite()) {
                    return Err(TensorError::Overflow(self.name.clone()));
                }
                let pairs = halves.as_chunks::<2>().0.iter();
                pairs.map(|&[low, high]| u32::from(low) | u32::from(high) << 16).collect()
            }
            Form::Turned(Precision::Int8) => {
                let bytes = turned(&Quantised::of(part, inner).values, inner, i8::cast_unsigned);
                bytes.as_chunks::<4>().0.iter().map(|&four| u32::from_le_bytes(four)).collect()
            }
        })
    }
}

/// `[out, inner]` to `[inner, out rounded up to 4]`, padded with zeros.
fn turned<T: Copy, U: Copy + Default>(part: &[T], inner: usize, convert: impl Fn(T) -> U) -> Vec<U> {
    let outputs = part.len() / inner.max(1);
    let columns = outputs.next_multiple_of(4);
    let mut turned = vec![U::default(); inner * columns];
    for (column, row) in part.chunks_exact(inner.max(1)).enumerate() {
        for (k, &value) in row.iter().enumerate() {
            turned[k * columns + column] = convert(value);
        }
    }
    turned
}

//! Matrices in eight bits: the weight of a linear layer, `[out, in]`, as integers from -127 to 127 and one scale for each
//! output (symmetric, per channel: Krishnamoorthi, "Quantizing deep convolutional networks", 2018, section 3.1).
//!
//! A scale is the row's largest magnitude over 127, rounded up to 16 significant bits. Then an integer times its scale is
//! exact in f32, and a matrix that was rounded once gives the same integers and scales again: whoever holds the values
//! as f32 has lost nothing.

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::{Tensor, TensorError, Values};

/// The largest integer of a row.
const MOST: f32 = 127.0;
/// A row whose values are all below this is zeros: its scale would have no 16 significant bits.
const NOTHING: f32 = 1e-30;

/// A matrix in eight bits.
pub(crate) struct Quantised {
    /// `[out, in]`
    pub(crate) values: Vec<i8>,
    /// `[out]`
    pub(crate) scales: Vec<f32>,
}

impl Quantised {
    /// Rounds `values` `[out, inner]`. A row with a value that is no number gets a scale that is none.
    pub(crate) fn of(values: &[f32], inner: usize) -> Self {
        let rows = values.chunks_exact(inner.max(1));
        let scales: Vec<f32> = rows.clone().map(scale).collect();
        let round = |(row, &scale): (&[f32], &f32)| -> Vec<i8> {
            let inverse = if scale > 0.0 { 1.0 / f64::from(scale) } else { 0.0 };
            row.iter().map(|&v| (f64::from(v) * inverse).round() as i8).collect()
        };
        Self { values: rows.zip(&scales).flat_map(round).collect(), scales }
    }

    /// The values that the integers stand for.
    fn widened(&self, inner: usize) -> Vec<f32> {
        let rows = self.values.chunks_exact(inner.max(1)).zip(&self.scales);
        rows.flat_map(|(row, scale)| row.iter().map(move |&q| f32::from(q) * scale)).collect()
    }
}

fn scale(row: &[f32]) -> f32 {
    if !row.iter().all(|v| v.is_finite()) {
        return f32::NAN;
    }
    let largest = row.iter().fold(0.0_f32, |largest, v| largest.max(v.abs()));
    if largest < NOTHING { 0.0 } else { f32::from_bits(((largest / MOST).to_bits() + 0xff) & !0xff) }
}

/// Name of the tensor that holds the scales of the matrix `name`.
pub(super) fn scales_of(name: &str) -> String {
    format!("{name}_scale")
}

/// Whether a tensor is stored in eight bits where that is asked for: the weight of a linear layer has two axes, and no
/// other weight has.
pub(super) fn is_matrix(tensor: &Tensor) -> bool {
    tensor.shape.len() == 2 && matches!(tensor.values, Values::F32(_))
}

/// Reads the matrix `name` of a file in eight bits.
///
/// # Errors
/// [`TensorError::Int8`] for what is no such matrix, [`TensorError::NotFinite`] for a scale that is no number.
pub(super) fn read(name: &str, view: &TensorView<'_>, file: &SafeTensors<'_>) -> Result<Values, TensorError> {
    let fail = |what: String| Err(TensorError::Int8 { name: name.into(), what });
    let &[rows, inner] = view.shape() else { return fail("it must have two axes".into()) };
    let scales = match file.tensor(&scales_of(name)) {
        Ok(scales) if scales.dtype() == Dtype::F32 && scales.shape() == [rows] => scales,
        _ => return fail(format!("\"{}\" must hold one f32 for each of its {rows} rows", scales_of(name))),
    };
    let scales: Vec<f32> = scales.data().as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    let quantised = Quantised { values: view.data().iter().map(|byte| byte.cast_signed()).collect(), scales };
    for (row, (values, &scale)) in quantised.values.chunks_exact(inner.max(1)).zip(&quantised.scales).enumerate() {
        if !scale.is_finite() {
            return Err(TensorError::NotFinite(scales_of(name)));
        }
        // That a row reaches 127 is what lets its scale be found again from its values.
        let largest = values.iter().map(|v| v.unsigned_abs()).max().unwrap_or(0);
        let expected = if scale == 0.0 { 0 } else { 127 };
        if largest != expected || scale < 0.0 {
            return fail(format!("row {row} reaches {largest} with the scale {scale:e}, it must reach {expected}"));
        }
    }
    Ok(Values::F32(quantised.widened(inner)))
}

#[cfg(test)]
mod tests {
    use super::super::{Precision, TensorMap};
    use super::*;

    /// A matrix of 3 x 4, a bias and a convolution.
    fn map() -> TensorMap {
        let mut map = TensorMap::default();
        let matrix = vec![0.5, -1.25, 3.0, 0.1, 0.0, 0.0, 0.0, 0.0, 1e-3, 7e-4, -9e-4, 1e-5];
        map.insert("fc.weight", Tensor::f32([3, 4], matrix));
        map.insert("fc.bias", Tensor::f32([3], vec![0.5, 1.0, -2.0]));
        map.insert("proj.weight", Tensor::f32([1, 1, 1, 2], vec![0.25, -0.75]));
        map
    }

    fn rounded(map: &TensorMap) -> TensorMap {
        TensorMap::read(&map.write(Precision::Int8).unwrap()).unwrap()
    }

    #[test]
    fn each_row_has_a_scale_and_half_a_step_is_the_most_that_is_lost() {
        let (exact, found) = (map(), rounded(&map()));
        assert_eq!(found.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["fc.bias", "fc.weight", "proj.weight"]);
        let (exact, lossy) = (exact.reals("fc.weight").unwrap(), found.reals("fc.weight").unwrap());
        for (row, other) in exact.chunks(4).zip(lossy.chunks(4)) {
            let step = row.iter().fold(0.0_f32, |m, v| m.max(v.abs())) / 127.0;
            assert!(row.iter().zip(other).all(|(a, b)| (a - b).abs() <= 0.5001 * step), "{row:?} {other:?}");
        }
        // The rest is in f16, which holds these.
        assert_eq!(found.reals("proj.weight").unwrap(), [0.25, -0.75]);
    }

    #[test]
    fn rounding_twice_is_rounding_once() {
        // Many magnitudes, so that a scale that were not exact would show.
        let values: Vec<f32> = (0..4096_u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) as f32 / 2e9 - 1.0) * 1.37f32.powi(i as i32 / 64 - 30))
            .collect();
        let mut map = TensorMap::default();
        map.insert("w", Tensor::f32([64, 64], values));
        let once = rounded(&map);
        assert_ne!(once, map);
        assert_eq!(rounded(&once), once);
        let again = Quantised::of(once.reals("w").unwrap(), 64);
        assert_eq!(again.widened(64), once.reals("w").unwrap());
        assert!(again.values.chunks(64).all(|row| row.iter().any(|q| q.unsigned_abs() == 127)));
    }

    /// The map's file with one byte string of the same length put in the place of another.
    fn edited(from: &[u8], to: &[u8]) -> TensorError {
        let mut bytes = map().write(Precision::Int8).unwrap();
        let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
        bytes[at..at + from.len()].copy_from_slice(to);
        TensorMap::read(&bytes).unwrap_err()
    }

    #[test]
    fn what_is_no_such_matrix_is_named() {
        let scale = Quantised::of(map().reals("fc.weight").unwrap(), 4).scales[0];
        for (error, words) in [
            (edited(b"weight_scale", b"weight_skale"), "\"fc.weight_scale\" must hold one f32 for each of its 3 rows"),
            (edited(&scale.to_le_bytes(), &f32::NAN.to_le_bytes()), "\"fc.weight_scale\" holds a value that is not"),
            (edited(&scale.to_le_bytes(), &(-scale).to_le_bytes()), "row 0 reaches 127 with the scale -"),
            // The first row's integers are 21, -53, 127, 4.
            (edited(&[21, 203, 127, 4], &[21, 203, 100, 4]), "row 0 reaches 100"),
            (edited(&[21, 203, 127, 4], &[21, 128, 127, 4]), "row 0 reaches 128"),
        ] {
            let text = error.to_string();
            assert!(text.contains(words), "{text}");
        }
        let mut broken = map();
        broken.insert("fc.weight", Tensor::f32([1, 2], vec![1.0, f32::INFINITY]));
        let error = TensorMap::read(&broken.write(Precision::Int8).unwrap()).unwrap_err();
        assert!(matches!(error, TensorError::NotFinite(name) if name == "fc.weight_scale"));
    }
}

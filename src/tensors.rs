//! Named tensors: what a safetensors file holds, as f32 (weights, activations) or i32 (labels, indices).
//!
//! Names and layouts at this border are timm's: linear weights are `[out, in]`, convolutions `[out, in, kh, kw]`.

mod int8;

use std::collections::BTreeMap;
use std::fmt;

use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

pub(crate) use int8::Quantised;

/// A tensor in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Its shape; a scalar has none.
    pub shape: Vec<usize>,
    /// Its values, as many as the product of `shape`.
    pub values: Values,
}

/// The values of a [`Tensor`].
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Reals; what a file holds in f16, bf16 or eight bits is widened when read.
    F32(Vec<f32>),
    /// Labels and indices; i64 files are narrowed when read.
    I32(Vec<i32>),
}

/// How reals are stored, in a file or on a graphics device; the finest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 4 bytes a value.
    #[default]
    F32,
    /// 2 bytes a value.
    F16,
    /// 1 byte a value for the weights of linear layers (those with two axes), with one scale for each output; 2 bytes for
    /// all other values. A file holds the scales of `NAME` as `NAME_scale`, f32.
    Int8,
}

/// Named tensors and the file's metadata.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TensorMap {
    tensors: BTreeMap<String, Tensor>,
    /// Free text beside the tensors (a trace's `config`, for one).
    pub metadata: BTreeMap<String, String>,
}

/// Why tensors could not be read or used.
#[derive(Debug, thiserror::Error)]
pub enum TensorError {
    /// Not a safetensors file, or a damaged one.
    #[error("this is not a readable safetensors file ({0})")]
    Format(#[from] safetensors::SafeTensorError),
    /// An element type that is neither a real nor an index.
    #[error("tensor \"{name}\" holds {dtype:?}, expected f32, f16, bf16, i8, i32 or i64")]
    Dtype {
        /// Name of the tensor.
        name: String,
        /// What it holds.
        dtype: Dtype,
    },
    /// An index that does not fit 32 bits.
    #[error("tensor \"{0}\" holds an index that does not fit 32 bits")]
    Index(String),
    /// A name that is not there.
    #[error("tensor \"{0}\" is missing")]
    Missing(String),
    /// A shape that the network does not have.
    #[error("tensor \"{name}\" has shape {found:?}, expected {expected:?}")]
    Shape {
        /// Name of the tensor.
        name: String,
        /// Shape in the file.
        found: Vec<usize>,
        /// Shape that was asked for.
        expected: Vec<usize>,
    },
    /// A tensor with more or fewer axes than it should have.
    #[error("tensor \"{name}\" has shape {found:?}, expected {expected} axes, none of them empty")]
    Axes {
        /// Name of the tensor.
        name: String,
        /// Shape in the file.
        found: Vec<usize>,
        /// How many axes were asked for.
        expected: usize,
    },
    /// Integers where reals belong, or the other way round.
    #[error("tensor \"{0}\" has the wrong kind of values (reals and integers are told apart)")]
    Kind(String),
    /// Eight bits that are not a matrix with scales.
    #[error("tensor \"{name}\" is not a matrix in eight bits: {what}")]
    Int8 {
        /// Name of the tensor.
        name: String,
        /// What is wrong.
        what: String,
    },
    /// A weight that f16 cannot hold.
    #[error("tensor \"{0}\" holds values beyond the range of f16: choose the precision f32")]
    Overflow(String),
    /// A weight that is no number.
    #[error("tensor \"{0}\" holds a value that is not a finite number")]
    NotFinite(String),
}

impl Tensor {
    /// A tensor of reals. The caller keeps `values.len()` equal to the product of `shape`.
    pub fn f32(shape: impl Into<Vec<usize>>, values: Vec<f32>) -> Self {
        let shape = shape.into();
        debug_assert_eq!(shape.iter().product::<usize>(), values.len());
        Self { shape, values: Values::F32(values) }
    }

    /// A tensor of indices. The caller keeps `values.len()` equal to the product of `shape`.
    pub fn i32(shape: impl Into<Vec<usize>>, values: Vec<i32>) -> Self {
        let shape = shape.into();
        debug_assert_eq!(shape.iter().product::<usize>(), values.len());
        Self { shape, values: Values::I32(values) }
    }
}

impl TensorMap {
    /// Reads a safetensors file that lies in memory.
    ///
    /// # Errors
    /// [`TensorError`] for a damaged file or an element type that is not supported.
    pub fn read(bytes: &[u8]) -> Result<Self, TensorError> {
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
        let mut tensors = BTreeMap::new();
        let file = SafeTensors::deserialize(bytes)?;
        let in_eight_bits = |name: &str| file.tensor(name).is_ok_and(|view| view.dtype() == Dtype::I8);
        for (name, view) in file.iter() {
            // Scales go with their matrix.
            if name.strip_suffix("_scale").is_some_and(in_eight_bits) {
                continue;
            }
            let values =
                if view.dtype() == Dtype::I8 { int8::read(name, &view, &file)? } else { read_values(name, &view)? };
            tensors.insert(name.to_owned(), Tensor { shape: view.shape().to_vec(), values });
        }
        Ok(Self { tensors, metadata })
    }

    /// Writes a safetensors file into memory; reals are rounded to `precision`, indices stay i32. The same map always
    /// gives the same bytes.
    ///
    /// # Errors
    /// [`TensorError::Format`] if the tensors do not fit the format.
    pub fn write(&self, precision: Precision) -> Result<Vec<u8>, TensorError> {
        let mut parts: Vec<(String, Vec<usize>, Dtype, Vec<u8>)> = Vec::new();
        for (name, tensor) in &self.tensors {
            let (name, shape) = (name.clone(), tensor.shape.clone());
            match (&tensor.values, precision) {
                (Values::I32(values), _) => {
                    parts.push((name, shape, Dtype::I32, bytemuck::cast_slice(values).to_vec()))
                }
                (Values::F32(values), Precision::F32) => {
                    parts.push((name, shape, Dtype::F32, bytemuck::cast_slice(values).to_vec()));
                }
                (Values::F32(values), Precision::Int8) if int8::is_matrix(tensor) => {
                    let Quantised { values, scales } = Quantised::of(values, shape.get(1).copied().unwrap_or(0));
                    let outputs = vec![scales.len()];
                    parts.push((int8::scales_of(&name), outputs, Dtype::F32, bytemuck::cast_slice(&scales).to_vec()));
                    parts.push((name, shape, Dtype::I8, bytemuck::cast_slice(&values).to_vec()));
                }
                (Values::F32(values), Precision::F16 | Precision::Int8) => {
                    let bytes = values.iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect();
                    parts.push((name, shape, Dtype::F16, bytes));
                }
            }
        }
        let views = parts
            .iter()
            .map(|(name, shape, dtype, bytes)| Ok((name, TensorView::new(*dtype, shape.clone(), bytes)?)))
            .collect::<Result<Vec<_>, TensorError>>()?;
        let metadata = (!self.metadata.is_empty()).then(|| self.metadata.clone().into_iter().collect());
        Ok(safetensors::serialize(views, metadata)?)
    }

    /// Adds or replaces a tensor.
    pub fn insert(&mut self, name: impl Into<String>, tensor: Tensor) {
        self.tensors.insert(name.into(), tensor);
    }

    /// Adds or replaces all tensors of another map.
    pub(crate) fn extend(&mut self, other: Self) {
        self.tensors.extend(other.tensors);
    }

    /// Takes a tensor out.
    pub fn remove(&mut self, name: &str) -> Option<Tensor> {
        self.tensors.remove(name)
    }

    /// Removes every tensor whose name starts with `prefix`.
    #[cfg(feature = "cpu")]
    pub(crate) fn forget(&mut self, prefix: &str) {
        self.tensors.retain(|name, _| !name.starts_with(prefix));
    }

    /// Looks a tensor up.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// Names and tensors, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// How many tensors there are.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// True without tensors.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// The reals of a tensor, whatever its shape.
    ///
    /// # Errors
    /// [`TensorError::Missing`] or [`TensorError::Kind`].
    pub fn reals(&self, name: &str) -> Result<&[f32], TensorError> {
        match &self.get(name).ok_or_else(|| TensorError::Missing(name.into()))?.values {
            Values::F32(values) => Ok(values),
            Values::I32(_) => Err(TensorError::Kind(name.into())),
        }
    }

    /// The integers of a tensor, whatever its shape.
    ///
    /// # Errors
    /// [`TensorError::Missing`] or [`TensorError::Kind`].
    pub fn integers(&self, name: &str) -> Result<&[i32], TensorError> {
        match &self.get(name).ok_or_else(|| TensorError::Missing(name.into()))?.values {
            Values::I32(values) => Ok(values),
            Values::F32(_) => Err(TensorError::Kind(name.into())),
        }
    }

    /// The reals of a tensor that must have `shape` and only finite values (a weight).
    ///
    /// # Errors
    /// [`TensorError::Missing`], [`TensorError::Shape`], [`TensorError::Kind`] or [`TensorError::NotFinite`].
    pub fn weight(&self, name: &str, shape: &[usize]) -> Result<&[f32], TensorError> {
        let tensor = self.get(name).ok_or_else(|| TensorError::Missing(name.into()))?;
        if tensor.shape != shape {
            return Err(TensorError::Shape {
                name: name.into(),
                found: tensor.shape.clone(),
                expected: shape.to_vec(),
            });
        }
        let values = self.reals(name)?;
        if values.iter().all(|v| v.is_finite()) { Ok(values) } else { Err(TensorError::NotFinite(name.into())) }
    }

    /// The shape and the reals of a tensor that must have `D` axes, none of them empty, and only finite values (an input).
    ///
    /// # Errors
    /// [`TensorError::Missing`], [`TensorError::Axes`], [`TensorError::Kind`] or [`TensorError::NotFinite`].
    pub fn axes<const D: usize>(&self, name: &str) -> Result<([usize; D], &[f32]), TensorError> {
        let tensor = self.get(name).ok_or_else(|| TensorError::Missing(name.into()))?;
        match <[usize; D]>::try_from(tensor.shape.as_slice()) {
            Ok(shape) if !shape.contains(&0) => Ok((shape, self.weight(name, &shape)?)),
            _ => Err(TensorError::Axes { name: name.into(), found: tensor.shape.clone(), expected: D }),
        }
    }

    /// The tensors whose names start with `prefix`, with the prefix cut off.
    pub fn under(&self, prefix: &str) -> Self {
        let tensors = self
            .tensors
            .iter()
            .filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?.to_owned(), tensor.clone())))
            .collect();
        Self { tensors, metadata: BTreeMap::new() }
    }
}

impl fmt::Display for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.shape)
    }
}

/// The f32 of the bits of an f16, without a branch: so a whole tensor is widened in vectors, also in wasm, where `half` goes value by
/// value.
#[inline(always)]
fn widened(half: u16) -> f32 {
    /// The exponents of f32 are 112 above those of f16.
    const SCALE: f32 = f32::from_bits((127 + 112) << 23);
    let (sign, rest) = (u32::from(half & 0x8000) << 16, u32::from(half & 0x7fff));
    let scaled = f32::from_bits(rest << 13) * SCALE;
    // Infinity and what is no number have the highest exponent in both.
    let special = u32::from(rest >= 0x7c00).wrapping_neg() & 0x7f80_0000;
    f32::from_bits(sign | scaled.to_bits() | special)
}

fn read_values(name: &str, view: &TensorView<'_>) -> Result<Values, TensorError> {
    fn each<const N: usize, T>(data: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
        // `as_chunks` needs no alignment: a safetensors header may end anywhere.
        data.as_chunks::<N>().0.iter().map(|&chunk| convert(chunk)).collect()
    }
    let data = view.data();
    Ok(match view.dtype() {
        Dtype::F32 => Values::F32(each(data, f32::from_le_bytes)),
        Dtype::F16 => Values::F32(each(data, |b| widened(u16::from_le_bytes(b)))),
        Dtype::BF16 => Values::F32(each(data, |b| bf16::from_le_bytes(b).to_f32())),
        Dtype::I32 => Values::I32(each(data, i32::from_le_bytes)),
        Dtype::I64 => Values::I32(
            each(data, i64::from_le_bytes)
                .into_iter()
                .map(|v| i32::try_from(v).map_err(|_| TensorError::Index(name.into())))
                .collect::<Result<_, _>>()?,
        ),
        dtype => return Err(TensorError::Dtype { name: name.into(), dtype }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> TensorMap {
        let mut map = TensorMap::default();
        map.insert("weight", Tensor::f32([2, 3], vec![0.5, -1.25, 3.0, 0.0, 1e-3, 7.0]));
        map.insert("labels", Tensor::i32([2], vec![4, -1]));
        map.metadata.insert("config".into(), "{}".into());
        map
    }

    #[test]
    fn every_f16_is_widened() {
        for bits in 0..=u16::MAX {
            let (found, expected) = (widened(bits), f16::from_bits(bits).to_f32());
            let same = found.to_bits() == expected.to_bits() || (found.is_nan() && expected.is_nan());
            assert!(same, "{bits:#06x}: {found} {expected}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(TensorMap::read(&sample().write(Precision::F32).unwrap()).unwrap(), sample());
        let halved = TensorMap::read(&sample().write(Precision::F16).unwrap()).unwrap();
        for (a, b) in halved.reals("weight").unwrap().iter().zip(sample().reals("weight").unwrap()) {
            assert!((a - b).abs() <= b.abs() * 5e-4, "{a} {b}");
        }
    }

    #[test]
    fn damaged_files_and_wrong_weights_are_named() {
        let bytes = sample().write(Precision::F32).unwrap();
        assert!(matches!(TensorMap::read(&bytes[..bytes.len() - 3]), Err(TensorError::Format(_))));
        assert!(matches!(TensorMap::read(b"not a tensor file"), Err(TensorError::Format(_))));
        let mut map = sample();
        assert!(matches!(map.weight("weight", &[3, 2]), Err(TensorError::Shape { .. })));
        assert!(matches!(map.weight("bias", &[3]), Err(TensorError::Missing(_))));
        assert!(matches!(map.weight("labels", &[2]), Err(TensorError::Kind(_))));
        assert_eq!(map.axes::<2>("weight").unwrap().0, [2, 3]);
        assert!(matches!(map.axes::<3>("weight"), Err(TensorError::Axes { expected: 3, .. })));
        map.insert("empty", Tensor::f32([0, 3], vec![]));
        assert!(matches!(map.axes::<2>("empty"), Err(TensorError::Axes { .. })));
        map.insert("weight", Tensor::f32([1], vec![f32::NAN]));
        assert!(matches!(map.weight("weight", &[1]), Err(TensorError::NotFinite(_))));
    }

    #[test]
    fn a_prefix_is_cut_off() {
        let mut map = sample();
        map.insert("param.head.bias", Tensor::f32([1], vec![1.0]));
        assert_eq!(map.under("param.").iter().map(|(n, _)| n).collect::<Vec<_>>(), ["head.bias"]);
    }
}

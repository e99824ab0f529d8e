//! PyTorch checkpoints: every tensor under its dotted path.

use std::path::Path;

use anyhow::{Context, Result};
use burn_store::pytorch_reader::{DType, PytorchReader};
use finegrain::tensors::TensorMap;
use safetensors::tensor::{Dtype, TensorView};

/// Reads the reals of a checkpoint (integers and flags are no weights); nothing in it is executed.
///
/// # Errors
/// For a damaged file, and for pickles that hold more than tensors, numbers and text.
pub(super) fn read(path: &Path) -> Result<TensorMap> {
    let mut found = Vec::new();
    for (name, tensor) in PytorchReader::new(path)?.into_tensors() {
        let bytes = || tensor.read().with_context(|| format!("tensor \"{name}\""));
        let (dtype, bytes) = match tensor.dtype() {
            DType::F32 => (Dtype::F32, bytes()?),
            DType::F16 => (Dtype::F16, bytes()?),
            DType::BF16 => (Dtype::BF16, bytes()?),
            DType::F64 => {
                let narrow = |v: &[u8; 8]| (f64::from_ne_bytes(*v) as f32).to_ne_bytes();
                (Dtype::F32, bytes()?.as_chunks::<8>().0.iter().flat_map(narrow).collect())
            }
            _ => continue,
        };
        found.push((name.clone(), dtype, tensor.shape().to_vec(), bytes));
    }
    // Through safetensors, which knows how to widen halves.
    let views = found
        .iter()
        .map(|(name, dtype, shape, bytes)| Ok((name, TensorView::new(*dtype, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>>>()?;
    Ok(TensorMap::read(&safetensors::serialize(views, None)?)?)
}

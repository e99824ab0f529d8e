//! Weights from elsewhere: timm's and Hugging Face's safetensors, PyTorch's `.pth` and `.bin`, under timm's names.

mod hugging_face;
mod import;
mod names;
mod pytorch;

use std::path::Path;

use anyhow::{Context, Result};
use finegrain::tensors::TensorMap;

pub use import::{Import, import};

/// The tensors of a file under their own names, whatever its format.
///
/// # Errors
/// When the file cannot be read or is neither safetensors nor PyTorch's.
pub fn read(path: &Path) -> Result<TensorMap> {
    let shown = path.display();
    let bytes = std::fs::read(path).with_context(|| format!("cannot read the weights \"{shown}\""))?;
    // A safetensors file starts with the length of its header and the header's brace; PyTorch's are ZIP archives or,
    // from old versions, pickles.
    let safetensors = bytes.get(8) == Some(&b'{');
    let torch = bytes.starts_with(b"PK\x03\x04") || bytes.first() == Some(&0x80);
    if torch && !safetensors {
        pytorch::read(path).with_context(|| format!("\"{shown}\" is not a readable PyTorch file"))
    } else {
        TensorMap::read(&bytes).with_context(|| format!("\"{shown}\""))
    }
}

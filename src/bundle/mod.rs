//! The web bundle: a trained network as the page and the command line load it.
//!
//! Three files: `manifest.json` (what it is, what it consists of), `model.safetensors` (weights under timm's names) and
//! `trace.safetensors` (a golden trace, to test a device with). `README.md`, the model card, may lie beside them; no
//! program reads it. Everything here works in memory; whoever calls fetches the files. A bundle is hostile until it is
//! checked: sizes are bounded before anything is allocated.

#[cfg(feature = "archive")]
mod archive;
mod check;
mod confused;
mod error;
mod levels;
mod manifest;
mod seed;

use std::fmt::Display;

#[cfg(feature = "archive")]
pub use archive::{Archive, pack};
pub use check::{check_trace, check_weights};
pub use confused::{Confused, MAX_CONFUSED, between};
pub use error::BundleError;
pub use levels::{Coarser, Level, SURE_FROM, UNSURE_BELOW, check_levels, coarser};
pub use manifest::{Calibration, FORMAT, FileEntry, MAX_BYTES, MAX_MANIFEST, Manifest};
pub use seed::seeded_image;

use crate::tensors::{Precision, TensorMap};

/// Name of the manifest.
pub const MANIFEST: &str = "manifest.json";
/// Name of the file with the weights.
pub const WEIGHTS: &str = "model.safetensors";
/// Name of the file with the golden trace.
pub const TRACE: &str = "trace.safetensors";

/// Name of the model card, which is for people and not listed in the manifest.
pub const CARD: &str = "README.md";

/// Whether the files' contents are those that the manifest names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hashes {
    /// To be found out.
    Wanted,
    /// The caller has found it out: the browser hashes several times as fast as wasm.
    Known,
}

/// A bundle that has passed every check.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    /// What it is.
    pub manifest: Manifest,
    /// The weights, widened to f32.
    pub weights: TensorMap,
    /// The golden trace: `input.images` `[1, 3, H, W]` and what the burn model makes of it, `out.logits.sa`
    /// `[1, classes]`, `out.logits.glca` `[1, classes]`, `out.probability` `[1, classes]`, `out.rollout` `[1, N + 1]`,
    /// `out.selected` `[1, k]` (those of GLCA only with GLCA).
    pub trace: TensorMap,
}

impl Bundle {
    /// Reads and checks a bundle. `file` gives the content of a file by its name in the manifest.
    ///
    /// # Errors
    /// [`BundleError`]: the first thing that is missing or wrong.
    pub fn read<E: Display>(
        manifest: &[u8],
        file: impl FnMut(&str) -> Result<Vec<u8>, E>,
    ) -> Result<Self, BundleError> {
        Self::read_with(manifest, Hashes::Wanted, file)
    }

    /// The same, where the caller may have hashed the files already.
    ///
    /// # Errors
    /// As [`Bundle::read`].
    pub fn read_with<E: Display>(
        manifest: &[u8],
        hashes: Hashes,
        mut file: impl FnMut(&str) -> Result<Vec<u8>, E>,
    ) -> Result<Self, BundleError> {
        let manifest = Manifest::read(manifest)?;
        let mut tensors = |name: &str| {
            let entry = manifest.file(name)?;
            let bytes =
                file(name).map_err(|error| BundleError::File { name: name.into(), reason: error.to_string() })?;
            match hashes {
                Hashes::Wanted => entry.check(&bytes)?,
                Hashes::Known => entry.check_size(bytes.len() as u64)?,
            }
            TensorMap::read(&bytes).map_err(|source| BundleError::Tensors { file: name.into(), source })
        };
        let (weights, trace) = (tensors(WEIGHTS)?, tensors(TRACE)?);
        check_weights(&manifest.architecture, &weights)?;
        check_trace(&manifest.architecture, &trace)?;
        Ok(Self { manifest, weights, trace })
    }

    /// The files of this bundle, names and contents, the manifest last. The manifest's list of files is made anew.
    ///
    /// # Errors
    /// [`BundleError`] for a bundle that could not be read back.
    pub fn write(&self) -> Result<Vec<(String, Vec<u8>)>, BundleError> {
        let mut manifest = self.manifest.clone();
        check_weights(&manifest.architecture, &self.weights)?;
        check_trace(&manifest.architecture, &self.trace)?;
        let mut files = Vec::new();
        // A trace is what devices are tested with: it is never rounded.
        for (name, tensors, precision) in
            [(WEIGHTS, &self.weights, manifest.precision), (TRACE, &self.trace, Precision::F32)]
        {
            let bytes =
                tensors.write(precision).map_err(|source| BundleError::Tensors { file: name.to_owned(), source })?;
            files.push((name.to_owned(), bytes));
        }
        manifest.files = files.iter().map(|(name, bytes)| FileEntry::of(name, bytes)).collect();
        manifest.check()?;
        files.push((MANIFEST.to_owned(), manifest.write()?));
        Ok(files)
    }
}

/// The weights as they will be after a bundle of this precision was written and read.
///
/// # Errors
/// [`BundleError::Tensors`] if they do not fit the format, [`BundleError::Overflow`] where rounding leaves the range
/// of the precision.
pub fn round(weights: &TensorMap, precision: Precision) -> Result<TensorMap, BundleError> {
    let failed = |source| BundleError::Tensors { file: WEIGHTS.to_owned(), source };
    let rounded = TensorMap::read(&weights.write(precision).map_err(failed)?).map_err(failed)?;
    for (name, _) in weights.iter() {
        let finite = |tensors: &TensorMap| tensors.reals(name).is_ok_and(|v| v.iter().all(|v| v.is_finite()));
        if finite(weights) && !finite(&rounded) {
            return Err(BundleError::Overflow(name.to_owned()));
        }
    }
    Ok(rounded)
}

//! What can be wrong with a bundle.

use crate::architecture::ArchitectureError;
use crate::photo::PhotoError;
use crate::tensors::TensorError;

/// Why a bundle is refused: one sentence, to be put after the bundle's name.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Not JSON, or not what a manifest holds.
    #[error("manifest.json cannot be read ({0}): export the bundle again")]
    Manifest(String),
    /// Made by a program that is newer than this one, or none of ours.
    #[error(
        "the bundle has format version {found}, this program reads {}: use the program that made it, or export it again",
        super::FORMAT
    )]
    Format {
        /// Version in the manifest.
        found: u64,
    },
    /// A field with an impossible value.
    #[error("manifest.json: {0}")]
    Field(String),
    /// A network that cannot be built.
    #[error("manifest.json: {0}")]
    Architecture(#[from] ArchitectureError),
    /// Preprocessing that cannot be done.
    #[error("manifest.json: {0}")]
    Preprocessing(#[from] PhotoError),
    /// A file that nobody gives.
    #[error("the file {name} cannot be read ({reason}): the bundle is incomplete, copy or export it again")]
    File {
        /// Its name.
        name: String,
        /// What whoever was asked says.
        reason: String,
    },
    /// A zip file that holds no bundle or cannot be read.
    #[error("the zip file {0}")]
    Archive(String),
    /// A file that is shorter or longer than the manifest says.
    #[error("{name} has {found} bytes, the manifest says {expected}: it is cut off or changed, copy it again")]
    Size {
        /// Its name.
        name: String,
        /// Its length.
        found: u64,
        /// What the manifest says.
        expected: u64,
    },
    /// A file that is not the one that was exported.
    #[error("{name} does not have the sha256 that the manifest names: it is damaged or changed, copy it again")]
    Hash {
        /// Its name.
        name: String,
    },
    /// A file that is no tensor file.
    #[error("{file}: {source}")]
    Tensors {
        /// Its name.
        file: String,
        /// What is wrong.
        source: TensorError,
    },
    /// A weight that the network does not have.
    #[error("{file}: tensor \"{name}\" does not belong to this network")]
    Extra {
        /// The file.
        file: String,
        /// The tensor.
        name: String,
    },
    /// A token that the network does not have.
    #[error("{file}: \"{name}\" lists token {token}, which the network does not have")]
    Token {
        /// The file.
        file: String,
        /// The tensor.
        name: String,
        /// The token.
        token: i32,
    },
    /// A weight too large for f16.
    #[error("tensor \"{0}\" holds values beyond the range of f16: export with --precision f32")]
    Overflow(String),
}

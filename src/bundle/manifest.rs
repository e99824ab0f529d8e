//! `manifest.json`: what a bundle is and what it consists of.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::confused::{Confused, check_confused};
use super::levels::{Level, check_levels};
use super::{BundleError, TRACE, WEIGHTS};
use crate::architecture::Architecture;
use crate::photo::Preprocessing;
use crate::tensors::Precision;

/// The version of the format that is read and written here.
pub const FORMAT: u32 = 1;

/// The most bytes that the files of a bundle may have together: 2 GiB, ViT-Large in f32 with room to spare.
pub const MAX_BYTES: u64 = 2 << 30;

/// The most bytes of a manifest.
pub const MAX_MANIFEST: usize = 4 << 20;

/// What a bundle is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this format, [`FORMAT`].
    pub format: u32,
    /// Name for addresses: letters, digits, `-` and `_`.
    pub id: String,
    /// Name for people.
    pub title: String,
    /// The network.
    pub architecture: Architecture,
    /// How a photo becomes its input.
    pub preprocessing: Preprocessing,
    /// Names of the classes, in the order of the logits.
    pub labels: Vec<String>,
    /// How the weights are stored.
    pub precision: Precision,
    /// The files that are loaded. What else lies in the folder (the model card `README.md`) is for people, is never
    /// read by a program and is not listed.
    pub files: Vec<FileEntry>,
    /// What the probabilities are worth, where it was measured; bundles of older programs have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// Coarser names for the classes, for answers that are unsure; bundles of older programs have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hierarchy: Vec<Level>,
    /// The pairs of classes that were confused most on the test photos, where that was measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub confused: Vec<Confused>,
    /// Where the weights come from: recipe, data, versions, measures.
    pub training: serde_json::Value,
}

/// What was fitted on held-out training photos so that probabilities can be taken at their word.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Logits of both branches are divided by it before softmax ([`crate::answer::Answer::calibrated`]); above 0.
    pub temperature: f32,
    /// A photo whose highest calibrated probability is below this is "not recognised"; from 0 to 1.
    pub threshold: f32,
    /// Held-out photos that both were chosen on.
    pub photos: usize,
}

impl Calibration {
    /// Checks that probabilities can be computed with it.
    ///
    /// # Errors
    /// [`BundleError::Field`].
    pub fn check(&self) -> Result<(), BundleError> {
        let Self { temperature, threshold, .. } = *self;
        if !temperature.is_finite() || temperature <= 0.0 {
            return Err(BundleError::Field(format!("the temperature is {temperature}, it must be finite and above 0")));
        }
        if !(0.0..=1.0).contains(&threshold) {
            return Err(BundleError::Field(format!("the threshold is {threshold}, it must be from 0 to 1")));
        }
        Ok(())
    }
}

/// One file of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Its name, without any folder.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its content, 64 hexadecimal digits.
    pub sha256: String,
}

impl Manifest {
    /// What logits are divided by before softmax: 1 where nothing was fitted.
    pub fn temperature(&self) -> f32 {
        self.calibration.map_or(1.0, |calibration| calibration.temperature)
    }

    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// [`BundleError::Manifest`], [`BundleError::Format`] or what [`Manifest::check`] finds.
    pub fn read(bytes: &[u8]) -> Result<Self, BundleError> {
        if bytes.len() > MAX_MANIFEST {
            return Err(BundleError::Manifest(format!("it has more than {} MiB", MAX_MANIFEST >> 20)));
        }
        // The version is looked at alone: what a later format adds is not this format's error.
        #[derive(Deserialize)]
        struct Version {
            format: u64,
        }
        let unreadable = |error: serde_json::Error| BundleError::Manifest(error.to_string());
        let Version { format } = serde_json::from_slice(bytes).map_err(unreadable)?;
        if format != u64::from(FORMAT) {
            return Err(BundleError::Format { found: format });
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(unreadable)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The manifest as it is stored: JSON for people to read.
    ///
    /// # Errors
    /// [`BundleError::Manifest`] if a value has no form in JSON.
    pub fn write(&self) -> Result<Vec<u8>, BundleError> {
        let mut json = serde_json::to_vec_pretty(self).map_err(|error| BundleError::Manifest(error.to_string()))?;
        json.push(b'\n');
        Ok(json)
    }

    /// Checks everything that can be checked without the other files.
    ///
    /// # Errors
    /// [`BundleError`] names the first field that is wrong.
    pub fn check(&self) -> Result<(), BundleError> {
        let fail = |text: String| Err(BundleError::Field(text));
        if self.format != FORMAT {
            return Err(BundleError::Format { found: u64::from(self.format) });
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.id.is_empty() || self.id.len() > 64 || !self.id.chars().all(allowed) {
            return fail(format!("the id {:?} must be 1 to 64 letters, digits, \"-\" or \"_\"", self.id));
        }
        self.architecture.check()?;
        if self.architecture.parameters().is_none_or(|count| count > MAX_BYTES / 2) {
            return fail("the network is larger than any bundle can be".into());
        }
        self.preprocessing.check()?;
        let [height, width] = self.architecture.input_size();
        if self.preprocessing.crop != [height, width] {
            let [h, w] = self.preprocessing.crop;
            return fail(format!("the crop is {h} x {w} pixels, the network takes {height} x {width}"));
        }
        if let Some(calibration) = &self.calibration {
            calibration.check()?;
        }
        self.check_labels()?;
        check_levels(&self.hierarchy, self.architecture.classes)?;
        check_confused(&self.confused, self.architecture.classes)?;
        self.check_files()
    }

    /// The entry of a file.
    ///
    /// # Errors
    /// [`BundleError::Field`] if it is not listed.
    pub fn file(&self, name: &str) -> Result<&FileEntry, BundleError> {
        let found = self.files.iter().find(|entry| entry.name == name);
        found.ok_or_else(|| BundleError::Field(format!("the file {name} is not listed")))
    }

    /// Length of all files but the manifest.
    pub fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, entry| sum.saturating_add(entry.bytes))
    }

    /// Bytes of memory that loading and running the network take at the most, roughly: the files, the weights as they are read and as
    /// they are laid out for the device (the CPU path frees a transformer's on the way), and the widest activations of one block. `None` where that is no number.
    pub fn memory(&self) -> Option<u64> {
        let words = |count: usize| u64::try_from(count).ok()?.checked_mul(4);
        let architecture = &self.architecture;
        let weights = architecture.parameters()?.checked_mul(8)?;
        let [height, width] = architecture.input_size();
        let image = words(height.checked_mul(width)?.checked_mul(3)?)?;
        if architecture.resnet.is_some() {
            // The largest map is that of the first convolution, four times as large as what its pooling leaves, or one behind it.
            let map = |stages| {
                let map = architecture.map_behind(stages);
                words(map.positions().checked_mul(map.channels)?.checked_mul(4)?)
            };
            let largest = (0..=architecture.depth).map(map).collect::<Option<Vec<_>>>()?.into_iter().max()?;
            return [image, largest.checked_mul(4)?, self.bytes()].into_iter().try_fold(weights, u64::checked_add);
        }
        // Of a hybrid a few of its largest maps, that of the first convolution or one behind a stage.
        let maps = match &architecture.hybrid {
            Some(hybrid) => {
                let behind = |stages| {
                    let map = hybrid.map_behind(architecture.image_size, stages);
                    map.positions() * map.channels * if stages == 0 { 4 } else { 1 }
                };
                words((0..=hybrid.blocks.len()).map(behind).max()?.checked_mul(4)?)?
            }
            None => 0,
        };
        let tokens = architecture.tokens();
        // The CPU path keeps the tokens before each block, for looks.
        let kept = architecture.dim.checked_mul(architecture.depth.checked_add(8)?)?;
        let activations = words(tokens.checked_mul(architecture.hidden().checked_add(kept)?)?)?;
        // The CPU path holds one block's map of attention.
        let map = words(tokens.checked_mul(tokens)?.checked_mul(architecture.heads)?)?;
        [image, maps, activations, map, self.bytes()].into_iter().try_fold(weights, u64::checked_add)
    }

    fn check_labels(&self) -> Result<(), BundleError> {
        let fail = |text: String| Err(BundleError::Field(text));
        if self.labels.len() != self.architecture.classes {
            return fail(format!("{} labels for {} classes", self.labels.len(), self.architecture.classes));
        }
        let mut seen = BTreeSet::new();
        for (class, label) in self.labels.iter().enumerate() {
            if label.trim().is_empty() {
                return fail(format!("the label of class {class} is empty"));
            }
            if !seen.insert(label) {
                return fail(format!("two classes have the label {label:?}"));
            }
        }
        Ok(())
    }

    fn check_files(&self) -> Result<(), BundleError> {
        let fail = |text: String| Err(BundleError::Field(text));
        let mut seen = BTreeSet::new();
        for entry in &self.files {
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            // Such a name is a plain file on every system and in every address.
            if entry.name.is_empty() || entry.name.starts_with('.') || !entry.name.chars().all(allowed) {
                return fail(format!("{:?} is not a name for a file", entry.name));
            }
            if !seen.insert(&entry.name) {
                return fail(format!("the file {} is listed twice", entry.name));
            }
            if entry.sha256.len() != 64 || !entry.sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
                return fail(format!("the sha256 of {} is not 64 hexadecimal digits", entry.name));
            }
        }
        if self.bytes() > MAX_BYTES {
            return fail(format!("the files have {} bytes, at most {MAX_BYTES} are accepted", self.bytes()));
        }
        self.file(WEIGHTS)?;
        self.file(TRACE)?;
        Ok(())
    }
}

impl FileEntry {
    /// Describes a file.
    pub fn of(name: &str, content: &[u8]) -> Self {
        Self { name: name.to_owned(), bytes: content.len() as u64, sha256: sha256(content) }
    }

    /// Checks length and hash of the file's content.
    ///
    /// # Errors
    /// [`BundleError::Size`] or [`BundleError::Hash`].
    pub fn check(&self, content: &[u8]) -> Result<(), BundleError> {
        self.check_size(content.len() as u64)?;
        if sha256(content).eq_ignore_ascii_case(&self.sha256) {
            Ok(())
        } else {
            Err(BundleError::Hash { name: self.name.clone() })
        }
    }

    /// Checks the length alone, before the file is read.
    ///
    /// # Errors
    /// [`BundleError::Size`].
    pub fn check_size(&self, found: u64) -> Result<(), BundleError> {
        if found == self.bytes {
            Ok(())
        } else {
            Err(BundleError::Size { name: self.name.clone(), found, expected: self.bytes })
        }
    }
}

fn sha256(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

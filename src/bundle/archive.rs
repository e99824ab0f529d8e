//! A bundle as one `.zip`: what `finegrain export --out x.zip` writes, or what zipping a bundle's folder gives.
//!
//! A zip is hostile: no entry is unpacked beyond the bytes that whoever asks for it allows, whatever the archive says of
//! its size, and paths in it are compared, never followed.

use std::io::{Cursor, Read as _, Write as _};

use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::{BundleError, MANIFEST};

/// The most bytes of a zip: its content is copied at least once, and a page has little memory.
const MAX_ARCHIVE: usize = 512 << 20;

/// The most files in it: a bundle has four, and other programs add theirs.
const MAX_ENTRIES: usize = 1000;

/// An opened zip that holds a bundle.
#[derive(Debug)]
pub struct Archive {
    zip: ZipArchive<Cursor<Vec<u8>>>,
    /// The folder of the bundle in the zip, with a final slash, or nothing.
    folder: String,
}

impl Archive {
    /// Reads the list of files and finds the bundle: `manifest.json` at the top, or in the only folder that has one.
    ///
    /// # Errors
    /// [`BundleError::Archive`] for what is no zip, is too large, or holds no bundle or more than one.
    pub fn open(bytes: Vec<u8>) -> Result<Self, BundleError> {
        let refuse = |text: String| Err(BundleError::Archive(text));
        if bytes.len() > MAX_ARCHIVE {
            return refuse(format!("has more than {} MiB: open the bundle's folder instead", MAX_ARCHIVE >> 20));
        }
        let zip = ZipArchive::new(Cursor::new(bytes)).map_err(unreadable)?;
        if zip.len() > MAX_ENTRIES {
            return refuse(format!("holds {} files, a bundle has four: zip the bundle's folder alone", zip.len()));
        }
        let folder = |path: &str| folder_of_bundle(path).map(str::to_owned);
        let folders: Vec<String> = zip.file_names().flatten().filter_map(|path| folder(&path)).collect();
        match &folders[..] {
            [folder] => Ok(Self { folder: folder.clone(), zip }),
            [] => refuse(format!("holds no {MANIFEST}: zip the folder that `finegrain export` wrote")),
            folders if folders.iter().any(String::is_empty) => Ok(Self { folder: String::new(), zip }),
            _ => refuse(format!("holds {} bundles: zip one of their folders alone", folders.len())),
        }
    }

    /// The content of a file of the bundle, at most `limit` bytes of it.
    ///
    /// # Errors
    /// [`BundleError::File`] for one that is not there, [`BundleError::Archive`] for one that is damaged, encrypted,
    /// packed in an unusual way, or longer than `limit`.
    pub fn file(&mut self, name: &str, limit: u64) -> Result<Vec<u8>, BundleError> {
        let path = format!("{}{name}", self.folder);
        let entry = match self.zip.by_name(&path) {
            Ok(entry) => entry,
            Err(ZipError::FileNotFound) => {
                return Err(BundleError::File { name: name.into(), reason: "it is not in the zip file".into() });
            }
            Err(error) => return Err(unreadable(error)),
        };
        let longer = || {
            Err(BundleError::Archive(format!("unpacks {name} to more than the {limit} bytes that are allowed for it")))
        };
        if entry.size() > limit {
            return longer();
        }
        // What the archive says of sizes need not be true: memory grows with what really comes, up to the limit.
        let mut content = Vec::new();
        let mut bounded = entry.take(limit.saturating_add(1));
        bounded
            .read_to_end(&mut content)
            .map_err(|error| BundleError::Archive(format!("is damaged at {name} ({error}): make or copy it again")))?;
        if content.len() as u64 > limit { longer() } else { Ok(content) }
    }
}

/// The folder of a path that ends in a manifest, at most one folder deep; what macOS adds is passed over.
fn folder_of_bundle(path: &str) -> Option<&str> {
    let folder = path.strip_suffix(MANIFEST)?;
    let depth = folder.matches('/').count();
    (depth <= 1 && (folder.is_empty() || folder.ends_with('/')) && folder != "__MACOSX/").then_some(folder)
}

fn unreadable(error: ZipError) -> BundleError {
    BundleError::Archive(format!("cannot be read ({error}): make it again with `finegrain export`, or open the folder"))
}

/// Packs files into a zip, in their order, each deflated.
///
/// # Errors
/// [`BundleError::Archive`] where the writer fails.
pub fn pack<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Vec<u8>, BundleError> {
    let failed = |error: &dyn std::fmt::Display| BundleError::Archive(format!("could not be written ({error})"));
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    // Without a time of day: the same bundle gives the same bytes.
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(zip::DateTime::default());
    for (name, content) in files {
        writer.start_file(name, options).map_err(|error| failed(&error))?;
        writer.write_all(content).map_err(|error| failed(&error))?;
    }
    writer.finish().map(Cursor::into_inner).map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zip(names: &[&str]) -> Vec<u8> {
        pack(names.iter().map(|name| (*name, name.as_bytes()))).unwrap()
    }

    #[test]
    fn a_bundle_is_found_at_the_top_and_in_a_folder() {
        for names in [
            &["manifest.json", "a"][..],
            &["birds/a", "birds/manifest.json", "__MACOSX/manifest.json"],
            &["manifest.json", "other/manifest.json", "a"],
        ] {
            let mut archive = Archive::open(zip(names)).unwrap();
            let folder = archive.folder.clone();
            for name in ["a", MANIFEST] {
                assert_eq!(archive.file(name, 100).unwrap(), format!("{folder}{name}").into_bytes());
            }
            assert!(matches!(archive.file("b", 100), Err(BundleError::File { .. })));
        }
    }

    #[test]
    fn what_is_no_bundle_is_refused() {
        let cases: [(Vec<u8>, &str); 5] = [
            (b"These are words.".to_vec(), "cannot be read"),
            (Vec::new(), "cannot be read"),
            (zip(&["a", "deep/down/manifest.json", "notmanifest.json"]), "holds no manifest.json"),
            (zip(&["a/manifest.json", "b/manifest.json"]), "holds 2 bundles"),
            (
                zip(&(0..=MAX_ENTRIES)
                    .map(|i| i.to_string())
                    .collect::<Vec<_>>()
                    .iter()
                    .map(String::as_str)
                    .collect::<Vec<_>>()),
                "holds 1001 files",
            ),
        ];
        for (bytes, word) in cases {
            let error = Archive::open(bytes).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn nothing_is_unpacked_beyond_its_limit() {
        // 64 MiB of zeros in 64 KiB.
        let zeros = vec![0; 64 << 20];
        let bomb = pack([(MANIFEST, &zeros[..])]).unwrap();
        assert!(bomb.len() < 128 << 10, "{}", bomb.len());
        let mut archive = Archive::open(bomb.clone()).unwrap();
        assert!(archive.file(MANIFEST, 4 << 20).unwrap_err().to_string().contains("more than"));
        // The same with a size of 1 byte in its list of files and in its header, which only unpacking can tell.
        let mut lying = bomb;
        let size = u32::try_from(zeros.len()).unwrap().to_le_bytes();
        let places: Vec<usize> = (0..lying.len() - 4).filter(|&at| lying[at..at + 4] == size).collect();
        assert!(!places.is_empty());
        for at in places {
            lying[at..at + 4].copy_from_slice(&1u32.to_le_bytes());
        }
        let mut archive = Archive::open(lying).unwrap();
        assert!(archive.file(MANIFEST, 4 << 20).is_err());
    }

    #[test]
    fn a_damaged_file_is_told() {
        let noise: Vec<u8> = (0..10_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        let mut bytes = pack([(MANIFEST, &noise[..])]).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x55;
        let error = Archive::open(bytes).unwrap().file(MANIFEST, 1 << 20).unwrap_err().to_string();
        assert!(error.contains("damaged"), "{error}");
    }
}

//! Bundles on disk: folders, and zip files of the same files.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use finegrain::architecture::{Architecture, Mechanism};
use finegrain::bundle::{
    Archive, Bundle, BundleError, CARD, MANIFEST, MAX_BYTES, MAX_MANIFEST, Manifest, TRACE, WEIGHTS, pack,
};
use serde_json::{Value, json};
use tempfile::{NamedTempFile, TempDir};

/// Reads and checks the bundle in a folder or a zip file.
///
/// # Errors
/// One sentence that names the bundle and the first thing that is missing or wrong.
pub fn open(dir: &Path) -> Result<Bundle> {
    if dir.is_file() {
        return open_zip(dir);
    }
    let manifest = fs::read(dir.join(MANIFEST))
        .with_context(|| format!("\"{}\" is not a bundle: its {MANIFEST} cannot be read", dir.display()))?;
    check_sizes(dir, &manifest)
        .and_then(|()| Bundle::read(&manifest, |name| fs::read(dir.join(name))))
        .with_context(|| format!("the bundle \"{}\" cannot be used", dir.display()))
}

fn open_zip(file: &Path) -> Result<Bundle> {
    let read = || -> Result<Bundle> {
        let length = fs::metadata(file)?.len();
        let most = MAX_BYTES + 2 * MAX_MANIFEST as u64; // files are stored, not packed; a card comes with them
        ensure!(length <= most, "it has {length} bytes, no bundle has more than {most}");
        let mut archive = Archive::open(fs::read(file)?)?;
        let manifest = archive.file(MANIFEST, MAX_MANIFEST as u64)?;
        let sizes = Manifest::read(&manifest)?;
        Ok(Bundle::read(&manifest, |name| archive.file(name, sizes.file(name)?.bytes))?)
    };
    read().with_context(|| format!("the bundle \"{}\" cannot be used", file.display()))
}

/// Whether a path is that of a zip file, by its name.
pub fn is_zip(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zip"))
}

/// Writes a bundle with its card into one zip file, reads it back, and only then gives it its name.
///
/// # Errors
/// A folder of that name, a full disk, or a bundle that does not pass its own checks.
pub fn write_zip(bundle: &Bundle, file: &Path, card: impl FnOnce(&Manifest) -> Result<Option<String>>) -> Result<()> {
    if file.is_dir() {
        bail!("\"{}\" is a folder: choose another name for --out", file.display());
    }
    let mut files = bundle.write()?;
    let content = |name: &str| files.iter().find(|(known, _)| known == name).map(|(_, content)| content.clone());
    let manifest = Manifest::read(&content(MANIFEST).unwrap_or_default())?;
    if let Some(card) = card(&manifest)? {
        files.push((CARD.to_owned(), card.into_bytes()));
    }
    let zip = pack(files.iter().map(|(name, content)| (name.as_str(), content.as_slice())))?;
    let cannot = || format!("the bundle cannot be written to \"{}\"", file.display());
    fs::create_dir_all(parent(file)).with_context(cannot)?;
    let new = NamedTempFile::with_suffix_in(".zip", parent(file)).with_context(cannot)?;
    fs::write(new.path(), &zip).with_context(cannot)?;
    open(new.path())?;
    replace(file, &zip).with_context(cannot)
}

/// Compares lengths before files are read, so that none fills the memory.
fn check_sizes(dir: &Path, manifest: &[u8]) -> Result<(), BundleError> {
    for entry in &Manifest::read(manifest)?.files {
        // A file that is not there is told by whoever reads it.
        if let Ok(facts) = fs::metadata(dir.join(&entry.name)) {
            entry.check_size(facts.len())?;
        }
    }
    Ok(())
}

/// Writes a bundle into a folder, reads it back, and only then gives the folder its name: an interrupted or failed
/// export leaves what was there.
///
/// # Errors
/// A folder that holds something else, a full disk, or a bundle that does not pass its own checks.
pub fn write(bundle: &Bundle, dir: &Path) -> Result<()> {
    write_with_card(bundle, dir, |_| Ok(None))
}

/// [`write()`], with the model card that `card` makes of the written manifest beside the files.
///
/// # Errors
/// Those of [`write()`] and of `card`.
pub fn write_with_card(
    bundle: &Bundle,
    dir: &Path,
    card: impl FnOnce(&Manifest) -> Result<Option<String>>,
) -> Result<()> {
    // What a link leads to is replaced, not the link.
    let dir = &fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    replaceable(dir)?;
    let files = bundle.write()?;
    let parent = parent(dir);
    let cannot = || format!("the bundle cannot be written to \"{}\"", dir.display());
    fs::create_dir_all(&parent).with_context(cannot)?;
    let new = TempDir::with_prefix_in(".bundle-", &parent).with_context(cannot)?;
    for (name, content) in files {
        fs::write(new.path().join(name), content).with_context(cannot)?;
    }
    let written = open(new.path())?;
    if let Some(card) = card(&written.manifest)? {
        fs::write(new.path().join(CARD), card).with_context(cannot)?;
    }
    readable(new.path()).with_context(cannot)?;
    // A folder cannot be replaced in one step: the old one is moved aside, and back if the new one cannot take its place.
    let old = TempDir::with_prefix_in(".old-", &parent).with_context(cannot)?;
    let aside = old.path().join("bundle");
    if dir.exists() {
        fs::rename(dir, &aside).with_context(cannot)?;
    }
    let new = new.keep();
    if let Err(error) = fs::rename(&new, dir) {
        let _ = fs::rename(&aside, dir);
        let _ = fs::remove_dir_all(&new);
        return Err(error).with_context(cannot);
    }
    Ok(())
}

/// An export takes the place of nothing, of an empty folder, or of a bundle with nothing of anybody else's beside it.
fn replaceable(dir: &Path) -> Result<()> {
    let Ok(facts) = fs::symlink_metadata(dir) else { return Ok(()) };
    let another = "choose another folder for --out";
    ensure!(facts.is_dir(), "\"{}\" exists and is no folder: {another}", dir.display());
    let entries = fs::read_dir(dir).with_context(|| format!("the folder \"{}\" cannot be read", dir.display()))?;
    let mut names = entries.map(|entry| Ok(entry?.file_name())).collect::<std::io::Result<Vec<_>>>()?;
    names.sort();
    let own = [MANIFEST, WEIGHTS, TRACE, CARD];
    if names.is_empty() {
        return Ok(());
    }
    let manifest = fs::read(dir.join(MANIFEST)).is_ok_and(|text| Manifest::read(&text).is_ok());
    ensure!(
        manifest || dir.join(WEIGHTS).is_file() && dir.join(MANIFEST).is_file(),
        "\"{}\" exists and is not a bundle: {another}",
        dir.display()
    );
    if let Some(other) = names.iter().find(|name| !own.iter().any(|own| name == own)) {
        bail!("\"{}\" holds \"{}\" beside a bundle: {another}, or move that", dir.display(), other.display());
    }
    Ok(())
}

/// Temporary folders are private; a bundle is for a web server too.
#[cfg(unix)]
fn readable(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn readable(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// How often an answer is right.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Accuracy {
    /// Share of the test photos that were named rightly.
    pub top1: f64,
    /// Test photos.
    pub photos: usize,
}

/// The mechanism's name as an index of bundles has it: with RGA's gates where they stand beside it, and of a DCAL without GLCA what is
/// left at inference.
///
/// # Errors
/// None that an architecture could cause.
pub fn mechanism(architecture: &Architecture) -> Result<String> {
    let value = serde_json::to_value(&architecture.mechanism)?;
    let name = value["name"].as_str().unwrap_or_default();
    Ok(match (&architecture.mechanism, value["gates"].is_null()) {
        // PWCA is training's alone: without GLCA the network is the plain one.
        (Mechanism::Dcal(dcal), true) if !dcal.glca => "none".to_owned(),
        (Mechanism::Dcal(dcal), false) if !dcal.glca => "rga".to_owned(),
        (_, true) => name.to_owned(),
        (_, false) => format!("{name}+rga"),
    })
}

/// Lists a bundle in an index of bundles (`{"models": [{"id", "title", "path", "classes", "bytes", "precision", "memory",
/// "mechanism", "subject", "accuracy", "test_photos"}]}`), in the place of an entry with the same id, or at the end. Makes the
/// index if there is none. `memory` is bytes; the last two are there where they were measured.
///
/// `path` is relative to the page, which lies in the folder above the index's (`www/` of `www/models/index.json`).
/// `mechanism` is its name in the manifest's architecture ("dcal", "rga", ...), with RGA's gates beside it "dcal+rga". `subject` is the id of the bundle that names
/// the same classes and stands for them: the page offers bundles of one subject as one choice, and then their mechanisms.
/// Without it a bundle is its own subject; an entry that is replaced keeps the one it had.
///
/// # Errors
/// An index that is no such JSON, or a bundle that is not below the page's folder.
pub fn list(
    index: &Path,
    dir: &Path,
    manifest: &Manifest,
    subject: Option<&str>,
    accuracy: Option<Accuracy>,
) -> Result<()> {
    let mut document = listing(index)?;
    let home = parent(index).join("..");
    let mut entry = json!({
        "id": manifest.id,
        "title": manifest.title,
        "path": relative(dir, &home)?,
        "classes": manifest.architecture.classes,
        "bytes": manifest.bytes(),
        "precision": manifest.precision,
        "memory": manifest.memory(),
        "mechanism": mechanism(&manifest.architecture)?,
    });
    if let Some(Accuracy { top1, photos }) = accuracy {
        entry["accuracy"] = json!(top1);
        entry["test_photos"] = json!(photos);
    }
    let Some(models) = document.get_mut("models").and_then(Value::as_array_mut) else {
        bail!("the index \"{}\" has no list \"models\"", index.display());
    };
    let former = models.iter_mut().find(|model| model["id"] == entry["id"]);
    let kept = former.as_ref().and_then(|model| model["subject"].as_str());
    if let Some(subject) = subject.or(kept) {
        entry["subject"] = json!(subject);
    }
    match former {
        Some(model) => *model = entry,
        None => models.push(entry),
    }
    let mut text = serde_json::to_string_pretty(&document)?;
    text.push('\n');
    replace(index, text.as_bytes()).with_context(|| format!("the index \"{}\" cannot be written", index.display()))
}

/// What an index says: an object with the list `models`, which is empty where there is no file yet.
///
/// # Errors
/// A file that cannot be read or says something else.
pub fn listing(index: &Path) -> Result<Value> {
    let document: Value = match fs::read(index) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .with_context(|| format!("the index \"{}\" is not valid JSON", index.display()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => json!({ "models": [] }),
        Err(error) => return Err(error).with_context(|| format!("the index \"{}\" cannot be read", index.display())),
    };
    ensure!(document["models"].is_array(), "the index \"{}\" has no list \"models\"", index.display());
    Ok(document)
}

/// Writes a whole file or leaves the old one.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let path = &file_behind(path)?;
    let mut file = NamedTempFile::new_in(parent(path))?;
    file.write_all(content)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644))?;
    }
    file.persist(path)?;
    Ok(())
}

/// The file that a new one may take the place of: what a link leads to, not the link; and no device, pipe or folder.
pub(crate) fn file_behind(path: &Path) -> Result<PathBuf> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let other = fs::symlink_metadata(&path).is_ok_and(|facts| !facts.is_file());
    ensure!(!other, "\"{}\" exists and is no file: choose another name", path.display());
    Ok(path)
}

/// The folder that holds `path`.
fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// `dir` as an address relative to `home`.
fn relative(dir: &Path, home: &Path) -> Result<String> {
    let (absolute, home) = (fs::canonicalize(dir)?, fs::canonicalize(home)?);
    let Ok(inside) = absolute.strip_prefix(&home) else {
        bail!("the bundle \"{}\" does not lie below the page's folder \"{}\"", dir.display(), home.display());
    };
    Ok(inside.iter().map(|part| format!("{}/", part.to_string_lossy())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_listed_with_what_it_has() {
        let of = |text: &str| -> String {
            let mut architecture = crate::random::network("vit-tiny", 32).unwrap().0;
            architecture.mechanism = toml::from_str(text).unwrap();
            mechanism(&architecture).unwrap()
        };
        let glca = "name = \"dcal\"\nratio = 0.1\nglca = true\npwca = false\n";
        assert_eq!(of(glca), "dcal");
        let gates = "[gates]\nratio = 8\nspatial = true\nchannel = true\nafter = [4]\n";
        assert_eq!(of(&format!("{glca}{gates}")), "dcal+rga");
        assert_eq!(of(&glca.replace("glca = true", "glca = false")), "none");
        assert_eq!(of(&format!("{}{gates}", glca.replace("glca = true", "glca = false"))), "rga");
        assert_eq!(of("name = \"none\""), "none");
    }
}

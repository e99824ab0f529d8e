//! Bundles on disk.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use finegrain::bundle::{Bundle, BundleError, CARD, MANIFEST, Manifest};
use serde_json::{Value, json};
use tempfile::{NamedTempFile, TempDir};

/// Reads and checks the bundle in a folder.
///
/// # Errors
/// One sentence that names the bundle and the first thing that is missing or wrong.
pub fn open(dir: &Path) -> Result<Bundle> {
    let manifest = fs::read(dir.join(MANIFEST))
        .with_context(|| format!("\"{}\" is not a bundle: its {MANIFEST} cannot be read", dir.display()))?;
    check_sizes(dir, &manifest)
        .and_then(|()| Bundle::read(&manifest, |name| fs::read(dir.join(name))))
        .with_context(|| format!("the bundle \"{}\" cannot be used", dir.display()))
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
    let occupied = fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
    if occupied && !dir.join(MANIFEST).is_file() || dir.is_file() {
        bail!("\"{}\" exists and is not a bundle: choose another folder for --out", dir.display());
    }
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

/// Lists a bundle in an index of bundles (`{"models": [{"id", "title", "path", "classes", "bytes", "precision"}]}`), in
/// the place of an entry with the same id, or at the end. Makes the index if there is none.
///
/// `path` is relative to the page, which lies in the folder above the index's (`www/` of `www/models/index.json`).
///
/// # Errors
/// An index that is no such JSON, or a bundle that is not below the page's folder.
pub fn list(index: &Path, dir: &Path, manifest: &Manifest) -> Result<()> {
    let mut document = match fs::read(index) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .with_context(|| format!("the index \"{}\" is not valid JSON", index.display()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => json!({ "models": [] }),
        Err(error) => return Err(error).with_context(|| format!("the index \"{}\" cannot be read", index.display())),
    };
    let home = parent(index).join("..");
    let entry = json!({
        "id": manifest.id,
        "title": manifest.title,
        "path": relative(dir, &home)?,
        "classes": manifest.architecture.classes,
        "bytes": manifest.bytes(),
        "precision": manifest.precision,
    });
    let Some(models) = document.get_mut("models").and_then(Value::as_array_mut) else {
        bail!("the index \"{}\" has no list \"models\"", index.display());
    };
    match models.iter_mut().find(|model| model["id"] == entry["id"]) {
        Some(model) => *model = entry,
        None => models.push(entry),
    }
    let mut text = serde_json::to_string_pretty(&document)?;
    text.push('\n');
    replace(index, text.as_bytes()).with_context(|| format!("the index \"{}\" cannot be written", index.display()))
}

/// Writes a whole file or leaves the old one.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<()> {
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

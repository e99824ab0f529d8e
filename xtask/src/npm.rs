//! Packages that only tests and benchmarks need, fetched once with npm; neither the page nor the program has any.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use flate2::read::GzDecoder;

use crate::shell;

/// The folder of a package in the target folder, `package` being its name and exact version; `None` where there is no npm to
/// fetch it with. npm checks the package against the hash that its registry has.
pub(crate) fn unpacked(package: &str) -> Result<Option<PathBuf>> {
    let folder = shell::target().join("npm").join(package);
    if folder.join("package.json").is_file() {
        return Ok(Some(folder));
    }
    if !shell::is_on_path("npm") {
        return Ok(None);
    }
    println!("fetching {package} with npm");
    fs::create_dir_all(shell::target())?;
    let work = tempfile::tempdir_in(shell::target())?;
    let packed = shell::output(shell::command("npm").current_dir(work.path()).args(["pack", "--silent", package]))?;
    let name = packed.lines().last().context("npm names no file")?;
    tar::Archive::new(GzDecoder::new(fs::File::open(work.path().join(name))?)).unpack(work.path())?;
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent)?;
    }
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::rename(work.path().join("package"), &folder).with_context(|| format!("{package} has an unknown layout"))?;
    Ok(Some(folder))
}

//! axe-core, which the page's accessibility is checked with: one file of its npm package, fetched once by npm.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};

use crate::shell;

/// The version that is checked with.
const PACKAGE: &str = "axe-core@4.14.1";

/// The sha256 of its `axe.min.js`.
const SHA256: &str = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c";

/// `axe.min.js` in the target folder; `None` where there is no npm to fetch it with.
pub(crate) fn file() -> Result<Option<PathBuf>> {
    let file = shell::target().join("axe-core/axe.min.js");
    if fs::read(&file).is_ok_and(|bytes| is_expected(&bytes)) {
        return Ok(Some(file));
    }
    if !shell::is_on_path("npm") {
        return Ok(None);
    }
    let work = tempfile::tempdir()?;
    let packed = shell::output(shell::command("npm").current_dir(work.path()).args([
        "pack",
        "--silent",
        "--pack-destination",
        ".",
        PACKAGE,
    ]))?;
    let name = packed.lines().last().context("npm names no file")?;
    let mut archive = tar::Archive::new(GzDecoder::new(fs::File::open(work.path().join(name))?));
    archive.unpack(work.path())?;
    let bytes = fs::read(work.path().join("package/axe.min.js")).context("axe-core has no axe.min.js")?;
    if !is_expected(&bytes) {
        bail!("{PACKAGE} is not the file that is expected");
    }
    fs::create_dir_all(shell::target().join("axe-core"))?;
    fs::write(&file, bytes)?;
    Ok(Some(file))
}

fn is_expected(bytes: &[u8]) -> bool {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>() == SHA256
}

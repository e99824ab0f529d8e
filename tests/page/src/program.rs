//! The program `finegrain`, whose answers the page must give too.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::page::Prediction;
use crate::site::www;

#[derive(Deserialize)]
struct Classified {
    predictions: Vec<Prediction>,
    calibrated: Option<Vec<Prediction>>,
    recognised: Option<bool>,
}

/// Whether the program recognises the photo; `None` for a bundle without a calibration.
///
/// # Errors
/// As [`classify`].
pub fn recognises(model: &str, photo: &Path) -> Result<Option<bool>> {
    Ok(ask(model, photo)?.recognised)
}

/// What `finegrain classify --backend webgpu --json` says of one photo: every class of the model, most probable
/// first, calibrated where the bundle has a calibration: what people are shown.
///
/// # Errors
/// Where the program is not built or fails.
pub fn classify(model: &str, photo: &Path) -> Result<Vec<Prediction>> {
    let photo = ask(model, photo)?;
    Ok(photo.calibrated.unwrap_or(photo.predictions))
}

/// `finegrain export BUNDLE --precision PRECISION --out OUT`.
///
/// # Errors
/// As [`classify`].
pub fn export(bundle: &Path, precision: &str, out: &Path) -> Result<()> {
    let output = Command::new(program()?)
        .arg("export")
        .arg(bundle)
        .args(["--precision", precision, "--out"])
        .arg(out)
        .stdin(Stdio::null())
        .output()?;
    if !output.status.success() {
        bail!("finegrain export failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

fn ask(model: &str, photo: &Path) -> Result<Classified> {
    let output = Command::new(program()?)
        .args(["classify", "--json", "--backend", "webgpu", "--top", "1000", "--bundle"])
        .arg(www().join("models").join(model))
        .arg(photo)
        .stdin(Stdio::null())
        .output()?;
    if !output.status.success() {
        bail!("finegrain classify failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let mut photos: Vec<Classified> =
        serde_json::from_slice(&output.stdout).context("its output is not the contract's")?;
    photos.pop().context("no photo was classified")
}

/// The program lies two folders above this test: `target/<profile>/deps/page-...`.
fn program() -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let folder = test.parent().and_then(Path::parent).context("the test has no folder")?;
    let program = folder.join(format!("finegrain{}", std::env::consts::EXE_SUFFIX));
    if !program.is_file() {
        bail!("the program finegrain is not built: run the tests with `cargo xtask test`");
    }
    Ok(program)
}

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
}

/// What `finegrain classify --backend webgpu --json` says of one photo: every class of the model, most probable first.
///
/// # Errors
/// Where the program is not built or fails.
pub fn classify(model: &str, photo: &Path) -> Result<Vec<Prediction>> {
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
    Ok(photos.pop().context("no photo was classified")?.predictions)
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

//! Spelling, by the program `typos`: the installed one, or one fetched into the target folder.

use std::env::consts::EXE_SUFFIX;
use std::path::PathBuf;

use anyhow::Result;

use super::report::Outcome;
use crate::shell;

/// The version that is fetched.
const VERSION: &str = "1.52.0";

pub(crate) fn run() -> Result<Outcome> {
    let Some(typos) = find_or_fetch() else {
        return Ok(Outcome::Skipped(
            "no `typos`: install it with `pip install typos` or `cargo install typos-cli`".into(),
        ));
    };
    shell::run(shell::command(typos).args(["--config", "xtask/typos.toml"]))?;
    Ok(Outcome::Passed)
}

fn find_or_fetch() -> Option<PathBuf> {
    if shell::is_on_path("typos") {
        return Some("typos".into());
    }
    let folder = shell::target().join("typos");
    let fetched = folder.join(format!("bin/typos{EXE_SUFFIX}"));
    if fetched.is_file() {
        return Some(fetched);
    }
    // The Python package is the same program, compiled: seconds instead of minutes.
    let package = format!("typos=={VERSION}");
    let _ = shell::run(
        shell::command("python3")
            .args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"])
            .args(["--root-user-action", "ignore", "--target"])
            .arg(&folder)
            .arg(package),
    );
    if !fetched.is_file() {
        let install = ["install", "typos-cli", "--version", VERSION, "--locked", "--quiet", "--root"];
        let _ = shell::run(shell::cargo().args(install).arg(&folder));
    }
    fetched.is_file().then_some(fetched)
}

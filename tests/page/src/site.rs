//! The page's files on a server of our own.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use finegrain_native::serve::Server;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::wire::Wire;

/// The folder `www` of the checkout.
#[must_use]
pub fn www() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../www")
}

/// A server on a free port of this machine, running until the process ends.
#[derive(Debug)]
pub struct Site {
    url: String,
    _copy: Option<TempDir>,
}

impl Site {
    /// Serves the page as it is.
    ///
    /// # Errors
    /// Where no port can be had.
    pub fn start() -> Result<Self> {
        Ok(Self { url: serve(&www())?, _copy: None })
    }

    /// Serves a copy that `damage` has changed.
    ///
    /// # Errors
    /// Where the copy cannot be made or `damage` fails.
    pub fn damaged(damage: impl FnOnce(&Path) -> Result<()>) -> Result<Self> {
        let copy = TempDir::new()?;
        copy_folder(&www(), copy.path())?;
        damage(copy.path())?;
        Ok(Self { url: serve(copy.path())?, _copy: Some(copy) })
    }

    /// Serves a copy that `change` has changed, through a wire that can be cut; gives the copy's folder too.
    ///
    /// # Errors
    /// Where the copy cannot be made or `change` fails.
    pub fn wired(change: impl FnOnce(&Path) -> Result<()>) -> Result<(Self, Wire, PathBuf)> {
        let copy = TempDir::new()?;
        copy_folder(&www(), copy.path())?;
        change(copy.path())?;
        let server = Server::bind(copy.path(), 0)?;
        let wire = Wire::to(server.address())?;
        std::thread::spawn(move || server.run());
        let folder = copy.path().to_owned();
        Ok((Self { url: wire.url(), _copy: Some(copy) }, wire, folder))
    }

    /// The address of the page with a query (without its `?`).
    #[must_use]
    pub fn page(&self, query: &str) -> String {
        format!("{}?{query}", self.url)
    }

    /// The address of another file of the site.
    #[must_use]
    pub fn file(&self, path: &str) -> String {
        format!("{}/{path}", self.url.trim_end_matches('/'))
    }
}

/// Puts code before a script of the page: into the worker, for what a test cannot reach from outside.
///
/// # Errors
/// Where there is no such script.
pub fn prepend(file: &Path, code: &str) -> Result<()> {
    let script = fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    Ok(fs::write(file, format!("{code}\n{script}"))?)
}

/// Makes the page's files a version: `pkg/shell.js` lists them with their hashes, as `cargo xtask build-web` does.
///
/// # Errors
/// Where a file that is listed is missing.
pub fn make_version(www: &Path) -> Result<()> {
    let list = www.join("pkg/shell.js");
    let hash = |bytes: &[u8]| Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (mut lines, mut hashes) = (String::new(), String::new());
    for line in fs::read_to_string(&list)?.lines() {
        let Some(path) = line.trim().strip_prefix("[\"").and_then(|rest| rest.split('"').next()) else { continue };
        let content = hash(&fs::read(www.join(path)).with_context(|| format!("{path} is listed and missing"))?);
        lines += &format!("  [\"{path}\", \"{content}\"],\n");
        hashes += &content;
    }
    let version = hash(hashes.as_bytes());
    Ok(fs::write(list, format!("self.SHELL = {{\n version: \"{version}\",\n files: [\n{lines} ],\n}};\n"))?)
}

fn serve(root: &Path) -> Result<String> {
    let server = Server::bind(root, 0)?;
    let url = server.url();
    std::thread::spawn(move || server.run());
    Ok(url)
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("{} cannot be read", from.display()))? {
        let path = entry?.path();
        let target = to.join(path.file_name().context("a file's name")?);
        if path.is_dir() {
            fs::create_dir(&target)?;
            copy_folder(&path, &target)?;
        } else {
            fs::copy(&path, &target)?;
        }
    }
    Ok(())
}

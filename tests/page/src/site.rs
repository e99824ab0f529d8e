//! The page's files on a server of our own.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use finegrain_native::serve::Server;
use tempfile::TempDir;

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

    /// The address of the page with a query (without its `?`).
    #[must_use]
    pub fn page(&self, query: &str) -> String {
        format!("{}?{query}", self.url)
    }
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

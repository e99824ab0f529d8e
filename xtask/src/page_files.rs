//! What the page consists of, with a hash of each file: the version of the page is the content of its files, and nobody
//! keeps a number by hand.
//!
//! Two files are written into `www/pkg`: `build.js` names the build of the package (what a passed self-test holds for),
//! `shell.js` lists every file that the service worker keeps for offline use.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// Not part of what is kept: bundles have a store of their own, screenshots are the README's, types, texts and the example
/// are for developers,
/// the service worker is the browser's to keep, and a list does not list itself.
fn is_left_out(path: &str) -> bool {
    let folder = |name: &str| path.starts_with(name);
    folder("models/")
        || folder("screenshots/")
        || folder("example/")
        || path.ends_with(".d.ts")
        || path.ends_with(".md")
        || path.starts_with("pkg/LICENSE")
        || ["service-worker.js", "pkg/shell.js", "pkg/package.json"].contains(&path)
}

/// Writes both files; one that would stay the same is not touched.
pub(crate) fn write(www: &Path) -> Result<()> {
    let built: Vec<(String, String)> =
        listed(www)?.into_iter().filter(|(path, _)| path.starts_with("pkg/") && path != "pkg/build.js").collect();
    let build = format!(
        "// Written by `cargo xtask build-web`: the content of this package.\nexport const BUILD = \"{}\";\n",
        version(&built)
    );
    replace(&www.join("pkg/build.js"), &build)?;

    let files = listed(www)?;
    let list: String = files.iter().map(|(path, hash)| format!("  [{path:?}, \"{hash}\"],\n")).collect();
    let shell = format!(
        "// Written by `cargo xtask build-web`: every file of the page with the sha256 of its content.\n\
         self.SHELL = {{\n version: \"{}\",\n files: [\n{list} ],\n}};\n",
        version(&files)
    );
    replace(&www.join("pkg/shell.js"), &shell)
}

/// Paths under `www`, in order, with the hash of their content.
fn listed(www: &Path) -> Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    walk(www, "", &mut files)?;
    files.sort();
    Ok(files)
}

fn walk(folder: &Path, prefix: &str, files: &mut Vec<(String, String)>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else { continue };
        let path = format!("{prefix}{name}");
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), &format!("{path}/"), files)?;
        } else if !is_left_out(&path) {
            files.push((path, hash(&fs::read(entry.path())?)));
        }
    }
    Ok(())
}

/// One hash for all: enough digits to tell versions apart.
fn version(files: &[(String, String)]) -> String {
    let lines: String = files.iter().map(|(path, hash)| format!("{path} {hash}\n")).collect();
    hash(lines.as_bytes()).chars().take(16).collect()
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn replace(file: &Path, content: &str) -> Result<()> {
    if fs::read_to_string(file).ok().as_deref() != Some(content) {
        fs::write(file, content).with_context(|| format!("{} could not be written", file.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_content() -> Result<()> {
        let www = tempfile::tempdir()?;
        for folder in ["js", "pkg", "models/birds"] {
            fs::create_dir_all(www.path().join(folder))?;
        }
        let shell = |file: &str, content: &str| -> Result<String> {
            fs::write(www.path().join(file), content)?;
            write(www.path())?;
            Ok(fs::read_to_string(www.path().join("pkg/shell.js"))?)
        };
        let first = shell("js/app.js", "one")?;
        assert!(first.contains("[\"js/app.js\", \"") && first.contains("pkg/build.js"), "{first}");
        assert_eq!(shell("models/birds/manifest.json", "{}")?, first, "bundles are no part of the page");
        let second = shell("js/app.js", "two")?;
        assert_ne!(second, first);
        assert_eq!(shell("js/app.js", "one")?, first);
        assert_ne!(shell("pkg/worker.js", "new")?, first);
        Ok(())
    }
}

//! `www/pkg` as an npm package: its `package.json`, and nothing in the folder that is not of this build.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;

use crate::build_web::Module;
use crate::shell;

/// Files that `cargo xtask build-web` writes beside the modules and the hand-written JavaScript; of these the page's list is
/// no part of the package.
const WRITTEN: [&str; 5] = ["package.json", "build.js", "LICENSE-APACHE", "LICENSE-MIT", PAGE_LIST];

/// For the service worker of our page.
const PAGE_LIST: &str = "shell.js";

/// Writes `package.json` and the licences into `pkg`, and removes what an earlier build has left there; `sources` are the
/// hand-written files.
pub(crate) fn write(pkg: &Path, sources: &Path) -> Result<()> {
    let mut own: BTreeSet<String> = WRITTEN.map(String::from).into();
    for entry in fs::read_dir(sources)? {
        own.insert(entry?.file_name().to_string_lossy().into_owned());
    }
    for module in Module::ALL {
        own.extend(module.files());
    }
    remove_others(pkg, &own)?;
    for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
        fs::copy(shell::root().join(licence), pkg.join(licence)).with_context(|| format!("{licence} is missing"))?;
    }
    own.remove("package.json");
    own.remove(PAGE_LIST);
    let mut text = serde_json::to_string_pretty(&manifest(&own))?;
    text.push('\n');
    let file = pkg.join("package.json");
    if fs::read_to_string(&file).ok().as_deref() != Some(&text) {
        fs::write(&file, text).with_context(|| format!("{} could not be written", file.display()))?;
    }
    Ok(())
}

fn manifest(files: &BTreeSet<String>) -> serde_json::Value {
    json!({
        "name": "finegrain",
        "version": env!("CARGO_PKG_VERSION"),
        "description": "Fine-grained photo recognition in the browser: attention in WGSL on WebGPU, or wasm SIMD",
        "keywords": ["webgpu", "wgsl", "vision-transformer", "fine-grained", "attention", "image-classification"],
        "license": "MIT OR Apache-2.0",
        "type": "module",
        "main": "./finegrain.js",
        "types": "./finegrain.d.ts",
        "exports": { ".": "./finegrain.js", "./*": "./*" },
        "sideEffects": false,
        "files": files,
    })
}

fn remove_others(pkg: &Path, own: &BTreeSet<String>) -> Result<()> {
    for entry in fs::read_dir(pkg)? {
        let entry = entry?;
        if entry.file_type()?.is_file() && !own.contains(entry.file_name().to_string_lossy().as_ref()) {
            fs::remove_file(entry.path()).with_context(|| format!("{} is in the way", entry.path().display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_names_its_files_and_leaves_no_others() -> Result<()> {
        let (pkg, sources) = (tempfile::tempdir()?, tempfile::tempdir()?);
        fs::write(sources.path().join("finegrain.js"), "")?;
        for file in ["finegrain.js", "cpu_bg.wasm", "shell.js", "runtime.js"] {
            fs::write(pkg.path().join(file), "x")?;
        }
        fs::create_dir(pkg.path().join("snippets"))?;
        write(pkg.path(), sources.path())?;
        let package: serde_json::Value = serde_json::from_str(&fs::read_to_string(pkg.path().join("package.json"))?)?;
        let files: Vec<&str> = package["files"].as_array().into_iter().flatten().filter_map(|f| f.as_str()).collect();
        assert!(files.contains(&"finegrain.js") && files.contains(&"cpu_bg.wasm") && files.contains(&"LICENSE-MIT"));
        assert!(!files.contains(&"shell.js") && !files.contains(&"runtime.js"), "{files:?}");
        assert!(!pkg.path().join("runtime.js").exists(), "of an earlier build");
        assert!(pkg.path().join("shell.js").exists() && pkg.path().join("LICENSE-MIT").exists());
        Ok(())
    }
}

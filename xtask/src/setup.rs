//! `cargo xtask setup`: which system packages the tests need, and the one command that installs them.

use std::env;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};
use clap::Args;

use crate::shell;

/// Options of `cargo xtask setup`.
#[derive(Args)]
pub(crate) struct Options {
    /// Install what is missing (as root, on Debian or Ubuntu)
    #[arg(long)]
    yes: bool,
}

/// Something outside Rust that the tests need.
struct Need {
    what: &'static str,
    /// The package on Debian and Ubuntu.
    package: &'static str,
    is_there: fn() -> bool,
}

const NEEDS: [Need; 4] = [
    Need { what: "the Vulkan loader", package: "libvulkan1", is_there: has_vulkan_loader },
    Need { what: "lavapipe, Mesa's Vulkan driver in software", package: "mesa-vulkan-drivers", is_there: has_lavapipe },
    Need { what: "Chromium", package: "chromium", is_there: || CHROMIUM.iter().any(|name| shell::is_on_path(name)) },
    Need { what: "chromedriver", package: "chromium-driver", is_there: || shell::is_on_path("chromedriver") },
];

/// The names under which systems install Chromium.
const CHROMIUM: [&str; 4] = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];

/// lavapipe's description for the Vulkan loader.
const LAVAPIPE: [&str; 2] =
    ["/usr/share/vulkan/icd.d/lvp_icd.x86_64.json", "/usr/share/vulkan/icd.d/lvp_icd.aarch64.json"];

/// `cargo xtask setup`.
pub(crate) fn run(options: &Options) -> Result<()> {
    let missing = missing();
    if missing.is_empty() {
        println!("Nothing is missing: Vulkan loader, lavapipe, Chromium and chromedriver are there.");
        return Ok(());
    }
    if options.yes {
        return install(&missing);
    }
    tell(&missing);
    Ok(())
}

/// Names what is missing, and the command that installs it; says nothing when all is there.
pub(crate) fn tell_missing() {
    let missing = missing();
    if !missing.is_empty() {
        tell(&missing);
    }
}

/// Lets wgpu find lavapipe, the same driver on every machine, unless the environment names another one.
pub(crate) fn use_lavapipe(command: &mut Command) {
    let is_chosen = ["VK_ICD_FILENAMES", "VK_DRIVER_FILES"].iter().any(|name| env::var_os(name).is_some());
    if let Some(file) = LAVAPIPE.iter().find(|file| !is_chosen && Path::new(file).exists()) {
        command.env("VK_ICD_FILENAMES", file);
    }
}

fn tell(missing: &[&Need]) {
    for need in missing {
        println!("missing: {}", need.what);
    }
    if shell::is_on_path("apt-get") {
        println!("\nThis installs them:\n  sudo {}", apt_install(missing).join(" "));
    } else {
        println!("\nInstall these programs with your system's package manager; the page itself needs none of them.");
    }
}

/// Installs what is missing when a CI machine runs us; does nothing on a person's.
pub(crate) fn in_ci() -> Result<()> {
    let missing = missing();
    if missing.is_empty() || !shell::is_ci() { Ok(()) } else { install(&missing) }
}

fn missing() -> Vec<&'static Need> {
    // Elsewhere the system brings its own graphics driver and has no lavapipe.
    NEEDS
        .iter()
        .filter(|need| (cfg!(target_os = "linux") || need.package.contains("chromium")) && !(need.is_there)())
        .collect()
}

fn install(missing: &[&Need]) -> Result<()> {
    let command = apt_install(missing);
    if !shell::is_on_path("apt-get") {
        bail!("only Debian and Ubuntu are known here: install {} yourself", names(missing));
    }
    if shell::output(shell::command("id").arg("-u"))? != "0" {
        bail!("installing needs root: run `sudo {}`", command.join(" "));
    }
    shell::run(shell::command("apt-get").args(["-q=2", "update"]))?;
    shell::run(shell::command(&command[0]).args(&command[1..]).env("DEBIAN_FRONTEND", "noninteractive"))
}

fn apt_install(missing: &[&Need]) -> Vec<String> {
    let words = ["apt-get", "install", "-y", "--no-install-recommends"];
    words.into_iter().chain(missing.iter().map(|need| need.package)).map(str::to_owned).collect()
}

fn names(missing: &[&Need]) -> String {
    missing.iter().map(|need| need.what).collect::<Vec<_>>().join(", ")
}

fn has_vulkan_loader() -> bool {
    let folders = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib", "/lib64"];
    folders.iter().any(|folder| Path::new(folder).join("libvulkan.so.1").exists())
}

fn has_lavapipe() -> bool {
    LAVAPIPE.iter().any(|file| Path::new(file).exists())
}

//! Which compiler builds for `wasm32-unknown-unknown`: the active toolchain if it has, or can be given, the target's
//! standard library; else one made from Debian's packages ([`crate::wasm_toolchain`]).

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::shell;
use crate::wasm_toolchain;

/// The target's name.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// How long `rustup target add` may take before it counts as failed: where no network answers, it only waits.
const RUSTUP_LIMIT: Duration = Duration::from_secs(180);

/// A compiler with a standard library for wasm32.
pub(crate) enum WasmTarget {
    /// The active toolchain.
    Active,
    /// A toolchain folder made by [`wasm_toolchain`].
    Debian(PathBuf),
}

impl WasmTarget {
    /// Finds the target, or makes it.
    pub(crate) fn find_or_make() -> Result<Self> {
        if is_installed()? {
            return Ok(Self::Active);
        }
        let folder = shell::target().join("wasm-toolchain");
        if folder.is_dir() {
            return Ok(Self::Debian(folder));
        }
        if rustup_adds() && is_installed()? {
            return Ok(Self::Active);
        }
        println!("rustup cannot add the target {TARGET}: building its standard library from Debian's packages");
        wasm_toolchain::make(&folder).with_context(|| {
            format!("no standard library for {TARGET}: install it with `rustup target add {TARGET}` and try again")
        })?;
        Ok(Self::Debian(folder))
    }

    /// Cargo, made to use this compiler.
    ///
    /// The flags go by the environment, so that they reach every crate for wasm32 and none for this machine.
    pub(crate) fn cargo(&self) -> Command {
        self.cargo_with(&[])
    }

    /// The same, with more flags for every crate.
    pub(crate) fn cargo_with(&self, more: &[&str]) -> Command {
        let mut flags = flags();
        flags.extend(more.iter().map(|&flag| flag.to_owned()));
        let mut cargo = shell::cargo();
        cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f")).env_remove("RUSTFLAGS");
        if let Self::Debian(folder) = self {
            wasm_toolchain::environment(&mut cargo, folder);
        }
        cargo
    }

    /// Whether clippy can be run for this compiler (Debian's has none that fits).
    pub(crate) fn has_clippy(&self) -> bool {
        matches!(self, Self::Active)
    }
}

/// Flags of every crate built for wasm32: SIMD, the browser's random numbers, and no path of this machine in the panic
/// messages.
fn flags() -> Vec<String> {
    let mut flags = vec!["-Ctarget-feature=+simd128".to_owned(), "--cfg=getrandom_backend=\"wasm_js\"".to_owned()];
    flags.extend(remapped_registry());
    flags.push(format!("--remap-path-prefix={}=/finegrain", shell::root().display()));
    flags
}

/// One `--remap-path-prefix` for each folder of crate sources.
pub(crate) fn remapped_registry() -> Vec<String> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| env::home_dir().map(|home| home.join(".cargo")));
    let Some(sources) = home.and_then(|home| fs::read_dir(home.join("registry/src")).ok()) else { return Vec::new() };
    let mut folders: Vec<_> = sources.flatten().map(|entry| entry.path()).collect();
    folders.sort();
    folders.iter().map(|folder| format!("--remap-path-prefix={}=/cargo", folder.display())).collect()
}

fn is_installed() -> Result<bool> {
    let sysroot = shell::output(rustc().args(["--print", "sysroot"]))?;
    let libraries = Path::new(&sysroot).join("lib/rustlib").join(TARGET).join("lib");
    Ok(fs::read_dir(libraries)
        .is_ok_and(|files| files.flatten().any(|file| file.file_name().to_string_lossy().starts_with("libcore-"))))
}

/// The active toolchain's compiler.
pub(crate) fn rustc() -> Command {
    shell::command(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
}

fn rustup_adds() -> bool {
    if !shell::is_on_path("rustup") {
        return false;
    }
    println!("adding the target {TARGET} with rustup");
    let Ok(mut rustup) = shell::command("rustup").args(["target", "add", TARGET]).stdout(Stdio::null()).spawn() else {
        return false;
    };
    let start = Instant::now();
    loop {
        match rustup.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if start.elapsed() < RUSTUP_LIMIT => std::thread::sleep(Duration::from_millis(100)),
            Ok(None) | Err(_) => {
                // Nothing more can be done about a child that cannot be ended.
                let _ = rustup.kill();
                let _ = rustup.wait();
                return false;
            }
        }
    }
}

//! A Rust toolchain with a standard library for wasm32, made from Debian's packages.
//!
//! For machines where rustup cannot fetch components. Debian ships a current compiler with its library sources
//! (`rustc-web`, `rust-web-src`, kept up to date for browsers); they are downloaded and unpacked, not installed. Cargo
//! and the linker `rust-lld` come from the active toolchain. The library is built once, as the distribution does it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell::{self, output, run};
use crate::wasm_target::{TARGET, remapped_registry, rustc};

/// Makes the toolchain and moves it to `folder` when it is complete.
pub(crate) fn make(folder: &Path) -> Result<()> {
    for program in ["apt-get", "apt-cache", "dpkg-deb", "tar"] {
        if !shell::is_on_path(program) {
            bail!("{program} is not there, so this is no Debian-like system");
        }
    }
    let parent = folder.parent().context("the toolchain needs a parent folder")?;
    fs::create_dir_all(parent)?;
    let work = tempfile::Builder::new().prefix("wasm-toolchain.").suffix(".tmp").tempdir_in(parent)?;
    let (unpacked, made) = (work.path().join("unpacked"), work.path().join("made"));

    println!("  1 of 3: downloading Debian's Rust packages");
    let packages = download(&work.path().join("packages"))?;
    println!("  2 of 3: unpacking {} packages", packages.len());
    unpack(&packages, &unpacked)?;
    assemble(&unpacked, &made)?;
    println!("  3 of 3: building the standard library for {TARGET} (about a minute)");
    build_library(&made, &work.path().join("target"))?;

    fs::rename(&made, folder).context("the finished toolchain could not be moved into place")
}

/// Makes `cargo` use the toolchain in `folder`.
pub(crate) fn environment(cargo: &mut Command, folder: &Path) {
    cargo.env("RUSTC", folder.join("bin/rustc"));
    // Debian's compiler expects its libraries in the system's folders.
    let mut libraries = vec![folder.join("lib")];
    if let Some(others) = env::var_os("LD_LIBRARY_PATH") {
        libraries.extend(env::split_paths(&others));
    }
    if let Ok(path) = env::join_paths(libraries) {
        cargo.env("LD_LIBRARY_PATH", path);
    }
}

fn host() -> Result<String> {
    fact(&output(rustc().arg("-vV"))?, "host: ")
}

/// The rest of the line that starts with `key`.
fn fact(text: &str, key: &str) -> Result<String> {
    let value = text.lines().find_map(|line| line.trim_start().strip_prefix(key));
    Ok(value.with_context(|| format!("no line starts with `{key}`"))?.trim().to_owned())
}

/// Downloads the compiler, its libraries and the sources; gives the package files.
fn download(folder: &Path) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(folder)?;
    // The names carry versions, so they are read from the dependencies.
    let depends = output(shell::command("apt-cache").args(["depends", "rustc-web", "libstd-rust-web-dev"]))
        .context("the package rustc-web is not known here: run `apt-get update` first")?;
    let library = fact(
        depends.lines().filter(|line| !line.contains("-dev")).collect::<Vec<_>>().join("\n").as_str(),
        "Depends: libstd-rust-web-",
    )
    .map(|version| format!("libstd-rust-web-{version}"))?;
    let depends = output(shell::command("apt-cache").args(["depends", &library]))?;
    let llvm = format!("libllvm{}", fact(&depends, "Depends: libllvm")?);
    run(shell::command("apt-get").current_dir(folder).args(["-q=2", "download"]).args([
        "rustc-web",
        &library,
        "libstd-rust-web-dev",
        &llvm,
        "rust-web-src",
    ]))?;
    let mut files = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

fn unpack(packages: &[PathBuf], folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    for package in packages {
        let is_source = package.file_name().is_some_and(|name| name.to_string_lossy().starts_with("rust-web-src"));
        if is_source {
            // The package holds the whole compiler; only the library is wanted.
            let archive = folder.join("sources.tar");
            let out = fs::File::create(&archive)?;
            run(shell::command("dpkg-deb").arg("--fsys-tarfile").arg(package).stdout(out))?;
            run(shell::command("tar")
                .arg("-xf")
                .arg(&archive)
                .arg("-C")
                .arg(folder)
                .args(["--wildcards", "./usr/src/rustc-*/library/*"]))?;
            fs::remove_file(archive)?;
        } else {
            run(shell::command("dpkg-deb").arg("-x").arg(package).arg(folder))?;
        }
    }
    Ok(())
}

/// Lays the unpacked files out as a toolchain folder.
fn assemble(unpacked: &Path, toolchain: &Path) -> Result<()> {
    let host = host()?;
    let rustlib = toolchain.join("lib/rustlib");
    for folder in [toolchain.join("bin"), rustlib.join(&host).join("bin"), rustlib.join(TARGET).join("lib")] {
        fs::create_dir_all(folder)?;
    }
    fs::create_dir_all(rustlib.join("src/rust"))?;

    fs::rename(unpacked.join("usr/bin/rustc"), toolchain.join("bin/rustc"))?;
    let system = entry(&unpacked.join("usr/lib"), "-linux-gnu")?;
    for library in fs::read_dir(system)? {
        let library = library?;
        if library.file_name().to_string_lossy().contains(".so") {
            fs::rename(library.path(), toolchain.join("lib").join(library.file_name()))?;
        }
    }
    fs::rename(unpacked.join("usr/lib/rustlib").join(&host).join("lib"), rustlib.join(&host).join("lib"))?;
    let sources = entry(&unpacked.join("usr/src"), "")?;
    fs::rename(sources.join("library"), rustlib.join("src/rust/library"))?;

    let active = PathBuf::from(output(rustc().args(["--print", "sysroot"]))?).join("lib/rustlib").join(&host);
    fs::copy(active.join("bin/rust-lld"), rustlib.join(&host).join("bin/rust-lld"))
        .context("the active toolchain has no rust-lld, the linker for wasm32")?;
    Ok(())
}

/// The one entry of `folder` whose name ends like that.
fn entry(folder: &Path, ending: &str) -> Result<PathBuf> {
    let found = fs::read_dir(folder)?.flatten().find(|entry| entry.file_name().to_string_lossy().ends_with(ending));
    Ok(found.with_context(|| format!("{} lacks what Debian's package should hold", folder.display()))?.path())
}

/// Builds `core`, `alloc`, `std` and the rest for wasm32 as Debian does and puts them into the toolchain.
fn build_library(toolchain: &Path, target: &Path) -> Result<()> {
    let sources = toolchain.join("lib/rustlib/src/rust/library");
    let mut version = Command::new(toolchain.join("bin/rustc"));
    environment(&mut version, toolchain);
    let hash = fact(&output(version.arg("-vV"))?, "commit-hash: ")?;

    let cargo = || {
        let mut cargo = shell::cargo();
        environment(&mut cargo, toolchain);
        cargo
            .current_dir(&sources)
            // The library uses unstable features, which a released compiler allows only to itself.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_TARGET_DIR", target)
            .env("CARGO_PROFILE_DIST_DEBUG", "0");
        cargo
    };
    run(cargo().args(["fetch", "-q", "--locked", "--target", TARGET]))?;
    let mut flags = vec![
        "-Zforce-unstable-if-unmarked".to_owned(),
        format!("--remap-path-prefix={}=/rustc/{hash}/library", sources.display()),
    ];
    flags.extend(remapped_registry());
    run(cargo()
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .env_remove("RUSTFLAGS")
        .args(["build", "-q", "--locked", "--profile", "dist", "--target", TARGET])
        .args(["-p", "sysroot", "--features", "panic-unwind,backtrace"]))?;

    let libraries = toolchain.join("lib/rustlib").join(TARGET).join("lib");
    for file in fs::read_dir(target.join(TARGET).join("dist/deps"))? {
        let file = file?;
        if file.path().extension().is_some_and(|extension| extension == "rlib") {
            fs::copy(file.path(), libraries.join(file.file_name()))?;
        }
    }
    Ok(())
}

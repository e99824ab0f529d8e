//! The page's wasm modules, built into `www/pkg`.
//!
//! Three modules from one crate: `webgpu` (our engine), `cpu` and `cpu_fma` (our forward pass on the processor, for any wasm SIMD
//! and for relaxed SIMD, which has a fused multiply-add). The page loads only one.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use wasm_bindgen_cli_support::Bindgen;

use crate::wasm_target::{TARGET, WasmTarget};
use crate::{package, page_files, shell};

/// The most bytes of a module, gzipped.
const LARGEST: usize = 350_000;

/// LLVM's loop strength reduction computes the addresses of a matrix product's loads anew, each by an addition of its own,
/// instead of giving each load its constant offset: half of the speed (25 instead of 51 GFLOP/s).
const NO_STRENGTH_REDUCTION: &str = "-Cllvm-args=-disable-lsr";

/// Options of `cargo xtask build-web`.
#[derive(Args)]
pub(crate) struct Options {
    /// Build one module only
    #[arg(long, conflicts_with = "js_only")]
    only: Option<Module>,
    /// Build no module: copy the JavaScript and write the list of the page's files anew
    #[arg(long)]
    js_only: bool,
}

/// A wasm module of the page.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Module {
    /// The wgpu engine
    Webgpu,
    /// The network on the processor
    Cpu,
    /// The same with relaxed SIMD
    CpuFma,
}

impl Module {
    /// Every one.
    pub(crate) const ALL: [Self; 3] = [Self::Webgpu, Self::Cpu, Self::CpuFma];

    /// The name of its files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Webgpu => "webgpu",
            Self::Cpu => "cpu",
            Self::CpuFma => "cpu_fma",
        }
    }

    /// What wasm-bindgen writes for it.
    pub(crate) fn files(self) -> [String; 4] {
        [".js", ".d.ts", "_bg.wasm", "_bg.wasm.d.ts"].map(|end| format!("{}{end}", self.name()))
    }

    /// The features of the package `finegrain` it is built with.
    pub(crate) fn features(self) -> &'static str {
        match self {
            Self::Webgpu => "web,engine",
            Self::Cpu | Self::CpuFma => "web,cpu",
        }
    }

    /// What the compiler is told about our own crate, beside the flags of every crate for wasm32.
    pub(crate) fn flags(self) -> &'static [&'static str] {
        match self {
            // Its loops that matter are shaders.
            Self::Webgpu => &["-Copt-level=s"],
            Self::Cpu => &[NO_STRENGTH_REDUCTION],
            Self::CpuFma => &[NO_STRENGTH_REDUCTION, "-Ctarget-feature=+relaxed-simd"],
        }
    }
}

/// `cargo xtask build-web`.
pub(crate) fn run(options: &Options) -> Result<()> {
    if options.js_only {
        return finish();
    }
    build(&options.only.map_or(Module::ALL.to_vec(), |module| vec![module]))
}

/// Builds the modules, and copies the hand-written JavaScript beside them.
pub(crate) fn build(modules: &[Module]) -> Result<()> {
    let target = WasmTarget::find_or_make()?;
    let out = shell::root().join("www/pkg");
    for &module in modules {
        println!("building the wasm module {}", module.name());
        bind(module, &compile(&target, module)?.file, &out)?;
    }
    finish()?;
    for module in modules {
        print_size(&out.join(format!("{}_bg.wasm", module.name())))?;
    }
    Ok(())
}

/// Copies the hand-written JavaScript, and writes what depends on every file of the page.
fn finish() -> Result<()> {
    let www = shell::root().join("www");
    let sources = shell::root().join("src/web/js");
    copy_files(&sources, &www.join("pkg"))?;
    package::write(&www.join("pkg"), &sources)?;
    page_files::write(&www)
}

/// Compiles the modules and gives the number of warnings.
pub(crate) fn warnings(target: &WasmTarget, modules: &[Module]) -> Result<usize> {
    modules.iter().try_fold(0, |sum, &module| Ok(sum + compile(target, module)?.warnings))
}

/// What compiling gives.
struct Compiled {
    /// The wasm file.
    file: PathBuf,
    /// Warnings about our own code.
    warnings: usize,
}

/// Compiles the library as a wasm module.
fn compile(target: &WasmTarget, module: Module) -> Result<Compiled> {
    // The crate type is asked for here, so that native builds link no dynamic library.
    let mut child = target
        .cargo()
        .args(["rustc", "--package", "finegrain", "--lib", "--crate-type", "cdylib"])
        .args(["--profile", "web", "--target", TARGET, "--no-default-features", "--features", module.features()])
        .args(["--message-format", "json", "--"])
        .args(module.flags())
        .stdout(Stdio::piped())
        .spawn()
        .context("cargo could not be started")?;
    let (mut file, mut warnings) = (None, 0);
    for line in BufReader::new(child.stdout.take().context("cargo has no output")?).lines() {
        let Ok(message) = serde_json::from_str::<Value>(&line?) else { continue };
        if let Some(text) = message["message"]["rendered"].as_str() {
            eprint!("{text}");
            warnings += usize::from(message["message"]["level"] == "warning");
        }
        let files = message["filenames"].as_array().into_iter().flatten().filter_map(Value::as_str);
        file = files.map(PathBuf::from).find(|file| file.extension().is_some_and(|end| end == "wasm")).or(file);
    }
    if !child.wait()?.success() {
        bail!("the wasm module {} could not be compiled", module.name());
    }
    Ok(Compiled { file: file.context("cargo names no wasm file")?, warnings })
}

/// Writes `<name>.js`, `<name>.d.ts` and `<name>_bg.wasm`.
fn bind(module: Module, wasm: &Path, out: &Path) -> Result<()> {
    fs::create_dir_all(out)?;
    // A broken run leaves the former files in place.
    let work = tempfile::Builder::new().prefix(module.name()).suffix(".tmp").tempdir_in(shell::target())?;
    Bindgen::new()
        .input_path(wasm)
        .out_name(module.name())
        .web(true)?
        .typescript(true)
        .omit_default_module_path(false)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate(work.path())?;
    copy_files(work.path(), out)
}

/// Copies the files of a folder, if there is one; a file that is the same already is not touched.
fn copy_files(from: &Path, to: &Path) -> Result<()> {
    if !from.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let Some(name) = path.file_name() else { continue };
        if path.is_dir() {
            fs::create_dir_all(to.join(name))?;
            copy_files(&path, &to.join(name))?;
            continue;
        }
        let bytes = fs::read(&path)?;
        let target = to.join(name);
        if fs::read(&target).ok().as_deref() != Some(bytes.as_slice()) {
            fs::write(&target, bytes).with_context(|| format!("{} could not be written", target.display()))?;
        }
    }
    Ok(())
}

fn print_size(file: &Path) -> Result<()> {
    let bytes = fs::metadata(file)?.len() as usize;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    println!("{name}: {} KB, {} KB gzipped", kilobytes(bytes), kilobytes(gzipped(file)?));
    Ok(())
}

/// Bytes of a file as servers send it.
fn gzipped(file: &Path) -> Result<usize> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&fs::read(file)?)?;
    Ok(gzip.finish()?.len())
}

/// That a visitor waits for no more than [`LARGEST`].
pub(crate) fn check_size(module: Module) -> Result<()> {
    let bytes = gzipped(&shell::root().join(format!("www/pkg/{}_bg.wasm", module.name())))?;
    if bytes == 0 || bytes > LARGEST {
        bail!("{} is {} KB gzipped, it may be {} KB", module.name(), kilobytes(bytes), kilobytes(LARGEST));
    }
    Ok(())
}

fn kilobytes(bytes: usize) -> usize {
    bytes.div_ceil(1000)
}

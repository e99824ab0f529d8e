//! `cargo xtask bench`: the page beside onnxruntime-web, in the same Chromium, on the same machine, in one run; or bundles by themselves.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::build_web::{self, Module};
use crate::shell;
use crate::{npm, setup, test};

/// The peer.
const ONNXRUNTIME: &str = "onnxruntime-web@1.30.0";

/// Options of `cargo xtask bench`.
#[derive(Args)]
pub(crate) struct Options {
    /// Warm runs of each row (on software WebGPU a tenth of them)
    #[arg(long, default_value_t = 30)]
    runs: usize,
    /// Networks and sizes of their photos, such as vit-base/448; may be repeated
    #[arg(long = "network", value_name = "NAME/PIXELS", default_values_t = ["vit-tiny/224".to_owned()])]
    networks: Vec<String>,
    /// Seconds that a row may take before it is given up (WebGPU in software needs minutes for a larger network)
    #[arg(long, default_value_t = 600)]
    patience: u32,
    /// Leave WebGPU out
    #[arg(long)]
    cpu_only: bool,
    /// The Python with torch, onnx and onnxscript that exports the peer's network
    #[arg(long, default_value = "python3")]
    python: String,
    /// Where the table goes; without, it is only printed
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// No peer: how fast this bundle is in the browser; may be repeated
    #[arg(long = "bundle", value_name = "DIR", conflicts_with_all = ["networks", "python", "opening"])]
    bundles: Vec<PathBuf>,
    /// No peer: the time from opening the page to the first answer with everything kept, and the browser's memory
    #[arg(long, conflicts_with_all = ["networks", "cpu_only", "python", "out"])]
    opening: bool,
}

/// `cargo xtask bench`.
pub(crate) fn run(options: &Options) -> Result<()> {
    setup::tell_missing();
    build_web::build(&Module::ALL)?;
    if options.opening {
        return test::program("opening", &[OsStr::new("5")]);
    }
    let (runs, patience) = (options.runs.to_string(), options.patience.to_string());
    let out = options.out.as_deref().unwrap_or(Path::new("-"));
    let rows = if options.cpu_only { "cpu" } else { "all" };
    if !options.bundles.is_empty() {
        let mut arguments: Vec<&OsStr> = vec![runs.as_ref(), patience.as_ref(), rows.as_ref(), out.as_ref()];
        // The program runs in another folder.
        let bundles = options.bundles.iter().map(std::path::absolute).collect::<Result<Vec<_>, _>>()?;
        arguments.extend(bundles.iter().map(|bundle| bundle.as_os_str()));
        return test::program("bundles", &arguments);
    }
    let Some(peer) = npm::unpacked(ONNXRUNTIME)? else {
        bail!("{ONNXRUNTIME} is fetched with npm, which is not there: install Node.js");
    };
    let mut arguments: Vec<&OsStr> = vec![runs.as_ref(), patience.as_ref(), rows.as_ref(), peer.as_ref(), out.as_ref()];
    let networks = options.networks.iter().map(|network| {
        let Some((name, size)) = network.split_once('/') else {
            bail!("--network \"{network}\" is no network with a size: vit-tiny/224, say");
        };
        Ok((name, size, exported(&options.python, name, size)?))
    });
    let networks = networks.collect::<Result<Vec<_>>>()?;
    for (name, size, file) in &networks {
        arguments.extend([OsStr::new(name), OsStr::new(size), file.as_os_str()]);
    }
    test::program("peers", &arguments)
}

/// The peer's network, exported once.
fn exported(python: &str, name: &str, size: &str) -> Result<PathBuf> {
    // Width, blocks, heads (Dosovitskiy et al., 2021; Touvron et al., 2021).
    let shape: &[&str] = match name {
        "vit-tiny" => &["192", "12", "3"],
        "vit-small" => &["384", "12", "6"],
        "vit-base" => &["768", "12", "12"],
        "resnet-50" => &["resnet-50"],
        _ => bail!("--network \"{name}\" is not known: vit-tiny, vit-small, vit-base or resnet-50"),
    };
    let file = shell::target().join(format!("peers/{name}-{size}.onnx"));
    if !file.is_file() {
        std::fs::create_dir_all(shell::target().join("peers"))?;
        println!("exporting {name} at {size} pixels for ONNX Runtime");
        let partial = file.with_extension("partial");
        shell::run(shell::command(python).arg("tests/peers/export_onnx.py").arg(&partial).arg(size).args(shape)).context(
            "the peer's network could not be exported: `pip install torch onnx onnxscript`, and name that Python with --python",
        )?;
        std::fs::rename(partial, &file)?;
    }
    Ok(file)
}

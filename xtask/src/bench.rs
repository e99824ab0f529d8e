//! `cargo xtask bench`: the page beside onnxruntime-web, in the same Chromium, on the same machine, in one run.

use std::ffi::OsStr;
use std::path::PathBuf;

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
    /// The Python with torch, onnx and onnxscript that exports the peer's network
    #[arg(long, default_value = "python3")]
    python: String,
    /// Where the table goes; without, it is only printed
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// No peer: the time from opening the page to the first answer with everything kept, and the browser's memory
    #[arg(long, conflicts_with_all = ["python", "out"])]
    opening: bool,
}

/// `cargo xtask bench`.
pub(crate) fn run(options: &Options) -> Result<()> {
    setup::tell_missing();
    build_web::build(&Module::ALL)?;
    if options.opening {
        return test::program("opening", &[OsStr::new("5")]);
    }
    let Some(peer) = npm::unpacked(ONNXRUNTIME)? else {
        bail!("{ONNXRUNTIME} is fetched with npm, which is not there: install Node.js");
    };
    let network = exported(&options.python)?;
    let runs = options.runs.to_string();
    let mut arguments = vec![OsStr::new(&runs), peer.as_os_str(), network.as_os_str()];
    arguments.extend(options.out.as_deref().map(|out| out.as_os_str()));
    test::program("peers", &arguments)
}

/// The peer's network, exported once.
fn exported(python: &str) -> Result<PathBuf> {
    let file = shell::target().join("peers/vit-tiny-224.onnx");
    if !file.is_file() {
        std::fs::create_dir_all(shell::target().join("peers"))?;
        println!("exporting the network for ONNX Runtime");
        let partial = file.with_extension("partial");
        shell::run(shell::command(python).arg("tests/peers/export_onnx.py").arg(&partial)).context(
            "the peer's network could not be exported: `pip install torch onnx onnxscript`, and name that Python with --python",
        )?;
        std::fs::rename(partial, &file)?;
    }
    Ok(file)
}

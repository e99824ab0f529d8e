//! `finegrain report`: `{"report", "bytes", "runs": [{"run", "finished"}]}`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::Outcome;
use super::output::Output;
use crate::say::say;
use crate::{report, store};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folders of training runs, finished or not; several are compared
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,
    /// The page; by default report.html in the folder of the run
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Folder of the data set: shows photos of the most confused classes, and measures runs that have no measures
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(Serialize)]
struct Reported {
    report: PathBuf,
    bytes: usize,
    runs: Vec<About>,
}

#[derive(Serialize)]
struct About {
    run: PathBuf,
    finished: bool,
}

pub(super) fn run(args: &Args, output: &Output) -> Result<Outcome> {
    let out = match (&args.out, &args.runs[..]) {
        (Some(out), _) => out.clone(),
        (None, [run]) => run.join("report.html"),
        (None, _) => bail!("several runs have no folder of their own for the page: name one with --out FILE"),
    };
    let folders: Vec<&Path> = args.runs.iter().map(PathBuf::as_path).collect();
    let page = report::report(&folders, args.data.as_deref(), &say)?;
    store::replace(&out, page.as_bytes())
        .with_context(|| format!("the page \"{}\" cannot be written", out.display()))?;
    let about = |run: &PathBuf| About { run: run.clone(), finished: run.join("run.json").exists() };
    let reported = Reported { bytes: page.len(), runs: args.runs.iter().map(about).collect(), report: out };
    output.print(&reported, |reported| {
        format!("{}: {} kB, open it in a browser", reported.report.display(), reported.bytes.div_ceil(1000))
    })?;
    Ok(Outcome::Good)
}

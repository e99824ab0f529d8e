//! `finegrain average`: `{"ingredients": [{"run", "sha256", "held_out_top1", "kept", "training"}], "held_out_top1", "test_top1"}`.

use std::path::PathBuf;

use anyhow::Result;

use super::Outcome;
use super::output::Output;
use crate::average::average;
use crate::say::say;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folders of finished runs of one architecture, best of those that started from the same weights
    #[arg(value_name = "RUN", required = true, num_args = 2..)]
    runs: Vec<PathBuf>,
    /// Folder of the data set that they were trained on
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Folder for the average, a run like any other
    #[arg(long, value_name = "RUN")]
    out: PathBuf,
    /// Take every run in, also where that names the held-out photos worse
    #[arg(long)]
    all: bool,
}

pub(super) fn run(args: &Args, output: &Output) -> Result<Outcome> {
    let average = average(&args.runs, &args.data, &args.out, args.all, &say)?;
    output.print(&average, |average| {
        let kept = average.ingredients.iter().filter(|ingredient| ingredient.kept).count();
        let test = average.test_top1.map(|top1| format!(", {:.2} % of the test photos", 100.0 * top1));
        format!(
            "the mean of {kept} of {} runs names {:.2} % of the held-out photos{}; next: finegrain export {} --out BUNDLE",
            average.ingredients.len(),
            100.0 * average.held_out_top1,
            test.unwrap_or_default(),
            args.out.display()
        )
    })?;
    Ok(Outcome::Good)
}

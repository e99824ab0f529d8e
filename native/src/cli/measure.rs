//! `finegrain measure`: what `measures.json` holds.

use std::path::PathBuf;

use anyhow::Result;

use super::Outcome;
use super::output::Output;
use crate::report;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder of a finished training run
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Folder of the data set that it was trained on
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
}

pub(super) fn run(args: &Args, output: &Output) -> Result<Outcome> {
    let measures = report::measure(&args.run, &args.data)?;
    output.print(&measures, |measures| {
        let about = |name: &str, measured: &Option<crate::measure::Measured>| {
            measured.as_ref().map(|m| format!("{name}: {:.2} % top-1 of {} photos\n", 100.0 * m.answer.top1, m.photos))
        };
        let parts = [about("held-out", &measures.held_out), about("test", &measures.test)];
        format!(
            "{}written to {}",
            parts.into_iter().flatten().collect::<String>(),
            args.run.join("measures.json").display()
        )
    })?;
    Ok(Outcome::Good)
}

//! `finegrain train`: prints the provenance of the finished run, as `run.json` in its folder holds it.

use anyhow::Result;

use super::output::Output;
use super::{Outcome, interrupt};
use crate::train::{TrainOptions, train};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    options: TrainOptions,
}

pub(super) fn run(args: Args, output: &Output) -> Result<Outcome> {
    interrupt::raise(&args.options.stop)?;
    let Some(record) = train(&args.options)? else { return Ok(Outcome::Interrupted) };
    output.print(&record, |record| {
        let accuracy = record.training.test_top1.map(|top1| format!(", {:.2} % top-1", 100.0 * top1.answer));
        let out = args.options.out.display();
        format!("{}: trained{}; next: finegrain export {out} --out BUNDLE", record.title, accuracy.unwrap_or_default())
    })?;
    Ok(Outcome::Good)
}

//! `cargo xtask test`: every check there is, in an order in which the quick ones fail first.

mod lint;
mod native;
mod page;
mod report;
mod typos;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

pub(crate) use page::{program, screenshot};

use crate::setup;
use report::Report;

/// Options of `cargo xtask test`.
#[derive(Args)]
pub(crate) struct Options {
    /// Run only these parts (may be given more than once)
    #[arg(long)]
    only: Vec<Part>,
}

/// A part of the checks.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Formatting, spelling, clippy, documentation
    Lint,
    /// Every native test, the shaders in headless wgpu among them
    Native,
    /// The page in headless Chromium
    Page,
}

/// Runs the checks to the end, also after a failure, and prints the sum.
pub(crate) fn run(options: &Options) -> Result<()> {
    setup::in_ci()?;
    setup::tell_missing();
    let wanted = |part| options.only.is_empty() || options.only.contains(&part);
    let mut report = Report::default();
    if wanted(Part::Lint) {
        lint::run(&mut report);
    }
    if wanted(Part::Native) {
        native::run(&mut report);
    }
    if wanted(Part::Page) {
        page::run(&mut report);
    }
    report.print();
    if !report.is_good() {
        bail!("not every check passed");
    }
    Ok(())
}

//! The page in headless Chromium.

use anyhow::Result;

use super::report::{Outcome, Report};
use crate::build_web::{self, Module};
use crate::setup;
use crate::shell::{self, cargo};

pub(crate) fn run(report: &mut Report) {
    report.check("wasm modules", || {
        build_web::build(&Module::ALL)?;
        Ok(Outcome::Passed)
    });
    report.check("the program finegrain", || {
        build_program()?;
        Ok(Outcome::Passed)
    });
    let mut tests = cargo();
    tests.args(["test", "--workspace", "--test", "page", "--no-fail-fast", "--"]);
    // A browser and a software GPU keep every core busy already.
    tests.args(["--show-output", "--test-threads", "1"]);
    setup::use_lavapipe(&mut tests);
    report.tests("the page in Chromium", &mut tests);
}

/// `cargo xtask screenshot`.
pub(crate) fn screenshot() -> Result<()> {
    setup::in_ci()?;
    setup::tell_missing();
    build_web::build(&Module::ALL)?;
    shell::run(cargo().args(["run", "--package", "finegrain-page-tests", "--bin", "screenshot"]))
}

/// The page's answers are compared with those of the program (with the same features as in the native tests).
fn build_program() -> Result<()> {
    shell::run(cargo().args(["build", "--workspace", "--bin", "finegrain"]))
}

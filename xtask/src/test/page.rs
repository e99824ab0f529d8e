//! The page in headless Chromium.

use anyhow::Result;

use super::native::TESTED;
use super::report::{Outcome, Report};
use crate::build_web::{self, Module};
use crate::shell::{self, cargo};
use crate::{npm, setup};

/// What the page's accessibility is checked with.
const AXE: &str = "axe-core@4.14.1";

pub(crate) fn run(report: &mut Report) {
    report.check("wasm modules", || {
        build_web::build(&Module::ALL)?;
        Module::ALL.into_iter().try_for_each(build_web::check_size)?;
        Ok(Outcome::Passed)
    });
    report.check("page tests and the program finegrain", || {
        // The page's answers are compared with those of the program, which cargo builds for the tests of its command
        // line (`cargo build` would choose other features of the crates below it and compile them again).
        shell::run(cargo().arg("test").args(TESTED).args(["--test", "cli", "--test", "page", "--no-run"]))?;
        Ok(Outcome::Passed)
    });
    let mut tests = cargo();
    report.check("axe-core", || {
        Ok(match npm::unpacked(AXE)? {
            Some(folder) => {
                tests.env("FINEGRAIN_AXE", folder.join("axe.min.js"));
                Outcome::Passed
            }
            None => Outcome::Skipped(
                "accessibility is not checked: axe-core is fetched with npm, which is not there".into(),
            ),
        })
    });
    // A browser and a software GPU keep every core busy already: one test at a time.
    tests.arg("test").args(TESTED).args(["--test", "page", "--", "--show-output", "--test-threads", "1"]);
    setup::use_lavapipe(&mut tests);
    report.tests("the page in Chromium", &mut tests);
}

/// `cargo xtask screenshot`.
pub(crate) fn screenshot() -> Result<()> {
    setup::in_ci()?;
    setup::tell_missing();
    build_web::build(&Module::ALL)?;
    program("screenshot", &[])
}

/// Runs a program of the package `finegrain-page-tests`.
pub(crate) fn program(name: &str, arguments: &[&std::ffi::OsStr]) -> Result<()> {
    shell::run(cargo().arg("build").args(TESTED).args(["--bin", name]))?;
    let folder = shell::target().join("debug");
    let mut program = shell::command(folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX)));
    setup::use_lavapipe(&mut program);
    shell::run(program.args(arguments))
}

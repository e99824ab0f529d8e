//! Every test that needs no browser: unit, integration and documentation tests.

use super::report::Report;
use crate::setup;
use crate::shell::cargo;

/// The packages that are tested in one build. `xtask` is compiled already, with fewer features of the crates it shares
/// with the others; together with them it would be compiled again.
pub(crate) const TESTED: [&str; 3] = ["--workspace", "--exclude", "xtask"];

pub(crate) fn run(report: &mut Report) {
    let mut tests = cargo();
    tests.arg("test").args(TESTED).args(["--no-fail-fast", "--", "--show-output"]);
    setup::use_lavapipe(&mut tests);
    report.tests("native tests, shaders on Vulkan", &mut tests);
    report.tests("tests of xtask", cargo().args(["test", "--package", "xtask", "--", "--show-output"]));
}

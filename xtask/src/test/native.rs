//! Every test that needs no browser: unit, integration and documentation tests.

use super::report::Report;
use crate::setup;
use crate::shell::cargo;

pub(crate) fn run(report: &mut Report) {
    let mut tests = cargo();
    tests.args(["test", "--workspace", "--no-fail-fast", "--", "--show-output"]);
    setup::use_lavapipe(&mut tests);
    report.tests("native tests, shaders on Vulkan", &mut tests);
}

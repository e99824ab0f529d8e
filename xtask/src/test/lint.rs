//! Formatting, spelling, lints and documentation, with warnings as errors.

use anyhow::{Context, Result, bail};

use super::report::{Outcome, Report};
use super::typos;
use crate::build_web::{self, Module};
use crate::shell::{self, cargo};
use crate::wasm_target::{TARGET, WasmTarget};

pub(crate) fn run(report: &mut Report) {
    report.check("rustfmt", || {
        shell::run(cargo().args(["fmt", "--all", "--check"]))
            .context("run `cargo fmt` (from `rustup component add rustfmt`)")?;
        Ok(Outcome::Passed)
    });
    report.check("spelling (typos)", typos::run);
    report.check("clippy, native", || {
        // The page's test is not among the default targets (see tests/page/Cargo.toml).
        shell::run(cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
        shell::run(cargo().args(["clippy", "--workspace", "--test", "page", "--", "-D", "warnings"]))?;
        Ok(Outcome::Passed)
    });
    report.check("clippy, wasm32", wasm);
    report.check("documentation", || {
        // Not the programs: `finegrain` is the name of one and of a library, which would write the same files. The
        // examples make cargo choose the features that clippy's check has compiled already.
        shell::run(
            cargo().args(["doc", "--workspace", "--lib", "--examples", "--no-deps"]).env("RUSTDOCFLAGS", "-Dwarnings"),
        )?;
        Ok(Outcome::Passed)
    });
}

/// Every wasm module, in the profile in which they are built, so that what runs at build time is compiled once.
fn wasm() -> Result<Outcome> {
    let target = WasmTarget::find_or_make()?;
    if !target.has_clippy() {
        println!("Debian's compiler comes without clippy: the compiler's own warnings count here");
        let warnings = build_web::warnings(&target, &Module::ALL)?;
        return if warnings == 0 { Ok(Outcome::Passed) } else { bail!("{warnings} warnings") };
    }
    for module in Module::ALL {
        // Behind `--` the module's flags would reach the build script too, which is for this machine.
        shell::run(
            target
                .cargo_with(module.flags())
                .args(["clippy", "--package", "finegrain", "--lib", "--no-default-features"])
                .args(["--features", module.features(), "--profile", "web", "--target", TARGET])
                .args(["--", "-D", "warnings"]),
        )?;
    }
    Ok(Outcome::Passed)
}

//! The project's verbs: `cargo xtask demo`, `build-web`, `setup`, `test`, `screenshot`, `bench`.

mod bench;
mod build_web;
mod demo;
mod npm;
mod package;
mod page_files;
mod setup;
mod shell;
mod test;
mod wasm_target;
mod wasm_toolchain;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Builds, serves and tests finegrain", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Build the page's wasm modules, serve the page on localhost and open a browser
    Demo(demo::Options),
    /// Build the page's wasm modules into www/pkg
    BuildWeb(build_web::Options),
    /// Name the missing system packages with the command that installs them
    Setup(setup::Options),
    /// Run every check: formatting, lints, documentation, spelling, native tests, shaders, the page in Chromium
    Test(test::Options),
    /// Take the screenshots of the README in headless Chromium
    Screenshot,
    /// Time the page beside onnxruntime-web in headless Chromium
    Bench(bench::Options),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().verb {
        Verb::Demo(options) => demo::run(&options),
        Verb::BuildWeb(options) => build_web::run(&options),
        Verb::Setup(options) => setup::run(&options),
        Verb::Test(options) => test::run(&options),
        Verb::Screenshot => test::screenshot(),
        Verb::Bench(options) => bench::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

//! The command line. Each command is a file; what it prints with `--json` is documented there.
//!
//! Results go to standard output, progress and errors to standard error. A command that fails prints one sentence and
//! no result.

mod ablate;
mod average;
mod bench;
mod bench_training;
mod classify;
mod data;
mod eval;
mod export;
mod interrupt;
mod measure;
mod output;
mod report;
mod serve;
mod train;
mod verify;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::say::say;
use output::Output;

/// Fine-grained photo recognition: train, ablate, average, report, export, classify, measure, bench, verify, serve.
#[derive(Debug, Parser)]
#[command(name = "finegrain", version, arg_required_else_help = true)]
struct Cli {
    /// Print one JSON document on standard output
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train a network on a data set after a recipe
    Train(train::Args),
    /// Train a recipe without and with each branch of DCAL, over several seeds, and tabulate
    Ablate(ablate::Args),
    /// Average the weights of several runs, as far as that names the held-out photos better
    Average(average::Args),
    /// Make a bundle for the page from a finished training run
    Export(export::Args),
    /// Name what photos show
    Classify(classify::Args),
    /// Measure how fast a network is here, and where the time goes
    Bench(bench::Args),
    /// Measure how long a training step takes here
    BenchTraining(bench_training::Args),
    /// Look at data sets
    Data(data::Args),
    /// Measure a bundle's accuracy on a data set
    Eval(eval::Args),
    /// Measure a finished run again
    Measure(measure::Args),
    /// Write one HTML page about training runs
    Report(report::Args),
    /// Compare the back ends with a trace computed in float64
    Verify(verify::Args),
    /// Serve the page on this machine
    Serve(serve::Args),
}

/// Whether a command that ran to its end found what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It did.
    Good,
    /// The result is printed and says no.
    Bad,
    /// Stopped by the user.
    Interrupted,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(Outcome::Good) => ExitCode::SUCCESS,
        Ok(Outcome::Bad) => ExitCode::FAILURE,
        // 128 + SIGINT, as shells have it.
        Ok(Outcome::Interrupted) => ExitCode::from(130),
        Err(error) => {
            say(&format!("error: {}", output::sentence(&error)));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<Outcome> {
    let output = Output::new(cli.json);
    match cli.command {
        Command::Train(args) => train::run(args, &output),
        Command::Ablate(args) => ablate::run(args, &output),
        Command::Average(args) => average::run(&args, &output),
        Command::Export(args) => export::run(&args, &output),
        Command::Classify(args) => classify::run(&args, &output),
        Command::Bench(args) => bench::run(&args, &output),
        Command::BenchTraining(args) => bench_training::run(&args, &output),
        Command::Data(args) => data::run(&args, &output),
        Command::Eval(args) => eval::run(&args, &output),
        Command::Measure(args) => measure::run(&args, &output),
        Command::Report(args) => report::run(&args, &output),
        Command::Verify(args) => verify::run(&args, &output),
        Command::Serve(args) => serve::run(&args, &output),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}

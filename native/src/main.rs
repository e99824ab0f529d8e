//! The command `finegrain`.

use std::process::ExitCode;

fn main() -> ExitCode {
    finegrain_native::cli::main()
}

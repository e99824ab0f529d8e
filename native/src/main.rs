//! The command `finegrain`.

use std::process::ExitCode;

/// Keeps freed memory: a training step allocates what the last one freed.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    finegrain_native::cli::main()
}

//! The command `finegrain` as a person or a script uses it: the real program, run on small files.
#![allow(clippy::unwrap_used, reason = "tests")]

mod ablate;
mod average;
mod bench;
mod bundles;
mod classify;
mod decode;
mod eval;
mod export;
mod program;
mod report;
mod serve;
mod unharmed;
mod verify;

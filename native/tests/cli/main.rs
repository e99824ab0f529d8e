//! The command `finegrain` as a person or a script uses it: the real program, run on small files.

mod bundles;
mod classify;
mod decode;
mod eval;
mod export;
mod program;
mod serve;
mod verify;

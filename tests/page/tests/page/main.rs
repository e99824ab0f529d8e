//! The page as a person uses it: a photo is chosen, the answer is read.
//!
//! Run by `cargo xtask test`, which makes the wasm modules and the program `finegrain` first.

mod accessibility;
mod answers;
mod backends;
mod bench;
mod beside;
mod bundles;
mod coarser;
mod crop;
mod example;
mod gallery;
mod gates;
mod hybrid;
mod keyboard;
mod layout;
mod loading;
mod looking;
mod masks;
mod meanwhile;
mod mechanisms;
mod memory;
mod offline;
mod own_bundle;
mod photos;
mod precision;
mod quiet;
mod recovery;
mod resampled;
mod residual;
mod tiles;
mod ways_in;

//! Small trees in each official layout, MATLAB files included; the real data sets where they are at hand.
#![cfg(feature = "full")]
#![allow(missing_docs, reason = "tests")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod broken;
mod check;
mod classes;
mod detect;
mod every;
mod held_out;
mod mat;
mod program;
mod real;
mod reid;
mod trees;
mod write;

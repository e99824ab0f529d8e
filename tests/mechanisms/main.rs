//! The further mechanisms (TASN, RGA, Attend and Rectify) in burn: against the float64 traces, gradients against finite
//! differences, what must hold for any input, and against the kernels.
#![cfg(all(feature = "autodiff", feature = "engine"))]
#![allow(clippy::unwrap_used, reason = "tests")]

mod engine;
#[path = "../support/random.rs"]
mod random;
mod rectify;
mod rga;
mod sampler;
mod support;
mod tasn;

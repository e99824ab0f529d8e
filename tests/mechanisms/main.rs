//! The further mechanisms (TASN, RGA, Attend and Rectify) in burn: against the float64 traces, gradients against finite
//! differences, and what must hold for any input.
#![cfg(feature = "autodiff")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod rectify;
mod rga;
mod sampler;
mod support;
mod tasn;

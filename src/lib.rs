//! finegrain: fine-grained recognition with published attention mechanisms, in the browser and natively.
//!
//! The rooms and what may import what are described in `ARCHITECTURE.md`. In short: [`architecture`], [`tensors`] and
//! [`answer`] are the shared words; `model` (burn) and `engine` (wgpu) both speak them and do not know each other.

// What the tests of all rooms share calls this crate by its name.
#[cfg(test)]
extern crate self as finegrain;

pub mod answer;
pub mod architecture;
pub mod bundle;
pub mod compare;
pub mod early;
pub mod fold;
pub mod look;
pub mod photo;
pub mod select;
pub mod self_test;
pub mod tensors;

#[cfg(feature = "cpu")]
pub mod cpu;
#[cfg(feature = "engine")]
pub mod engine;
#[cfg(feature = "model")]
pub mod model;
#[cfg(all(feature = "web", target_arch = "wasm32"))]
pub mod web;

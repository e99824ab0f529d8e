//! The engine: its recordings (without a GPU), its kernels against their CPU twins, and whole networks against the traces.
//! Tests that need a device use the one that wgpu finds (lavapipe here) and fail if there is none.
#![cfg(feature = "engine")]
#![allow(clippy::unwrap_used, reason = "tests")]

mod case;
mod kernels;
mod look_kernels;
mod manners;
mod map_kernels;
mod mechanism_kernels;
mod networks;
mod profile;
#[path = "../support/random.rs"]
mod random;
mod recordings;
mod residual;
#[path = "../support/shapes.rs"]
mod shapes;
mod support;
#[path = "../support/traces.rs"]
mod traces;
mod tuning;

//! Looks into a classified photo: the engine and the processor against the burn model, and the difference of two classes
//! against its definition written out in f64.
#![allow(clippy::unwrap_used, reason = "tests")]

mod case;
mod difference;
mod early;
mod hooks;
mod manners;
mod precision;
#[path = "../support/random.rs"]
mod random;
#[allow(dead_code, reason = "residual networks have no looks of tokens")]
#[path = "../support/shapes.rs"]
mod shapes;

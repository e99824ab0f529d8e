//! What the command `finegrain` is made of.
//!
//! Without the feature `full` only [`serve`] is built: no network, no GPU code, little to compile. `xtask` serves the
//! page with it.

#[cfg(feature = "full")]
pub mod ablate;
#[cfg(feature = "full")]
pub mod average;
#[cfg(feature = "full")]
pub mod backend;
#[cfg(feature = "full")]
pub mod card;
#[cfg(feature = "full")]
pub mod cli;
#[cfg(feature = "full")]
pub mod data;
#[cfg(feature = "full")]
pub mod decode;
#[cfg(feature = "full")]
pub mod golden;
#[cfg(feature = "full")]
pub mod hierarchy;
#[cfg(feature = "full")]
pub mod measure;
#[cfg(feature = "full")]
pub mod parts;
#[cfg(feature = "full")]
pub mod random;
#[cfg(feature = "full")]
pub mod report;
#[cfg(feature = "full")]
mod say;
pub mod serve;
#[cfg(feature = "full")]
pub mod store;
#[cfg(feature = "full")]
pub mod tiles;
#[cfg(feature = "full")]
pub mod traces;
#[cfg(feature = "full")]
pub mod train;
#[cfg(feature = "full")]
pub mod verify;
#[cfg(feature = "full")]
pub mod weights;

//! What the command `finegrain` is made of.
//!
//! Without the feature `full` only [`serve`] is built: no network, no GPU code, little to compile. `xtask` serves the
//! page with it.

#[cfg(feature = "full")]
pub mod data;
#[cfg(feature = "full")]
pub mod decode;
pub mod serve;
#[cfg(feature = "full")]
pub mod train;

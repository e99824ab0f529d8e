//! The trilinear attention sampling network, TASN (Zheng et al., CVPR 2019; equations as in the authors' code).
//!
//! The last feature map attends to itself ([`trilinear`]); its attention says how densely the full-resolution photo is
//! sampled ([`coordinates`], [`grid_sample`]): once as the sum of all attention maps (structure, for the master net),
//! once as one of them (detail, for the part net), from which the master net learns ([`distil`]). [`TasnBlocks`] is all of it
//! on a backbone.

mod blocks;
mod distil;
mod sampler;
mod trace;
mod trilinear;

pub(super) use blocks::{Attended, Resampled};
pub use blocks::{TasnBlocks, shrink};
pub use distil::distil;
pub use sampler::{coordinates, grid_sample};
pub use trace::trace;
pub use trilinear::{detail, resize, structure, trilinear};

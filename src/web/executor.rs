//! What runs the network: the only part in which the two modules differ.
//!
//! Both executors have the same two functions: `load` (weights in, calling `stage` with what it is at, how many steps of it
//! are done and how many there are) and `classify`
//! (an image `[3, H, W]`, normalised, to an [`Answer`](crate::answer::Answer)). Which device that is, the page knows:
//! it chose the module by it.

#[cfg(not(feature = "engine"))]
mod cpu;
#[cfg(feature = "engine")]
mod gpu;

#[cfg(not(feature = "engine"))]
pub(super) use cpu::Executor;
#[cfg(feature = "engine")]
pub(super) use gpu::Executor;

//! The steps of a block on the processor, each one pass over slices: shared by [`Cpu`](crate::cpu::Cpu) and by the burn
//! model's CPU back end, where each has a backward pass too.

pub(crate) mod attention;
pub(crate) mod convolution;
pub(crate) mod gelu;
pub(crate) mod group_norm;
pub(crate) mod lanes;
pub(crate) mod layer_norm;
pub(crate) mod matmul;

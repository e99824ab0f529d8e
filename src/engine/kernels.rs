//! Registration of the kernels, one line each: the specialisation, its uniform struct and how many workgroups it needs.
//! The shaders and the uniform structs come from `build.rs`, which took them from naga.

use super::recording::{Access, Binding, Kernel, Shader};

/// What `build.rs` wrote: for each specialisation a [`Shader`], for each kernel the twin of its uniform struct.
mod generated {
    use super::{Access, Binding, Shader};
    include!(concat!(env!("OUT_DIR"), "/shaders.rs"));
}

pub use generated::{
    AttentionMeanUniforms, AttentionRowUniforms, AttentionUniforms, ClassifierUniforms, ContributionUniforms,
    DirectionUniforms, GatherUniforms, LayerNormUniforms, MatmulUniforms, PatchEmbedUniforms, ProbabilityUniforms,
    ProbeCopyUniforms, ProbeFmaUniforms, PullBackUniforms, RolloutUniforms, SelectUniforms,
};

/// `kernel!(NAME: Uniforms, twin, |u| grid)`: CPU twin (`cpu::twin`) and cost (`cost::twin`) go by one name.
macro_rules! kernel {
    ($name:ident: $uniforms:ty, $twin:ident, |$u:ident| $grid:expr) => {
        #[doc = concat!("`", stringify!($name), "`, see the shader of that name.")]
        pub static $name: Kernel = Kernel {
            shader: &generated::$name,
            grid: |bytes| {
                let $u: $uniforms = bytemuck::pod_read_unaligned(bytes);
                $grid
            },
            #[cfg(not(target_arch = "wasm32"))]
            cpu: |bytes, bindings| super::cpu::$twin(&bytemuck::pod_read_unaligned::<$uniforms>(bytes), bindings),
            #[cfg(not(target_arch = "wasm32"))]
            cost: |bytes| super::cost::$twin(&bytemuck::pod_read_unaligned::<$uniforms>(bytes)),
        };
    };
}

/// Rows, also queries and keys, that one workgroup of a tiled kernel covers.
const TILE: u32 = 32;
/// Columns that one workgroup of a matrix product covers.
const WIDE: u32 = 64;

kernel!(PATCH_EMBED: PatchEmbedUniforms, patch_embed, |u| {
    [u.dim.div_ceil(WIDE), (1 + (u.height / u.side) * (u.width / u.side)).div_ceil(TILE), 1]
});
kernel!(LAYER_NORM: LayerNormUniforms, layer_norm, |u| [u.rows, 1, 1]);
kernel!(MATMUL: MatmulUniforms, matmul, |u| [u.columns.div_ceil(WIDE), u.rows.div_ceil(TILE), 1]);
kernel!(MATMUL_GELU: MatmulUniforms, matmul_gelu, |u| [u.columns.div_ceil(WIDE), u.rows.div_ceil(TILE), 1]);
kernel!(MATMUL_RESIDUAL: MatmulUniforms, matmul_residual, |u| [u.columns.div_ceil(WIDE), u.rows.div_ceil(TILE), 1]);
kernel!(ATTENTION_32: AttentionUniforms, attention, |u| [u.queries.div_ceil(TILE), u.heads, 1]);
kernel!(ATTENTION_64: AttentionUniforms, attention, |u| [u.queries.div_ceil(TILE), u.heads, 1]);
kernel!(ATTENTION_128: AttentionUniforms, attention, |u| [u.queries.div_ceil(TILE), u.heads, 1]);
kernel!(ATTENTION_MEAN: AttentionMeanUniforms, attention_mean, |u| [u.keys.div_ceil(8), u.queries.div_ceil(8), 1]);
kernel!(ATTENTION_HEADS: AttentionMeanUniforms, attention_heads, |u| [u.keys.div_ceil(8), u.queries.div_ceil(8), 1]);
kernel!(ROLLOUT: RolloutUniforms, rollout, |u| [u.keys.div_ceil(TILE), 1, 1]);
kernel!(SELECT: SelectUniforms, select, |u| [(u.tokens - 1).div_ceil(64), 1, 1]);
kernel!(GATHER: GatherUniforms, gather, |u| [u.dim.div_ceil(64), u.rows, 1]);
kernel!(CLASSIFIER: ClassifierUniforms, classifier, |u| [u.classes.div_ceil(4).div_ceil(64), 1, 1]);
kernel!(PROBABILITY: ProbabilityUniforms, probability, |u| {
    let _ = u;
    [1, 1, 1]
});
kernel!(PROBABILITY_GLCA: ProbabilityUniforms, probability_glca, |u| {
    let _ = u;
    [1, 1, 1]
});
kernel!(ATTENTION_ROW: AttentionRowUniforms, attention_row, |u| [u.keys.div_ceil(64), u.heads, 1]);
kernel!(DIRECTION: DirectionUniforms, direction, |u| {
    let _ = u;
    [1, 1, 1]
});
kernel!(PULL_BACK: PullBackUniforms, pull_back, |u| [u.rows.div_ceil(64), 1, 1]);
kernel!(CONTRIBUTION: ContributionUniforms, contribution, |u| [u.keys.div_ceil(64), 1, 1]);
kernel!(PROBE_FMA: ProbeFmaUniforms, probe_fma, |u| [u.threads.div_ceil(64), 1, 1]);
kernel!(PROBE_COPY: ProbeCopyUniforms, probe_copy, |u| [u.count.div_ceil(256), 1, 1]);

/// The widest attention head that the kernels cover.
pub const MAX_HEAD_DIM: usize = 128;

/// The attention kernel for heads of width `head_dim`, if there is one.
pub fn attention(head_dim: usize) -> Option<&'static Kernel> {
    match head_dim {
        1..=32 => Some(&ATTENTION_32),
        33..=64 => Some(&ATTENTION_64),
        65..=MAX_HEAD_DIM => Some(&ATTENTION_128),
        _ => None,
    }
}

/// Every kernel, for tests and for a list to print.
pub static ALL: [&Kernel; 22] = [
    &PATCH_EMBED,
    &LAYER_NORM,
    &MATMUL,
    &MATMUL_GELU,
    &MATMUL_RESIDUAL,
    &ATTENTION_32,
    &ATTENTION_64,
    &ATTENTION_128,
    &ATTENTION_MEAN,
    &ATTENTION_HEADS,
    &ROLLOUT,
    &SELECT,
    &GATHER,
    &CLASSIFIER,
    &PROBABILITY,
    &PROBABILITY_GLCA,
    &ATTENTION_ROW,
    &DIRECTION,
    &PULL_BACK,
    &CONTRIBUTION,
    &PROBE_FMA,
    &PROBE_COPY,
];

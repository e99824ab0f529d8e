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
    ConvolutionUniforms, CoordinatesUniforms, CumulativeUniforms, DirectionUniforms, GateUniforms, GatherUniforms,
    GlobalGatesUniforms, GridSampleUniforms, HypothesisUniforms, LayerNormUniforms, MarginalUniforms, MatmulUniforms,
    PatchEmbedUniforms, ProbabilityUniforms, ProductUniforms, PullBackUniforms, RolloutUniforms, SelectUniforms,
    SoftmaxUniforms, SumUniforms,
};

/// `kernel!(NAME: Uniforms, cpu twin, |u| grid)`.
macro_rules! kernel {
    ($name:ident: $uniforms:ty, $twin:path, |$u:ident| $grid:expr) => {
        #[doc = concat!("`", stringify!($name), "`, see the shader of that name.")]
        pub static $name: Kernel = Kernel {
            shader: &generated::$name,
            grid: |bytes| {
                let $u: $uniforms = bytemuck::pod_read_unaligned(bytes);
                $grid
            },
            #[cfg(not(target_arch = "wasm32"))]
            cpu: |bytes, bindings| {
                use super::cpu;
                $twin(&bytemuck::pod_read_unaligned::<$uniforms>(bytes), bindings);
            },
        };
    };
}

/// Rows, also queries and keys, that one workgroup of a tiled kernel covers.
const TILE: u32 = 32;
/// Columns that one workgroup of a matrix product covers.
const WIDE: u32 = 64;

kernel!(PATCH_EMBED: PatchEmbedUniforms, cpu::patch_embed, |u| {
    [u.dim.div_ceil(WIDE), (1 + (u.height / u.side) * (u.width / u.side)).div_ceil(TILE), 1]
});
kernel!(LAYER_NORM: LayerNormUniforms, cpu::layer_norm, |u| [u.rows, 1, 1]);
kernel!(MATMUL: MatmulUniforms, cpu::matmul, |u| [u.columns.div_ceil(WIDE), u.rows.div_ceil(TILE), 1]);
kernel!(MATMUL_GELU: MatmulUniforms, cpu::matmul_gelu, |u| [u.columns.div_ceil(WIDE), u.rows.div_ceil(TILE), 1]);
kernel!(MATMUL_RESIDUAL: MatmulUniforms, cpu::matmul_residual, |u| [u.columns.div_ceil(WIDE), u.rows.div_ceil(TILE), 1]);
kernel!(ATTENTION_32: AttentionUniforms, cpu::attention, |u| [u.queries.div_ceil(TILE), u.heads, 1]);
kernel!(ATTENTION_64: AttentionUniforms, cpu::attention, |u| [u.queries.div_ceil(TILE), u.heads, 1]);
kernel!(ATTENTION_128: AttentionUniforms, cpu::attention, |u| [u.queries.div_ceil(TILE), u.heads, 1]);
kernel!(ATTENTION_MEAN: AttentionMeanUniforms, cpu::attention_mean, |u| [u.keys.div_ceil(8), u.queries.div_ceil(8), 1]);
kernel!(ATTENTION_HEADS: AttentionMeanUniforms, cpu::attention_heads, |u| [u.keys.div_ceil(8), u.queries.div_ceil(8), 1]);
kernel!(ROLLOUT: RolloutUniforms, cpu::rollout, |u| [u.keys.div_ceil(TILE), 1, 1]);
kernel!(SELECT: SelectUniforms, cpu::select, |u| [(u.tokens - 1).div_ceil(64), 1, 1]);
kernel!(GATHER: GatherUniforms, cpu::gather, |u| [u.dim.div_ceil(64), u.rows, 1]);
kernel!(CLASSIFIER: ClassifierUniforms, cpu::classifier, |u| [u.classes.div_ceil(4).div_ceil(64), 1, 1]);
kernel!(PROBABILITY: ProbabilityUniforms, cpu::probability, |u| {
    let _ = u;
    [1, 1, 1]
});
kernel!(PROBABILITY_GLCA: ProbabilityUniforms, cpu::probability_glca, |u| {
    let _ = u;
    [1, 1, 1]
});
kernel!(ATTENTION_ROW: AttentionRowUniforms, cpu::attention_row, |u| [u.keys.div_ceil(64), u.heads, 1]);
kernel!(DIRECTION: DirectionUniforms, cpu::direction, |u| {
    let _ = u;
    [1, 1, 1]
});
kernel!(PULL_BACK: PullBackUniforms, cpu::pull_back, |u| [u.rows.div_ceil(64), 1, 1]);
kernel!(CONTRIBUTION: ContributionUniforms, cpu::contribution, |u| [u.keys.div_ceil(64), 1, 1]);
kernel!(SOFTMAX: SoftmaxUniforms, cpu::softmax, |u| [u.rows, 1, 1]);
kernel!(PRODUCT: ProductUniforms, cpu::product, |u| [u.columns.div_ceil(WIDE), u.rows.div_ceil(TILE), 1]);
kernel!(PRODUCT_RELU: ProductUniforms, cpu::product_relu, |u| [u.columns.div_ceil(WIDE), u.rows.div_ceil(TILE), 1]);
kernel!(PRODUCT_SIGMOID: ProductUniforms, cpu::product_sigmoid, |u| {
    [u.columns.div_ceil(WIDE), u.rows.div_ceil(TILE), 1]
});
kernel!(SUM: SumUniforms, cpu::sum, |u| [u.rows.div_ceil(64), 1, 1]);
kernel!(MARGINAL: MarginalUniforms, cpu::marginal, |u| [u.height + u.width, 1, 1]);
kernel!(CUMULATIVE: CumulativeUniforms, cpu::cumulative, |u| {
    let _ = u;
    [1, 1, 1]
});
kernel!(COORDINATES: CoordinatesUniforms, cpu::coordinates, |u| [(u.rows + u.columns).div_ceil(64), 1, 1]);
kernel!(GRID_SAMPLE: GridSampleUniforms, cpu::grid_sample, |u| [u.columns.div_ceil(8), u.rows.div_ceil(8), u.channels]);
kernel!(GATE: GateUniforms, cpu::gate, |u| [u.channels.div_ceil(64), u.positions, 1]);
kernel!(CONVOLUTION: ConvolutionUniforms, cpu::convolution, |u| {
    [u.outputs.div_ceil(WIDE), (u.rows * u.columns).div_ceil(TILE), 1]
});
kernel!(HYPOTHESIS: HypothesisUniforms, cpu::hypothesis, |u| {
    let _ = u;
    [1, 1, 1]
});
kernel!(GLOBAL_GATES: GlobalGatesUniforms, cpu::global_gates, |u| {
    let _ = u;
    [1, 1, 1]
});
kernel!(GLOBAL_GATES_SIGMOID: GlobalGatesUniforms, cpu::global_gates_sigmoid, |u| {
    let _ = u;
    [1, 1, 1]
});

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

/// The most heads that `hypothesis` covers.
pub const MAX_HYPOTHESIS_HEADS: usize = 64;

/// Every kernel, for tests and for a list to print.
pub static ALL: [&Kernel; 34] = [
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
    &SOFTMAX,
    &PRODUCT,
    &PRODUCT_RELU,
    &PRODUCT_SIGMOID,
    &SUM,
    &MARGINAL,
    &CUMULATIVE,
    &COORDINATES,
    &GRID_SAMPLE,
    &GATE,
    &CONVOLUTION,
    &HYPOTHESIS,
    &GLOBAL_GATES,
    &GLOBAL_GATES_SIGMOID,
];

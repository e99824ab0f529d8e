//! Registration of the kernels, one line each: the specialisation, its uniform struct and how many workgroups it needs.
//! The shaders and the uniform structs come from `build.rs`, which took them from naga.

use super::recording::{Access, Binding, Kernel, Shader};
use crate::tensors::Precision;

/// What `build.rs` wrote: for each specialisation a [`Shader`], for each kernel the twin of its uniform struct.
mod generated {
    use super::{Access, Binding, Shader};
    include!(concat!(env!("OUT_DIR"), "/shaders.rs"));
}

pub(super) use generated::DIGEST;
#[cfg(not(target_arch = "wasm32"))]
pub use generated::ProbeMatrixUniforms;
pub use generated::{
    AgreementUniforms, AttentionMeanUniforms, AttentionRowUniforms, AttentionUniforms, ClassActivationUniforms,
    ClassifierUniforms, ContributionUniforms, ConvolutionUniforms, CoordinatesUniforms, CumulativeUniforms,
    DirectionUniforms, GateUniforms, GatherUniforms, GlobalGatesUniforms, GridSampleUniforms, GroupMomentsUniforms,
    GroupNormUniforms, HypothesisUniforms, LayerNormUniforms, MarginalUniforms, MatmulUniforms, MaxPoolUniforms,
    NeighboursUniforms, NormaliseUniforms, PatchEmbedUniforms, ProbabilityUniforms, ProbeCopyUniforms,
    ProbeFmaUniforms, ProductUniforms, PullBackUniforms, RolloutUniforms, SelectUniforms, ShrinkUniforms,
    SoftmaxUniforms, SumUniforms,
};

/// `kernel!(NAME: Uniforms, twin, |u| grid)`: CPU twin (`cpu::twin`) and cost (`cost::twin`) go by one name. Those of a
/// kernel that reads a linear layer's weight are told how it lies in memory: `twin in F16`.
macro_rules! kernel {
    ($(#[$cfg:meta])? $name:ident: $uniforms:ty, $twin:ident $(in $precision:ident)?, |$u:ident| $grid:expr) => {
        $(#[$cfg])?
        #[doc = concat!("`", stringify!($name), "`, see the shader of that name.")]
        pub static $name: Kernel = Kernel {
            shader: &generated::$name,
            grid: |bytes| {
                let $u: $uniforms = bytemuck::pod_read_unaligned(bytes);
                $grid
            },
            #[cfg(not(target_arch = "wasm32"))]
            cpu: |bytes, bindings| {
                super::cpu::$twin($(Precision::$precision,)? &bytemuck::pod_read_unaligned::<$uniforms>(bytes), bindings);
            },
            #[cfg(not(target_arch = "wasm32"))]
            cost: |bytes| super::cost::$twin($(Precision::$precision,)? &bytemuck::pod_read_unaligned::<$uniforms>(bytes)),
        };
    };
}

/// The products that come in several tiles: of each precision and ending the tiles, the default first; behind `or` those on
/// matrix units, with a twin of their own.
macro_rules! products {
    ($([$($name:ident),+]: $uniforms:ty, $twin:ident in $precision:ident $(, or [$($matrix:ident),+] $other:ident)?;)+) => {
        $(
            $(kernel!($name: $uniforms, $twin in $precision, |u| tiles_of(&generated::$name, u.rows, u.columns));)+
            $($(kernel!(
                #[cfg(not(target_arch = "wasm32"))]
                $matrix: $uniforms, $other in $precision, |u| tiles_of(&generated::$matrix, u.rows, u.columns)
            );)+)?
        )+
        static PRODUCTS: &[&[&Kernel]] =
            &[$(&[$(&$name,)+ $($(#[cfg(not(target_arch = "wasm32"))] &$matrix,)+)?]),+];
    };
}

/// Queries and keys that one workgroup of an attention covers.
const TILE: u32 = 32;

/// The tiles of a product `[rows, columns]`.
fn tiles_of(shader: &Shader, rows: u32, columns: u32) -> [u32; 3] {
    let [height, width] = shader.tile;
    [columns.div_ceil(width), rows.div_ceil(height), 1]
}

fn patch_embed_grid(shader: &Shader, u: &PatchEmbedUniforms) -> [u32; 3] {
    tiles_of(shader, 1 + (u.height / u.side) * (u.width / u.side), u.dim)
}

kernel!(PATCH_EMBED: PatchEmbedUniforms, patch_embed in F32, |u| patch_embed_grid(&generated::PATCH_EMBED, &u));
kernel!(PATCH_EMBED_F16: PatchEmbedUniforms, patch_embed in F16, |u| {
    patch_embed_grid(&generated::PATCH_EMBED_F16, &u)
});
kernel!(LAYER_NORM: LayerNormUniforms, layer_norm, |u| [u.rows, 1, 1]);
kernel!(#[cfg(not(target_arch = "wasm32"))] LAYER_NORM_SUBGROUP: LayerNormUniforms, layer_norm, |u| [u.rows, 1, 1]);
products! {
    [MATMUL, MATMUL_SMALL, MATMUL_LARGE]: MatmulUniforms, matmul in F32;
    [MATMUL_F16, MATMUL_F16_SMALL, MATMUL_F16_LARGE]: MatmulUniforms, matmul in F16,
        or [MATMUL_MATRIX_F16, MATMUL_MATRIX_F16_LARGE, MATMUL_MATRIX_F16_EIGHT, MATMUL_MATRIX_F16_EIGHT_LARGE] matmul_matrix;
    [MATMUL_INT8, MATMUL_INT8_SMALL, MATMUL_INT8_LARGE]: MatmulUniforms, matmul in Int8,
        or [MATMUL_MATRIX_INT8, MATMUL_MATRIX_INT8_LARGE, MATMUL_MATRIX_INT8_EIGHT, MATMUL_MATRIX_INT8_EIGHT_LARGE] matmul_matrix;
    [MATMUL_GELU, MATMUL_GELU_SMALL, MATMUL_GELU_LARGE]: MatmulUniforms, matmul_gelu in F32;
    [MATMUL_GELU_F16, MATMUL_GELU_F16_SMALL, MATMUL_GELU_F16_LARGE]: MatmulUniforms, matmul_gelu in F16,
        or [MATMUL_MATRIX_GELU_F16, MATMUL_MATRIX_GELU_F16_LARGE, MATMUL_MATRIX_GELU_F16_EIGHT, MATMUL_MATRIX_GELU_F16_EIGHT_LARGE] matmul_matrix_gelu;
    [MATMUL_GELU_INT8, MATMUL_GELU_INT8_SMALL, MATMUL_GELU_INT8_LARGE]: MatmulUniforms, matmul_gelu in Int8,
        or [MATMUL_MATRIX_GELU_INT8, MATMUL_MATRIX_GELU_INT8_LARGE, MATMUL_MATRIX_GELU_INT8_EIGHT, MATMUL_MATRIX_GELU_INT8_EIGHT_LARGE] matmul_matrix_gelu;
    [MATMUL_RESIDUAL, MATMUL_RESIDUAL_SMALL, MATMUL_RESIDUAL_LARGE]: MatmulUniforms, matmul_residual in F32;
    [MATMUL_RESIDUAL_F16, MATMUL_RESIDUAL_F16_SMALL, MATMUL_RESIDUAL_F16_LARGE]: MatmulUniforms, matmul_residual in F16,
        or [MATMUL_MATRIX_RESIDUAL_F16, MATMUL_MATRIX_RESIDUAL_F16_LARGE, MATMUL_MATRIX_RESIDUAL_F16_EIGHT, MATMUL_MATRIX_RESIDUAL_F16_EIGHT_LARGE] matmul_matrix_residual;
    [MATMUL_RESIDUAL_INT8, MATMUL_RESIDUAL_INT8_SMALL, MATMUL_RESIDUAL_INT8_LARGE]: MatmulUniforms, matmul_residual in Int8,
        or [MATMUL_MATRIX_RESIDUAL_INT8, MATMUL_MATRIX_RESIDUAL_INT8_LARGE, MATMUL_MATRIX_RESIDUAL_INT8_EIGHT, MATMUL_MATRIX_RESIDUAL_INT8_EIGHT_LARGE] matmul_matrix_residual;
    [CONVOLUTION, CONVOLUTION_SMALL, CONVOLUTION_LARGE]: ConvolutionUniforms, convolution in F32;
    [CONVOLUTION_F16, CONVOLUTION_F16_SMALL, CONVOLUTION_F16_LARGE]: ConvolutionUniforms, convolution in F16;
}
kernel!(ATTENTION_32: AttentionUniforms, attention, |u| [u.queries.div_ceil(TILE), u.heads, 1]);
kernel!(ATTENTION_64: AttentionUniforms, attention, |u| [u.queries.div_ceil(TILE), u.heads, 1]);
kernel!(ATTENTION_128: AttentionUniforms, attention, |u| [u.queries.div_ceil(TILE), u.heads, 1]);
kernel!(ATTENTION_MEAN: AttentionMeanUniforms, attention_mean, |u| [u.keys.div_ceil(8), u.queries.div_ceil(8), 1]);
kernel!(ATTENTION_HEADS: AttentionMeanUniforms, attention_heads, |u| [u.keys.div_ceil(8), u.queries.div_ceil(8), 1]);
kernel!(ROLLOUT: RolloutUniforms, rollout, |u| {
    [u.keys.div_ceil(TILE), u.heads, u.queries.div_ceil(u.span).max(1)]
});
kernel!(SELECT: SelectUniforms, select, |u| [(u.tokens - 1).div_ceil(64), 1, 1]);
kernel!(GATHER: GatherUniforms, gather, |u| [u.dim.div_ceil(64), u.rows, 1]);
kernel!(CLASSIFIER: ClassifierUniforms, classifier in F32, |u| [u.classes.div_ceil(4).div_ceil(64), 1, 1]);
kernel!(CLASSIFIER_F16: ClassifierUniforms, classifier in F16, |u| [u.classes.div_ceil(4).div_ceil(64), 1, 1]);
kernel!(CLASSIFIER_INT8: ClassifierUniforms, classifier in Int8, |u| [u.classes.div_ceil(4).div_ceil(64), 1, 1]);
kernel!(PROBABILITY: ProbabilityUniforms, probability, |u| {
    let _ = u;
    [1, 1, 1]
});
kernel!(PROBABILITY_GLCA: ProbabilityUniforms, probability_glca, |u| {
    let _ = u;
    [1, 1, 1]
});
kernel!(#[cfg(not(target_arch = "wasm32"))] PROBABILITY_SUBGROUP: ProbabilityUniforms, probability, |u| {
    let _ = u;
    [1, 1, 1]
});
kernel!(#[cfg(not(target_arch = "wasm32"))] PROBABILITY_GLCA_SUBGROUP: ProbabilityUniforms, probability_glca, |u| {
    let _ = u;
    [1, 1, 1]
});
kernel!(ATTENTION_ROW: AttentionRowUniforms, attention_row, |u| [u.keys.div_ceil(64), u.heads, 1]);
kernel!(DIRECTION: DirectionUniforms, direction in F32, |u| {
    let _ = u;
    [1, 1, 1]
});
kernel!(DIRECTION_F16: DirectionUniforms, direction in F16, |u| {
    let _ = u;
    [1, 1, 1]
});
kernel!(DIRECTION_INT8: DirectionUniforms, direction in Int8, |u| {
    let _ = u;
    [1, 1, 1]
});
kernel!(PULL_BACK: PullBackUniforms, pull_back in F32, |u| [u.rows.div_ceil(64), 1, 1]);
kernel!(PULL_BACK_F16: PullBackUniforms, pull_back in F16, |u| [u.rows.div_ceil(64), 1, 1]);
kernel!(PULL_BACK_INT8: PullBackUniforms, pull_back in Int8, |u| [u.rows.div_ceil(64), 1, 1]);
kernel!(CONTRIBUTION: ContributionUniforms, contribution, |u| [u.keys.div_ceil(64), 1, 1]);
kernel!(SOFTMAX: SoftmaxUniforms, softmax, |u| [u.rows, 1, 1]);
kernel!(#[cfg(not(target_arch = "wasm32"))] SOFTMAX_SUBGROUP: SoftmaxUniforms, softmax, |u| [u.rows, 1, 1]);
kernel!(PRODUCT: ProductUniforms, product, |u| tiles_of(&generated::PRODUCT, u.rows, u.columns));
kernel!(PRODUCT_RELU: ProductUniforms, product_relu, |u| tiles_of(&generated::PRODUCT_RELU, u.rows, u.columns));
kernel!(PRODUCT_SIGMOID: ProductUniforms, product_sigmoid, |u| {
    tiles_of(&generated::PRODUCT_SIGMOID, u.rows, u.columns)
});
kernel!(SUM: SumUniforms, sum, |u| [u.rows.div_ceil(64), 1, 1]);
kernel!(SUM_RELU: SumUniforms, sum_relu, |u| [u.rows.div_ceil(64), 1, 1]);
kernel!(MARGINAL: MarginalUniforms, marginal, |u| [u.height + u.width, 1, 1]);
kernel!(CUMULATIVE: CumulativeUniforms, cumulative, |u| {
    let _ = u;
    [1, 1, 1]
});
kernel!(COORDINATES: CoordinatesUniforms, coordinates, |u| [(u.rows + u.columns).div_ceil(64), 1, 1]);
kernel!(GRID_SAMPLE: GridSampleUniforms, grid_sample, |u| [u.columns.div_ceil(8), u.rows.div_ceil(8), u.channels]);
kernel!(SHRINK: ShrinkUniforms, shrink, |u| [u.columns.div_ceil(8), u.rows.div_ceil(8), u.channels]);
kernel!(GATE: GateUniforms, gate, |u| [u.channels.div_ceil(64), u.positions, 1]);
kernel!(GROUP_MOMENTS: GroupMomentsUniforms, group_moments, |u| [u.groups, u.positions.div_ceil(u.span), 1]);
kernel!(GROUP_NORM: GroupNormUniforms, group_norm, |u| [u.channels.div_ceil(64), 1, 1]);
kernel!(MAX_POOL: MaxPoolUniforms, max_pool, |u| [u.channels.div_ceil(64), u.columns, u.rows]);
kernel!(NORMALISE: NormaliseUniforms, normalise, |u| [u.channels.div_ceil(64), u.width, u.height]);
kernel!(CLASS_ACTIVATION: ClassActivationUniforms, class_activation in F32, |u| {
    let _ = u;
    [1, 1, 1]
});
kernel!(CLASS_ACTIVATION_F16: ClassActivationUniforms, class_activation in F16, |u| {
    let _ = u;
    [1, 1, 1]
});
kernel!(CLASS_ACTIVATION_INT8: ClassActivationUniforms, class_activation in Int8, |u| {
    let _ = u;
    [1, 1, 1]
});
kernel!(NEIGHBOURS: NeighboursUniforms, neighbours, |u| [u.channels.div_ceil(64), u.heads, 9]);
kernel!(HYPOTHESIS: HypothesisUniforms, hypothesis, |u| {
    let _ = u;
    [1, 1, 1]
});
kernel!(AGREEMENT: AgreementUniforms, agreement, |u| {
    let _ = u;
    [1, 1, 1]
});
kernel!(GLOBAL_GATES: GlobalGatesUniforms, global_gates, |u| {
    let _ = u;
    [1, 1, 1]
});
kernel!(GLOBAL_GATES_SIGMOID: GlobalGatesUniforms, global_gates_sigmoid, |u| {
    let _ = u;
    [1, 1, 1]
});
kernel!(PROBE_FMA: ProbeFmaUniforms, probe_fma, |u| [u.threads.div_ceil(64), 1, 1]);
kernel!(#[cfg(not(target_arch = "wasm32"))] PROBE_MATRIX: ProbeMatrixUniforms, probe_matrix, |u| {
    [u.subgroups.div_ceil(4), 1, 1]
});
kernel!(#[cfg(not(target_arch = "wasm32"))] PROBE_MATRIX_EIGHT: ProbeMatrixUniforms, probe_matrix_eight, |u| {
    [u.subgroups.div_ceil(4), 1, 1]
});
kernel!(PROBE_COPY: ProbeCopyUniforms, probe_copy, |u| [u.count.div_ceil(256), 1, 1]);

/// The kernels that read weights of linear layers and of convolutions.
#[derive(Debug, Clone, Copy)]
pub struct Linear {
    /// Patch embedding.
    pub patch_embed: &'static Kernel,
    /// A layer.
    pub matmul: &'static Kernel,
    /// A layer with GELU behind it.
    pub matmul_gelu: &'static Kernel,
    /// A layer whose result is added.
    pub matmul_residual: &'static Kernel,
    /// A head.
    pub classifier: &'static Kernel,
    /// A convolution.
    pub convolution: &'static Kernel,
    /// What a residual network has in place of rollout.
    pub class_activation: &'static Kernel,
    /// Looks: from two classes to a direction.
    pub direction: &'static Kernel,
    /// Looks: a direction before a layer.
    pub pull_back: &'static Kernel,
}

/// The kernels for weights that lie on the device in `precision`; convolutions are no matrices and have no eight bits.
pub fn linear(precision: Precision) -> Linear {
    match precision {
        Precision::F32 => Linear {
            patch_embed: &PATCH_EMBED,
            matmul: &MATMUL,
            matmul_gelu: &MATMUL_GELU,
            matmul_residual: &MATMUL_RESIDUAL,
            classifier: &CLASSIFIER,
            convolution: &CONVOLUTION,
            class_activation: &CLASS_ACTIVATION,
            direction: &DIRECTION,
            pull_back: &PULL_BACK,
        },
        Precision::F16 => Linear {
            patch_embed: &PATCH_EMBED_F16,
            matmul: &MATMUL_F16,
            matmul_gelu: &MATMUL_GELU_F16,
            matmul_residual: &MATMUL_RESIDUAL_F16,
            classifier: &CLASSIFIER_F16,
            convolution: &CONVOLUTION_F16,
            class_activation: &CLASS_ACTIVATION_F16,
            direction: &DIRECTION_F16,
            pull_back: &PULL_BACK_F16,
        },
        Precision::Int8 => Linear {
            patch_embed: &PATCH_EMBED_F16,
            matmul: &MATMUL_INT8,
            matmul_gelu: &MATMUL_GELU_INT8,
            matmul_residual: &MATMUL_RESIDUAL_INT8,
            classifier: &CLASSIFIER_INT8,
            convolution: &CONVOLUTION_F16,
            class_activation: &CLASS_ACTIVATION_INT8,
            direction: &DIRECTION_INT8,
            pull_back: &PULL_BACK_INT8,
        },
    }
}

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

/// The tiles in which a matrix product can be computed, the one that recordings name first; none for any other kernel.
pub fn tiles(kernel: &Kernel) -> &'static [&'static Kernel] {
    let has = |tiles: &&&'static [&'static Kernel]| tiles.iter().any(|tile| std::ptr::eq(tile.shader, kernel.shader));
    PRODUCTS.iter().find(has).copied().unwrap_or_default()
}

/// Whether a kernel computes such a product: matrix units take whole matrices only (see `matmul_matrix`).
pub fn suits(kernel: &Kernel, inner: u32, columns: u32) -> bool {
    kernel.shader.matrix_units == 0 || inner.is_multiple_of(32) && columns.is_multiple_of(4)
}

/// The same kernel with subgroup operations, where there is one.
#[cfg(target_arch = "wasm32")]
pub(super) fn with_subgroups(_: &Kernel) -> Option<&'static Kernel> {
    None
}

/// The same kernel with subgroup operations, where there is one.
#[cfg(not(target_arch = "wasm32"))]
pub fn with_subgroups(kernel: &Kernel) -> Option<&'static Kernel> {
    let pairs = [
        (&LAYER_NORM, &LAYER_NORM_SUBGROUP),
        (&SOFTMAX, &SOFTMAX_SUBGROUP),
        (&PROBABILITY, &PROBABILITY_SUBGROUP),
        (&PROBABILITY_GLCA, &PROBABILITY_GLCA_SUBGROUP),
    ];
    pairs.into_iter().find(|(plain, _)| plain.shader.name == kernel.shader.name).map(|(_, subgroup)| subgroup)
}

/// Every kernel as recordings name it, for tests and for a list to print; [`tiles`] and [`with_subgroups`] give what may take
/// its place.
pub static ALL: [&Kernel; 61] = [
    &PATCH_EMBED,
    &PATCH_EMBED_F16,
    &LAYER_NORM,
    &MATMUL,
    &MATMUL_GELU,
    &MATMUL_RESIDUAL,
    &MATMUL_F16,
    &MATMUL_GELU_F16,
    &MATMUL_RESIDUAL_F16,
    &MATMUL_INT8,
    &MATMUL_GELU_INT8,
    &MATMUL_RESIDUAL_INT8,
    &ATTENTION_32,
    &ATTENTION_64,
    &ATTENTION_128,
    &ATTENTION_MEAN,
    &ATTENTION_HEADS,
    &ROLLOUT,
    &SELECT,
    &GATHER,
    &CLASSIFIER,
    &CLASSIFIER_F16,
    &CLASSIFIER_INT8,
    &PROBABILITY,
    &PROBABILITY_GLCA,
    &ATTENTION_ROW,
    &DIRECTION,
    &DIRECTION_F16,
    &DIRECTION_INT8,
    &PULL_BACK,
    &PULL_BACK_F16,
    &PULL_BACK_INT8,
    &CONTRIBUTION,
    &SOFTMAX,
    &PRODUCT,
    &PRODUCT_RELU,
    &PRODUCT_SIGMOID,
    &SUM,
    &SUM_RELU,
    &MARGINAL,
    &CUMULATIVE,
    &COORDINATES,
    &GRID_SAMPLE,
    &SHRINK,
    &GATE,
    &CONVOLUTION,
    &CONVOLUTION_F16,
    &GROUP_MOMENTS,
    &GROUP_NORM,
    &MAX_POOL,
    &NORMALISE,
    &CLASS_ACTIVATION,
    &CLASS_ACTIVATION_F16,
    &CLASS_ACTIVATION_INT8,
    &NEIGHBOURS,
    &HYPOTHESIS,
    &AGREEMENT,
    &GLOBAL_GATES,
    &GLOBAL_GATES_SIGMOID,
    &PROBE_FMA,
    &PROBE_COPY,
];

//! What each kernel has to do, from the sizes in its uniform struct: the profiler's counts.
//!
//! Operations are those of the definition: a multiplication, an addition, a comparison, `exp`, `erf`, a division or a root
//! counts one, so a multiply-add counts two. Bytes are those that cannot be avoided: every value that is read and every
//! value that is written, once each, however often a kernel goes back to it. What a kernel computes twice (scores in
//! rollout, the last tile's empty rows) is its own affair and not counted.

use std::iter::Sum;
use std::ops::Add;

use super::kernels::{
    AgreementUniforms, AttentionMeanUniforms, AttentionRowUniforms, AttentionUniforms, ClassActivationUniforms,
    ClassifierUniforms, ContributionUniforms, ConvolutionUniforms, CoordinatesUniforms, CumulativeUniforms,
    DirectionUniforms, GateUniforms, GatherUniforms, GlobalGatesUniforms, GridSampleUniforms, GroupMomentsUniforms,
    GroupNormUniforms, HypothesisUniforms, LayerNormUniforms, MarginalUniforms, MatmulUniforms, MaxPoolUniforms,
    NeighboursUniforms, NormaliseUniforms, PatchEmbedUniforms, ProbabilityUniforms, ProbeCopyUniforms,
    ProbeFmaUniforms, ProbeMatrixUniforms, ProductUniforms, PullBackUniforms, RolloutUniforms, SelectUniforms,
    ShrinkUniforms, SoftmaxUniforms, SumUniforms,
};
use crate::tensors::Precision;

/// Operations and bytes of one dispatch, or of several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Operations on real numbers.
    pub flops: u64,
    /// Bytes read and written.
    pub bytes: u64,
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { flops: self.flops + other.flops, bytes: self.bytes + other.bytes }
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), Self::add)
    }
}

/// Operations, and values of four bytes.
fn cost(flops: u64, values: u64) -> Cost {
    Cost { flops, bytes: 4 * values }
}

fn wide<const N: usize>(numbers: [u32; N]) -> [u64; N] {
    numbers.map(u64::from)
}

/// Values of four bytes that a weight `[K, N]` takes: rows padded to a multiple of four, scales beside eight bits.
fn weight(precision: Precision, inner: u64, columns: u64) -> u64 {
    let values = inner * columns.next_multiple_of(4);
    match precision {
        Precision::F32 => values,
        Precision::F16 => values / 2,
        Precision::Int8 => values / 4 + columns,
    }
}

/// Product, bias, position; the map, the weight and the embeddings are read, the tokens written.
pub(super) fn patch_embed(precision: Precision, u: &PatchEmbedUniforms) -> Cost {
    let [height, width, channels, side, dim] = wide([u.height, u.width, u.channels, u.side, u.dim]);
    let (patches, inner) = ((height / side) * (width / side), channels * side * side);
    let tokens = patches + 1;
    cost(
        patches * dim * (2 * inner + 1) + tokens * dim,
        channels * height * width + weight(precision, inner, dim) + 2 * dim + 2 * tokens * dim,
    )
}

/// Mean (1), variance (3), normalisation (2), weight and bias (2).
pub(super) fn layer_norm(u: &LayerNormUniforms) -> Cost {
    let [rows, dim] = wide([u.rows, u.dim]);
    cost(8 * rows * dim, 2 * rows * dim + 2 * dim)
}

/// Product and bias.
pub(super) fn matmul(precision: Precision, u: &MatmulUniforms) -> Cost {
    let [rows, inner, columns] = wide([u.rows, u.inner, u.columns]);
    cost(rows * columns * (2 * inner + 1), rows * inner + weight(precision, inner, columns) + columns + rows * columns)
}

/// GELU: two products, `erf`, an addition, a product.
pub(super) fn matmul_gelu(precision: Precision, u: &MatmulUniforms) -> Cost {
    let [rows, columns] = wide([u.rows, u.columns]);
    matmul(precision, u) + cost(5 * rows * columns, 0)
}

/// The residual is read and added.
pub(super) fn matmul_residual(precision: Precision, u: &MatmulUniforms) -> Cost {
    let [rows, columns] = wide([u.rows, u.columns]);
    matmul(precision, u) + cost(rows * columns, rows * columns)
}

/// As [`matmul`].
pub(super) fn matmul_matrix(precision: Precision, u: &MatmulUniforms) -> Cost {
    matmul(precision, u)
}

/// As [`matmul_gelu`].
pub(super) fn matmul_matrix_gelu(precision: Precision, u: &MatmulUniforms) -> Cost {
    matmul_gelu(precision, u)
}

/// As [`matmul_residual`].
pub(super) fn matmul_matrix_residual(precision: Precision, u: &MatmulUniforms) -> Cost {
    matmul_residual(precision, u)
}

/// Scores and their softmax (scale, difference, `exp`, sum), values, division by the sum.
pub(super) fn attention(u: &AttentionUniforms) -> Cost {
    let [queries, keys, heads, head_dim] = wide([u.queries, u.keys, u.heads, u.head_dim]);
    let (maps, dim) = (heads * queries * keys, heads * head_dim);
    cost(maps * (4 * head_dim + 4) + queries * dim, 2 * queries * dim + 2 * keys * dim + heads * queries)
}

/// Scores and weights (scale, difference, `exp`), summed over heads.
pub(super) fn attention_mean(u: &AttentionMeanUniforms) -> Cost {
    let [queries, keys, heads, head_dim] = wide([u.queries, u.keys, u.heads, u.head_dim]);
    let (maps, dim) = (heads * queries * keys, heads * head_dim);
    cost(maps * (2 * head_dim + 4), (queries + keys) * dim + heads * queries + queries * keys)
}

/// The same, each head by itself.
pub(super) fn attention_heads(u: &AttentionMeanUniforms) -> Cost {
    let [queries, keys, heads, head_dim] = wide([u.queries, u.keys, u.heads, u.head_dim]);
    let (maps, dim) = (heads * queries * keys, heads * head_dim);
    cost(maps * (2 * head_dim + 3), (queries + keys) * dim + heads * queries + maps)
}

/// One row of [`attention_heads`].
pub(super) fn attention_row(u: &AttentionRowUniforms) -> Cost {
    let [keys, heads, head_dim] = wide([u.keys, u.heads, u.head_dim]);
    cost(heads * keys * (2 * head_dim + 3), (1 + keys) * heads * head_dim + heads + heads * keys)
}

/// Scores and weights (scale, difference, `exp`) of the rows that r reaches, times r, summed; then halves and mean. What is
/// added up of parts is not counted: it is what running on many workgroups takes.
pub(super) fn rollout(u: &RolloutUniforms) -> Cost {
    let [queries, keys, heads, head_dim] = wide([u.queries, u.keys, u.heads, u.head_dim]);
    if queries == 0 {
        return cost(0, 0);
    }
    let r = if u.parts == 0 { 0 } else { keys };
    cost(
        heads * queries * keys * (2 * head_dim + 5) + 4 * keys,
        (queries + keys) * heads * head_dim + heads * queries + r + keys,
    )
}

/// Each patch is compared with each.
pub(super) fn select(u: &SelectUniforms) -> Cost {
    let [tokens, selected] = wide([u.tokens, u.selected]);
    cost((tokens - 1) * (tokens - 1), tokens - 1 + selected)
}

/// A copy.
pub(super) fn gather(u: &GatherUniforms) -> Cost {
    let [rows, dim] = wide([u.rows, u.dim]);
    cost(0, 2 * rows * dim + rows - 1)
}

/// Product and bias.
pub(super) fn classifier(precision: Precision, u: &ClassifierUniforms) -> Cost {
    let [dim, classes] = wide([u.dim, u.classes]);
    cost(classes * (2 * dim + 1), dim + weight(precision, dim, classes) + 2 * classes)
}

/// Softmax: maximum, difference, `exp`, sum, division.
pub(super) fn probability(u: &ProbabilityUniforms) -> Cost {
    let [classes] = wide([u.classes]);
    cost(5 * classes, 2 * classes)
}

/// Two of them and their mean.
pub(super) fn probability_glca(u: &ProbabilityUniforms) -> Cost {
    let [classes] = wide([u.classes]);
    probability(u) + probability(u) + cost(3 * classes, classes)
}

/// c (2), its mean (1), the token's mean and deviation (4), the result (2); of the weight, two columns are read, which come
/// in words of four bytes.
pub(super) fn direction(precision: Precision, u: &DirectionUniforms) -> Cost {
    let [dim] = wide([u.dim]);
    let scales = if precision == Precision::Int8 { 2 } else { 0 };
    cost(9 * dim, 5 * dim + scales)
}

/// A product with a vector.
pub(super) fn pull_back(precision: Precision, u: &PullBackUniforms) -> Cost {
    let [rows, columns] = wide([u.rows, u.columns]);
    cost(2 * rows * columns, weight(precision, rows, columns) + columns + rows)
}

/// A row of weights, each times what its value says along the direction.
pub(super) fn contribution(u: &ContributionUniforms) -> Cost {
    let [keys, heads, head_dim] = wide([u.keys, u.heads, u.head_dim]);
    let before = if u.first == 1 { 0 } else { keys };
    cost(heads * keys * (4 * head_dim + 5), (2 + 2 * keys) * heads * head_dim + heads + before + keys)
}

/// Scale, maximum, difference, `exp`, sum, division.
pub(super) fn softmax(u: &SoftmaxUniforms) -> Cost {
    let [rows, length] = wide([u.rows, u.length]);
    cost(6 * rows * length, 2 * rows * length)
}

/// Two activations and their product.
pub(super) fn product(u: &ProductUniforms) -> Cost {
    let [rows, inner, columns] = wide([u.rows, u.inner, u.columns]);
    cost(2 * rows * inner * columns, rows * inner + inner * columns + rows * columns)
}

/// Bias and a comparison.
pub(super) fn product_relu(u: &ProductUniforms) -> Cost {
    let [rows, columns] = wide([u.rows, u.columns]);
    product(u) + cost(2 * rows * columns, columns)
}

/// Bias, `exp`, an addition, a division.
pub(super) fn product_sigmoid(u: &ProductUniforms) -> Cost {
    let [rows, columns] = wide([u.rows, u.columns]);
    product(u) + cost(4 * rows * columns, columns)
}

/// Additions and the scale.
pub(super) fn sum(u: &SumUniforms) -> Cost {
    let [rows, length] = wide([u.rows, u.length]);
    cost(rows * (length + 1), rows * (length + 1))
}

/// A comparison more for each.
pub(super) fn sum_relu(u: &SumUniforms) -> Cost {
    sum(u) + cost(u64::from(u.rows), 0)
}

/// Each pixel of the resized map (three blends of three operations, a square, two comparisons); the map is read, two
/// marginals are written.
pub(super) fn marginal(u: &MarginalUniforms) -> Cost {
    let [map_height, map_width, height, width] = wide([u.map_height, u.map_width, u.height, u.width]);
    cost(12 * height * width, map_height * map_width + height + width)
}

/// Mean (2), each round's maximum, clipping, sum and addition (4), cumulative sum (2).
pub(super) fn cumulative(u: &CumulativeUniforms) -> Cost {
    let [height, width, rounds] = wide([u.height, u.width, u.rounds]);
    cost((4 + 4 * rounds) * (height + width), 3 * (height + width))
}

/// A search by halves and a blend for each coordinate.
pub(super) fn coordinates(u: &CoordinatesUniforms) -> Cost {
    let [height, width, rows, columns] = wide([u.height, u.width, u.rows, u.columns]);
    let steps = u64::from(u32::BITS - u.height.max(u.width).leading_zeros());
    cost((rows + columns) * (steps + 6), 2 * (height + width) + rows + columns)
}

/// Three blends of three operations; of the photo, no more than four values for each that is written.
pub(super) fn grid_sample(u: &GridSampleUniforms) -> Cost {
    let [channels, height, width, rows, columns] = wide([u.channels, u.height, u.width, u.rows, u.columns]);
    let written = channels * rows * columns;
    cost(9 * written, (4 * written).min(channels * height * width) + rows + columns + written)
}

/// Additions and a division.
pub(super) fn shrink(u: &ShrinkUniforms) -> Cost {
    let [channels, rows, columns, zoom] = wide([u.channels, u.rows, u.columns, u.zoom]);
    let written = channels * rows * columns;
    cost(written * zoom * zoom, written * (zoom * zoom + 1))
}

/// A product for each value.
pub(super) fn gate(u: &GateUniforms) -> Cost {
    let [positions, channels] = wide([u.positions, u.channels]);
    let gates = positions * u64::from(u.gate_position) + channels * u64::from(u.gate_channel);
    cost(positions * channels, gates + 2 * positions * channels)
}

/// As a matrix product over every tap of the kernel, those that see nothing at the edges, too; norm (2), sum and ReLU as asked for.
pub(super) fn convolution(precision: Precision, u: &ConvolutionUniforms) -> Cost {
    let [rows, inner, columns, pixels] = wide([u.rows, u.inner, u.columns, u.height * u.width]);
    let [channels, normed, adds, relu] = wide([u.channels, u.normed, u.adds, u.relu]);
    cost(
        rows * columns * (2 * inner + 2 * normed + adds + relu),
        pixels * channels + weight(precision, inner, columns) + 2 * normed * columns + (1 + adds) * rows * columns,
    )
}

/// Mean (1) and variance (3).
pub(super) fn group_moments(u: &GroupMomentsUniforms) -> Cost {
    let [positions, channels, groups, span] = wide([u.positions, u.channels, u.groups, u.span]);
    cost(4 * positions * channels, positions * channels + 2 * groups * positions.div_ceil(span))
}

/// Of each group the mean and the variance of the parts (2 and 4 each); of each channel a root, a division, two products.
pub(super) fn group_norm(u: &GroupNormUniforms) -> Cost {
    let [positions, channels, groups, span] = wide([u.positions, u.channels, u.groups, u.span]);
    let moments = groups * positions.div_ceil(span);
    cost(6 * moments + 4 * channels, 2 * moments + 4 * channels)
}

/// Nine values are compared.
pub(super) fn max_pool(u: &MaxPoolUniforms) -> Cost {
    let [height, width, channels, rows, columns] = wide([u.height, u.width, u.channels, u.rows, u.columns]);
    let written = rows * columns * channels;
    cost(8 * written, height * width * channels + written)
}

/// Scale and shift; a sum, a comparison.
pub(super) fn normalise(u: &NormaliseUniforms) -> Cost {
    let [height, width, channels] = wide([u.height, u.width, u.channels]);
    let (values, adds, relu) = (height * width * channels, u64::from(u.adds), u64::from(u.relu));
    cost((2 + adds + relu) * values, (2 + adds) * values + 2 * channels)
}

/// The most probable class is found; its row, which comes in words of four bytes, times each position; ReLU, sum and division.
pub(super) fn class_activation(precision: Precision, u: &ClassActivationUniforms) -> Cost {
    let [positions, dim, classes] = wide([u.positions, u.dim, u.classes]);
    let scales = u64::from(precision == Precision::Int8);
    cost(classes + positions * (2 * dim + 3), positions * dim + dim + scales + classes + positions + 1)
}

/// A multiply-add for each position, channel, head and tap; those that see nothing at the edges count, too.
pub(super) fn neighbours(u: &NeighboursUniforms) -> Cost {
    let [height, width, channels, heads] = wide([u.height, u.width, u.channels, u.heads]);
    let positions = height * width;
    cost(18 * positions * channels * heads, positions * (channels + heads) + 9 * channels * heads)
}

/// `tanh` and its softmax, opinions so weighted.
pub(super) fn hypothesis(u: &HypothesisUniforms) -> Cost {
    let [heads, classes] = wide([u.heads, u.classes]);
    cost(heads * (4 + 2 * classes), heads * (classes + 2) + classes)
}

/// Log-softmax (5), comparison (1) and mean (2) of each vote, and the softmax of that.
pub(super) fn agreement(u: &AgreementUniforms) -> Cost {
    let [votes, classes] = wide([u.votes, u.classes]);
    cost(classes * (8 * votes + 5), votes * classes + classes)
}

/// `tanh`, `exp`, sum and division of each gate; log-softmax (5) and blend (2) of each vote.
pub(super) fn global_gates(u: &GlobalGatesUniforms) -> Cost {
    let [votes, classes] = wide([u.votes, u.classes]);
    cost(votes * (4 + 7 * classes), votes * (classes + 1) + classes)
}

/// An addition and a division more for each gate.
pub(super) fn global_gates_sigmoid(u: &GlobalGatesUniforms) -> Cost {
    global_gates(u) + cost(2 * u64::from(u.votes), 0)
}

/// Four products of 16 x 16 matrices a turn, and the sum of their sums.
pub(super) fn probe_matrix(u: &ProbeMatrixUniforms) -> Cost {
    matrices(16, u)
}

/// The same of 8 x 8.
pub(super) fn probe_matrix_eight(u: &ProbeMatrixUniforms) -> Cost {
    matrices(8, u)
}

fn matrices(side: u64, u: &ProbeMatrixUniforms) -> Cost {
    let [subgroups, steps] = wide([u.subgroups, u.steps]);
    cost(subgroups * (steps * 4 * 2 * side.pow(3) + 3 * side.pow(2)), 2 * subgroups)
}

/// Four multiply-adds a step in each of eight chains; the sum.
pub(super) fn probe_fma(u: &ProbeFmaUniforms) -> Cost {
    let [threads, steps] = wide([u.threads, u.steps]);
    cost(threads * (64 * steps + 15), 2 * threads)
}

/// Four values read and written, each multiplied.
pub(super) fn probe_copy(u: &ProbeCopyUniforms) -> Cost {
    let [count] = wide([u.count]);
    cost(4 * count, 8 * count)
}

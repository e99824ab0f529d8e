//! Attend and Rectify at inference (`src/model/rectify.rs`): a module on a map, and votes mixed by global gates.

use super::matrix::{Finish, Map, Matrix};
use crate::engine::EngineError;
use crate::engine::kernels;
use crate::engine::recording::{BufferId, Recording};
use crate::tensors::Precision;

/// A 3x3 convolution of a map without bias, one position of padding: `[positions, outputs]`. The weight is
/// `[outputs, C, 3, 3]`.
fn convolution(recording: &mut Recording, name: &str, map: &Map, outputs: usize) -> Matrix {
    let weight = recording.linear(name, &[outputs, map.channels, 3, 3], 0..outputs, Precision::F32);
    let y = recording.matrix(format!("{name}.map"), map.positions(), outputs);
    let [height, width] = [map.height, map.width].map(|n| n as u32);
    let uniforms = kernels::ConvolutionUniforms {
        height,
        width,
        channels: map.channels as u32,
        outputs: outputs as u32,
        side: 3,
        stride: 1,
        dilation: 1,
        padding: 1,
        rows: height,
        columns: width,
        x_offset: map.offset as u32,
    };
    recording.dispatch(name, &kernels::CONVOLUTION, uniforms, &[map.buffer, weight, y.buffer]);
    y
}

/// What a module leaves in buffers.
struct Hypothesis {
    /// `[K, positions]`
    masks: BufferId,
    /// `[K]`
    head_gates: BufferId,
}

/// The module with the weights `attention` and `gate` `[K, C, 3, 3]` and `output` `[K classes, C, 3, 3]`; its logits become
/// row `vote` of `votes` `[votes, classes]`.
fn module(recording: &mut Recording, map: &Map, heads: usize, votes: Matrix, vote: usize) -> Hypothesis {
    let (positions, classes) = (map.positions(), votes.columns);
    let scores = convolution(recording, "attention", map, heads);
    let masks = recording.softmax("masks", scores.transposed(), 1.0);
    let outputs = convolution(recording, "output", map, heads * classes);
    let opinions = recording.matrix("opinions", heads, classes);
    for head in 0..heads {
        let own = outputs.columns(head * classes..(head + 1) * classes);
        let [mask, opinion] = [masks, opinions].map(|matrix| matrix.rows(head..head + 1));
        recording.product(format!("opinions.{head}"), mask, own, opinion, Finish::Plain);
    }
    let trust = convolution(recording, "gate", map, heads);
    let head_gates = recording.scratch("head_gates", &[heads]);
    let uniforms = kernels::HypothesisUniforms {
        positions: positions as u32,
        heads: heads as u32,
        classes: classes as u32,
        y_offset: votes.rows(vote..vote + 1).offset as u32,
    };
    let bindings = [masks.buffer, trust.buffer, opinions.buffer, head_gates, votes.buffer];
    recording.dispatch("hypothesis", &kernels::HYPOTHESIS, uniforms, &bindings);
    Hypothesis { masks: masks.buffer, head_gates }
}

/// One module by itself, on the map `features` `[h w, C]` (a weight) of size `[h, w, C]`, and its logits mixed with
/// `hypothesis2` and `classifier` `[classes]` by `global_gate_logits` `[3]` (weights, too): reads back `out.masks`
/// `[K, h w]`, `out.head_gates` `[K]`, `out.votes` `[3, classes]` (the module's logits first), `out.softmax` and `out.sigmoid`
/// `[classes]`.
///
/// # Errors
/// [`EngineError::Unsupported`] for no head, more heads than the kernel has, or no class.
pub fn rectify(heads: usize, classes: usize, [height, width, channels]: [usize; 3]) -> Result<Recording, EngineError> {
    if heads == 0 || heads > kernels::MAX_HYPOTHESIS_HEADS || classes == 0 {
        let most = kernels::MAX_HYPOTHESIS_HEADS;
        return Err(EngineError::Unsupported(format!(
            "{heads} heads, there may be 1 to {most}, and {classes} classes"
        )));
    }
    let mut recording = Recording::default();
    let buffer = recording.vector("features", &[height * width, channels]);
    let map = Map { buffer, offset: 0, height, width, channels };
    let votes = recording.matrix("votes", 3, classes);
    let hypothesis = module(&mut recording, &map, heads, votes, 0);
    recording.read_back("out.masks", hypothesis.masks);
    recording.read_back("out.head_gates", hypothesis.head_gates);
    for (vote, name) in [(1, "hypothesis2"), (2, "classifier")] {
        let logits = recording.vector(name, &[classes]);
        recording.copy(name, logits, classes, votes.buffer, vote * classes);
    }
    recording.read_back("out.votes", votes.buffer);
    let gates = recording.vector("global_gate_logits", &[3]);
    for (name, kernel) in [("softmax", &kernels::GLOBAL_GATES), ("sigmoid", &kernels::GLOBAL_GATES_SIGMOID)] {
        let result = recording.scratch(name, &[classes]);
        let uniforms = kernels::GlobalGatesUniforms { votes: 3, classes: classes as u32 };
        recording.dispatch(name, kernel, uniforms, &[votes.buffer, gates, result]);
        recording.read_back(format!("out.{name}"), result);
    }
    Ok(recording)
}

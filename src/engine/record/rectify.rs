//! Attend and Rectify at inference (`src/model/rectify.rs`): modules on maps, and votes mixed by global gates.

use super::matrix::{Finish, Map, Matrix};
use super::{Detail, Recorder};
use crate::architecture::{Architecture, Mixing, RectifyBlocks};
use crate::engine::EngineError;
use crate::engine::kernels;
use crate::engine::recording::{BufferId, Kernel, Recording};
use crate::look::masked;
use crate::tensors::Precision;

/// What a module leaves in buffers.
struct Hypothesis {
    /// `[K, positions]`
    masks: BufferId,
    /// `[K]`
    head_gates: BufferId,
}

/// The module with the weights `<prefix>attention` and `<prefix>gate` `[K, C, 3, 3]` and `<prefix>output`
/// `[K classes, C, 3, 3]`; its logits become row `vote` of `votes` `[votes, classes]`.
///
/// Only the scores are a convolution of the whole map. What follows is summed over positions, so the masks sum up what they
/// see under each tap, `[K, C 9]`, and the weights are applied to that.
fn module(recording: &mut Recording, prefix: &str, map: &Map, heads: usize, votes: Matrix, vote: usize) -> Hypothesis {
    let (positions, classes, taps) = (map.positions(), votes.columns, 9 * map.channels);
    let [height, width, channels] = [map.height, map.width, map.channels].map(|n| n as u32);
    let label = |part: &str| format!("{prefix}{part}");
    let weight = |recording: &mut Recording, layer: &str, outputs: usize| {
        recording.linear(label(layer), &[outputs, map.channels, 3, 3], 0..outputs, Precision::F32)
    };
    let attention = recording.convolution(label("attention"), [heads, map.channels, 3, 3], Precision::F32);
    let scores = recording.matrix(label("scores"), positions, heads);
    // Without a norm: what is bound for it is not read.
    let bindings = [map.buffer, attention, map.buffer, map.buffer, scores.buffer];
    recording.dispatch(label("attention"), &kernels::CONVOLUTION, map.convolved(heads, 3, 1), &bindings);
    let masks = recording.softmax(&label("masks"), scores.transposed(), 1.0);
    let seen = recording.matrix(label("seen"), heads, taps);
    let uniforms =
        kernels::NeighboursUniforms { height, width, channels, heads: heads as u32, x_offset: map.offset as u32 };
    recording.dispatch(label("seen"), &kernels::NEIGHBOURS, uniforms, &[masks.buffer, map.buffer, seen.buffer]);
    // All heads by all heads' weights: fewer, larger steps. A head's own lie on the diagonal.
    let [trust, opinions] = [("gate", heads), ("output", heads * classes)].map(|(layer, outputs)| {
        let values = weight(recording, layer, outputs);
        let weight = Matrix { row: outputs.next_multiple_of(4), ..Matrix::new(values, taps, outputs) };
        let y = recording.matrix(label(&format!("{layer}.heads")), heads, outputs);
        recording.product(label(layer), seen, weight, y, Finish::Plain);
        y
    });
    let head_gates = recording.scratch(label("head_gates"), &[heads]);
    let uniforms = kernels::HypothesisUniforms {
        heads: heads as u32,
        classes: classes as u32,
        trust_head: (heads + 1) as u32,
        opinion_head: ((heads + 1) * classes) as u32,
        y_offset: votes.rows(vote..vote + 1).offset as u32,
    };
    let bindings = [trust.buffer, opinions.buffer, head_gates, votes.buffer];
    recording.dispatch(label("hypothesis"), &kernels::HYPOTHESIS, uniforms, &bindings);
    Hypothesis { masks: masks.buffer, head_gates }
}

/// Mixes the rows of `votes` by `gates` `[votes]` into a new buffer of that label, `[classes]`.
fn mix(recording: &mut Recording, label: &str, votes: Matrix, gates: BufferId, mixing: Mixing) -> BufferId {
    let kernel: &'static Kernel = match mixing {
        Mixing::Softmax => &kernels::GLOBAL_GATES,
        Mixing::Sigmoid => &kernels::GLOBAL_GATES_SIGMOID,
    };
    let result = recording.scratch(label, &[votes.columns]);
    let uniforms = kernels::GlobalGatesUniforms { votes: votes.rows as u32, classes: votes.columns as u32 };
    recording.dispatch(label, kernel, uniforms, &[votes.buffer, gates, result]);
    result
}

/// The masks that classifying left behind: `out.masks.<module>` `[K, N]`, N the positions of the map that the module sees.
///
/// # Errors
/// [`EngineError::Look`] for a network without them.
pub fn masks_seen(architecture: &Architecture) -> Result<Recording, EngineError> {
    let rectify = masked(architecture)?;
    let mut recording = Recording::default();
    for (place, &after) in rectify.after.iter().enumerate() {
        let positions = architecture.map_behind(after).positions();
        let masks = recording.kept(format!("rectify.{place}.masks"), &[rectify.heads, positions]);
        recording.read_back(format!("out.masks.{place}"), masks);
    }
    Ok(recording)
}

impl Recorder<'_> {
    /// The module behind block `index`, if there is one, on a map: the patch tokens of `[N + 1, D]`, through a norm, or a
    /// residual network's as it is.
    pub(super) fn rectify(&mut self, index: usize, map: &Map) {
        let Architecture { dim, classes, .. } = *self.architecture;
        let Some((rectify, place)) =
            self.architecture.rectify().and_then(|rectify| Some((rectify, rectify.behind(index)?)))
        else {
            return;
        };
        let votes = *self.votes.get_or_insert_with(|| self.recording.matrix("votes", rectify.votes(), classes));
        let mut map = *map;
        if self.architecture.resnet.is_none() {
            let (count, tokens) = (self.architecture.tokens(), map.buffer);
            map.buffer = self.recording.scratch(format!("rectify.{place}.normed"), &[count, dim]);
            self.layer_norm(&format!("rectify.{place}.norm"), count, tokens, map.buffer);
        }
        let found = module(&mut self.recording, &format!("rectify.{place}."), &map, rectify.heads, votes, place);
        self.trace(format!("out.masks.{place}"), found.masks);
        // A trace wants everything that is computed.
        let exits = rectify.exits(self.architecture.depth);
        if let (Detail::Answer, Some(exit)) = (self.detail, exits.iter().position(|&blocks| blocks == index + 1)) {
            self.agreement(votes.rows(0..place + 1), index + 1, [exit, exits.len()]);
        }
    }

    /// Behind `blocks` blocks, at that exit of so many: an answer of the modules that have voted until then, if the caller wants one and they are sure enough
    /// (`sure`, [`crate::early::Sure`] as `[2]`). Nothing behind it runs then.
    fn agreement(&mut self, votes: Matrix, blocks: usize, [exit, exits]: [usize; 2]) {
        let Architecture { depth, classes, .. } = *self.architecture;
        let recording = &mut self.recording;
        let [sure, early, computed] = *self.early.get_or_insert_with(|| {
            let shapes = [("sure", &[2][..]), ("early", &[exits, classes]), ("blocks", &[exits])];
            shapes.map(|(label, shape)| recording.scratch(label, shape))
        });
        let uniforms = |first| kernels::AgreementUniforms {
            votes: votes.rows as u32,
            classes: classes as u32,
            blocks: blocks as u32,
            depth: depth as u32,
            first,
            exit: exit as u32,
        };
        let bindings = [votes.buffer, sure, early, computed];
        recording.dispatch_that_ends(format!("agreement.{blocks}"), &kernels::AGREEMENT, uniforms, &bindings);
    }

    /// The modules' votes and the classifier's `logits` `[classes]`, mixed by the gates of its `feature` `[D]`: the answer.
    pub(super) fn rectified(&mut self, votes: Matrix, feature: BufferId, logits: BufferId) {
        let Some(rectify) = self.architecture.rectify() else { return };
        let Architecture { dim, classes, .. } = *self.architecture;
        let count = votes.rows;
        let recording = &mut self.recording;
        recording.copy("votes.classifier", logits, classes, votes.buffer, (count - 1) * classes);
        let weight = recording.linear("rectify.mix.weight", &[count, dim], 0..count, Precision::F32);
        let bias = recording.vector("rectify.mix.bias", &[count]);
        let gates = recording.scratch("rectify.gates", &[count]);
        let uniforms = kernels::ClassifierUniforms { dim: dim as u32, classes: count as u32 };
        recording.dispatch("rectify.gates", &kernels::CLASSIFIER, uniforms, &[feature, weight, bias, gates]);
        let mixed = mix(recording, "rectify.mix", votes, gates, rectify.mixing);
        let probability = recording.scratch("probability", &[classes]);
        let uniforms = kernels::ProbabilityUniforms { classes: classes as u32 };
        recording.dispatch("rectify.probability", &kernels::PROBABILITY, uniforms, &[mixed, probability]);
        recording.read_back("out.logits.mixed", mixed);
        recording.read_back("out.probability", probability);
        self.trace("out.votes", votes.buffer);
        if let Some([_, early, computed]) = self.early {
            self.recording.read_back("out.early", early);
            self.recording.read_back_integers("out.blocks", computed);
        }
    }
}

/// One module by itself, on the map `features` `[h w, C]` (a weight) of size `[h, w, C]`, and its logits mixed with
/// `hypothesis2` and `classifier` `[classes]` by `global_gate_logits` `[3]` (weights, too): reads back `out.masks`
/// `[K, h w]`, `out.head_gates` `[K]`, `out.votes` `[3, classes]` (the module's logits first), `out.softmax` and `out.sigmoid`
/// `[classes]`.
///
/// # Errors
/// [`EngineError::Unsupported`] for no head, more heads than the kernel has, or no class.
pub fn rectify(heads: usize, classes: usize, [height, width, channels]: [usize; 3]) -> Result<Recording, EngineError> {
    let most = RectifyBlocks::MOST_HEADS;
    if heads == 0 || heads > most || classes == 0 {
        return Err(EngineError::Unsupported(format!(
            "{heads} heads, there may be 1 to {most}, and {classes} classes"
        )));
    }
    let mut recording = Recording::default();
    let buffer = recording.vector("features", &[height * width, channels]);
    let map = Map { buffer, offset: 0, height, width, channels };
    let votes = recording.matrix("votes", 3, classes);
    let hypothesis = module(&mut recording, "", &map, heads, votes, 0);
    recording.read_back("out.masks", hypothesis.masks);
    recording.read_back("out.head_gates", hypothesis.head_gates);
    for (vote, name) in [(1, "hypothesis2"), (2, "classifier")] {
        let logits = recording.vector(name, &[classes]);
        recording.copy(name, logits, classes, votes.buffer, vote * classes);
    }
    recording.read_back("out.votes", votes.buffer);
    let gates = recording.vector("global_gate_logits", &[3]);
    for (name, mixing) in [("softmax", Mixing::Softmax), ("sigmoid", Mixing::Sigmoid)] {
        let result = mix(&mut recording, name, votes, gates, mixing);
        recording.read_back(format!("out.{name}"), result);
    }
    Ok(recording)
}

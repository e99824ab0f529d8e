//! RGA at inference, batch norm folded into the weights (`src/model/rga.rs`).

use super::matrix::{Finish, Map, Matrix};
use super::{Detail, Recorder};
use crate::architecture::{Architecture, RelationWidths, Rga};
use crate::engine::EngineError;
use crate::engine::kernels;
use crate::engine::recording::{BufferId, Recording};
use crate::look::gate_places;

/// The gates `[nodes, 1]` of nodes `x` `[nodes, features]`. Weights are `<name>.<layer>.weight` `[out, in]` and `.bias`.
fn gates(recording: &mut Recording, name: &str, x: Matrix, widths: &RelationWidths) -> BufferId {
    let RelationWidths { nodes, features, embedded, relation, hidden } = *widths;
    let layer = |recording: &mut Recording, layer: &str, x: Matrix, y: Matrix| {
        let label = format!("{name}.{layer}");
        let weight = recording.weight(format!("{label}.weight"), y.columns, x.columns);
        let bias = recording.vector(format!("{label}.bias"), &[y.columns]);
        let finish = if layer == "w2" { Finish::Sigmoid(bias) } else { Finish::Relu(bias) };
        recording.product(label, x, weight, y, finish);
    };
    debug_assert_eq!((x.rows, x.columns), (nodes, features));
    let [theta, phi, unary] = ["theta", "phi", "unary"].map(|part| {
        let y = recording.matrix(format!("{name}.{part}"), nodes, embedded);
        layer(recording, part, x, y);
        y
    });
    // Row i holds r_i1 ... r_iN, then r_1i ... r_Ni.
    let related = recording.matrix(format!("{name}.related"), nodes, 2 * nodes);
    let half = |start| related.columns(start..start + nodes);
    recording.product(format!("{name}.related"), theta, phi.transposed(), half(0), Finish::Plain);
    recording.product(format!("{name}.related"), phi, theta.transposed(), half(nodes), Finish::Plain);
    let y = recording.matrix(format!("{name}.y"), nodes, 1 + relation);
    recording.sum(format!("{name}.mean"), unary, 1.0 / embedded as f32, y);
    layer(recording, "relation", related, y.columns(1..1 + relation));
    let z = recording.matrix(format!("{name}.hidden"), nodes, hidden);
    layer(recording, "w1", y, z);
    let gates = recording.matrix(format!("{name}.gate"), nodes, 1);
    layer(recording, "w2", z, gates);
    gates.buffer
}

/// Multiplies the map by the gates of its positions or, with `channels`, of its channels.
fn apply(recording: &mut Recording, name: &str, map: &Map, gates: BufferId, channels: bool) {
    let uniforms = kernels::GateUniforms {
        positions: map.positions() as u32,
        channels: map.channels as u32,
        y_offset: map.offset as u32,
        gate_position: u32::from(!channels),
        gate_channel: u32::from(channels),
    };
    recording.dispatch(format!("{name}.apply"), &kernels::GATE, uniforms, &[gates, map.buffer]);
}

/// The gates that `settings` have, on `map`, with the weights `<prefix>spatial.*` and `<prefix>channel.*`. `after` is called
/// behind each: its name and its gates `[h w, 1]` or `[C, 1]`.
fn gated(
    recording: &mut Recording,
    prefix: &str,
    settings: &Rga,
    map: &Map,
    after: &mut dyn FnMut(&mut Recording, &str, BufferId),
) {
    for (part, widths) in settings.parts(map.positions(), map.channels) {
        let channels = part == "channel";
        let nodes = if channels { map.matrix().transposed() } else { map.matrix() };
        let name = format!("{prefix}{part}");
        let gates = gates(recording, &name, nodes, &widths);
        apply(recording, &name, map, gates, channels);
        after(recording, part, gates);
    }
}

/// The spatial gates that classifying left behind: `out.gates.<place>` `[N, 1]`, N the positions of the map there.
///
/// # Errors
/// [`EngineError::Look`] for a network without them.
pub fn gates_seen(architecture: &Architecture) -> Result<Recording, EngineError> {
    let mut recording = Recording::default();
    gate_places(architecture)?;
    for (place, &after) in architecture.rga().into_iter().flat_map(|rga| &rga.after).enumerate() {
        let positions = architecture.map_behind(after).positions();
        let gates = recording.kept(format!("rga.{place}.spatial.gate"), &[positions, 1]);
        recording.read_back(format!("out.gates.{place}"), gates);
    }
    Ok(recording)
}

impl Recorder<'_> {
    /// The gates behind block `index`, if there are any, on a map: the patch tokens (the class token passes by) or a residual
    /// network's.
    pub(super) fn rga(&mut self, index: usize, map: &Map) {
        let Some((rga, place)) = self.architecture.rga().and_then(|rga| Some((rga, rga.behind(index)?))) else {
            return;
        };
        let traced = self.detail == Detail::Trace;
        gated(&mut self.recording, &format!("rga.{place}."), &rga.gates(), map, &mut |recording, part, gates| {
            if traced && part == "spatial" {
                recording.read_back(format!("out.gates.{place}"), gates);
            }
        });
    }
}

/// RGA by itself, on the map `features` `[h w, C]` (a weight) of size `[h, w, C]`, with the weights `spatial.*` and
/// `channel.*`: reads back `out.spatial_gate` `[h w, 1]`, `out.spatial` `[h w, C]`, `out.channel_gate` `[C, 1]` and
/// `out.spatial_channel` `[h w, C]`, as far as `settings` have them.
///
/// # Errors
/// [`EngineError::Unsupported`] for a ratio of 0.
pub fn rga(settings: &Rga, [height, width, channels]: [usize; 3]) -> Result<Recording, EngineError> {
    if settings.ratio == 0 {
        return Err(EngineError::Unsupported("RGA with a ratio of 0".into()));
    }
    let mut recording = Recording::default();
    let positions = height * width;
    let features = recording.vector("features", &[positions, channels]);
    let buffer = recording.scratch("map", &[positions, channels]);
    recording.copy("map", features, positions * channels, buffer, 0);
    let map = Map { buffer, offset: 0, height, width, channels };
    gated(&mut recording, "", settings, &map, &mut |recording, part, gates| {
        recording.read_back(format!("out.{part}_gate"), gates);
        recording.read_back(if part == "channel" { "out.spatial_channel" } else { "out.spatial" }, map.buffer);
    });
    Ok(recording)
}

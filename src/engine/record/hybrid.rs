//! What a hybrid has before its patches: convolutions of standardised weights (`fold::apart`), each with a group norm behind it, from
//! map to map (`src/architecture/hybrid.rs` says which).

use super::Recorder;
use super::matrix::Map;
use crate::architecture::{Convolution, Hybrid};
use crate::engine::kernels::{self, ConvolutionUniforms};
use crate::engine::recording::BufferId;
use crate::fold::GROUP_NORM_EPSILON;
use crate::tensors::Precision;

/// The buffers that all convolutions write, one after the other.
pub(super) struct Buffers {
    /// Behind the pooling and behind each stage, in turns; a block adds to what it sees in place.
    maps: [BufferId; 2],
    /// What a convolution gives.
    raw: BufferId,
    /// The same behind norm and ReLU, inside a block.
    normed: BufferId,
    /// What parts of the positions say of each group, `[parts, G, 2]`.
    moments: BufferId,
    /// What a norm multiplies with and adds, `[C]`.
    norm: [BufferId; 2],
}

/// Positions that a workgroup of `group_moments` sees: a group of the first convolution's result has two channels.
const SPAN: usize = 256;

/// What follows a norm.
#[derive(Clone, Copy)]
struct Ending {
    adds: bool,
    relu: bool,
}

impl Recorder<'_> {
    /// Room for the convolutions of a hybrid, if it is one.
    pub(super) fn hybrid_buffers(&mut self) -> Option<Buffers> {
        let architecture = self.architecture;
        let hybrid = architecture.hybrid.as_ref()?;
        let stages = hybrid.blocks.len();
        let map = |stages: usize| {
            let map = hybrid.map_behind(architecture.image_size, stages);
            map.positions() * map.channels
        };
        let largest = |values: &mut dyn Iterator<Item = usize>| values.max().unwrap_or(1);
        let maps = [0, 1].map(|turn| largest(&mut (turn..=stages).step_by(2).map(map)));
        // The first convolution's result is pooled to a quarter; a stage's first 1x1 convolution still sees the map before the stride.
        let first = 4 * map(0);
        let inside = |stage: usize| {
            let before = hybrid.map_behind(architecture.image_size, stage).positions();
            before * (hybrid.width << stage)
        };
        let normed = largest(&mut (0..stages).map(inside)).max(first);
        let raw = largest(&mut (1..=stages).map(map)).max(normed);
        let channels = hybrid.channels(stages);
        // The first convolution's result has the most positions.
        let parts = (4 * hybrid.map_behind(architecture.image_size, 0).positions()).div_ceil(SPAN);
        let recording = &mut self.recording;
        let mut scratch = |label: &str, count: usize| recording.scratch(format!("hybrid.{label}"), &[count]);
        Some(Buffers {
            maps: [scratch("map.0", maps[0]), scratch("map.1", maps[1])],
            raw: scratch("raw", raw),
            normed: scratch("normed", normed),
            moments: scratch("moments", 2 * parts * hybrid.groups),
            norm: [scratch("scale", channels), scratch("shift", channels)],
        })
    }

    /// The last map of the photo `[3, H, W]`.
    pub(super) fn hybrid(&mut self, photo: Map, buffers: &Buffers) -> Map {
        let architecture = self.architecture;
        let Some(hybrid) = &architecture.hybrid else { return photo };
        let [inside, between] = [Ending { adds: false, relu: true }, Ending { adds: false, relu: false }];
        let planar = |uniforms: ConvolutionUniforms| ConvolutionUniforms {
            x_position: 1,
            x_channel: (photo.height * photo.width) as u32,
            ..uniforms
        };
        let seen = self.convolve_and_norm(hybrid, &hybrid.first(), photo, &planar, (buffers, buffers.normed), inside);
        let size = hybrid.map_behind(architecture.image_size, 0);
        let mut x =
            Map { buffer: buffers.maps[0], offset: 0, height: size.height, width: size.width, channels: size.channels };
        let [height, width, channels, rows, columns] =
            [seen.height, seen.width, seen.channels, x.height, x.width].map(|n| n as u32);
        let uniforms = kernels::MaxPoolUniforms { height, width, channels, rows, columns, padding: 0 };
        self.recording.dispatch("max_pool", &kernels::MAX_POOL, uniforms, &[seen.buffer, x.buffer]);
        for stage in 0..hybrid.blocks.len() {
            for block in hybrid.stage(stage) {
                let mut step = |layer: &Convolution, x: Map, y: BufferId, ending: Ending| {
                    self.convolve_and_norm(hybrid, layer, x, &|uniforms| uniforms, (buffers, y), ending)
                };
                // The shortcut is in place before the last norm adds to it.
                let past = match &block.shortcut {
                    Some(layer) => step(layer, x, buffers.maps[(stage + 1) % 2], between),
                    None => x,
                };
                let Some((last, layers)) = block.convolutions.split_last() else { continue };
                let seen = layers.iter().fold(x, |x, layer| step(layer, x, buffers.normed, inside));
                x = step(last, seen, past.buffer, Ending { adds: true, relu: true });
            }
        }
        x
    }

    /// A convolution, its group norm and what follows, from `x` into `y`.
    fn convolve_and_norm(
        &mut self,
        hybrid: &Hybrid,
        layer: &Convolution,
        x: Map,
        laid_out: &dyn Fn(ConvolutionUniforms) -> ConvolutionUniforms,
        (buffers, y): (&Buffers, BufferId),
        ending: Ending,
    ) -> Map {
        let Convolution { name, norm, inputs, outputs, side, stride, padding } = layer;
        // Every convolution of a hybrid has one.
        let norm = norm.as_deref().unwrap_or_default();
        let recording = &mut self.recording;
        // Values that a bundle stores in f16 would be rounded twice, because they were standardised.
        let weight = recording.convolution(format!("{name}.weight"), [*outputs, *inputs, *side, *side], Precision::F32);
        let uniforms = ConvolutionUniforms { padding: *padding as u32, ..x.convolved(*outputs, *side, *stride) };
        let uniforms = laid_out(uniforms);
        // Without a batch norm, what is bound for it is not read.
        let bindings = [x.buffer, weight, x.buffer, x.buffer, buffers.raw];
        recording.dispatch(name, &kernels::CONVOLUTION, uniforms, &bindings);
        let across = uniforms.across as usize;
        let map =
            Map { buffer: y, offset: 0, height: uniforms.rows as usize / across, width: across, channels: *outputs };
        let [scale, shift] = buffers.norm;
        let [gain, bias] = ["weight", "bias"].map(|part| recording.vector(format!("{norm}.{part}"), &[*outputs]));
        let [positions, channels, groups, span] = [map.positions(), *outputs, hybrid.groups, SPAN].map(|n| n as u32);
        let uniforms = kernels::GroupMomentsUniforms { positions, channels, groups, span };
        recording.dispatch(norm, &kernels::GROUP_MOMENTS, uniforms, &[buffers.raw, buffers.moments]);
        let eps = GROUP_NORM_EPSILON as f32;
        let uniforms = kernels::GroupNormUniforms { positions, channels, groups, span, eps };
        recording.dispatch(norm, &kernels::GROUP_NORM, uniforms, &[buffers.moments, gain, bias, scale, shift]);
        let uniforms = kernels::NormaliseUniforms {
            height: map.height as u32,
            width: map.width as u32,
            channels,
            adds: u32::from(ending.adds),
            relu: u32::from(ending.relu),
        };
        recording.dispatch(norm, &kernels::NORMALISE, uniforms, &[buffers.raw, scale, shift, y]);
        map
    }
}

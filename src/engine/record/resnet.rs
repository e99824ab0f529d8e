//! A residual network: convolutions over maps, the mean over the last one, and its class activation in place of rollout
//! (`src/architecture/resnet.rs` says which convolutions, `fold::apart` what became of the batch norms).

use super::Recorder;
use super::matrix::{Map, Matrix};
use crate::architecture::{Convolution, MapSize, ResNet, Stem};
use crate::engine::EngineError;
use crate::engine::kernels::{self, ConvolutionUniforms};
use crate::engine::recording::{BufferId, Recording};

/// The buffers of a pass. With TASN there are two, and the second one's results stay.
struct Maps {
    /// Behind 0, 1, ... stages. A stage whose first block has no shortcut goes on in the buffer before.
    behind: Vec<Map>,
    /// What lies between the convolutions of a block, used again by the next one.
    hidden: [BufferId; 2],
    /// Behind the last norm, where there is one.
    normed: Option<Map>,
}

impl Map {
    fn new(buffer: BufferId, MapSize { height, width, channels }: MapSize) -> Self {
        Self { buffer, offset: 0, height, width, channels }
    }
}

/// The label of the map behind `stages` stages.
fn label(resnet: &ResNet, stages: usize) -> String {
    let moved = |stage: &usize| resnet.stage(*stage).first().is_some_and(|block| block.shortcut.is_some());
    match (0..stages).rev().find(moved) {
        Some(stage) => format!("stage.{stage}"),
        None => "stem".into(),
    }
}

impl Recording {
    /// What a batch norm multiplies with and adds, `[C]`.
    fn norm(&mut self, name: &str, channels: usize) -> [BufferId; 2] {
        ["scale", "shift"].map(|part| self.vector(format!("{name}.{part}"), &[channels]))
    }
}

impl Recorder<'_> {
    /// From the photo to the answer; with `activation`, also where the network saw it.
    pub(super) fn resnet(&mut self, resnet: &ResNet, activation: bool) -> Result<(), EngineError> {
        let (architecture, [height, width]) = (self.architecture, self.architecture.input_size());
        let image = self.recording.input("image", &[3, height, width]);
        let maps = self.maps(resnet);
        let image = match architecture.tasn() {
            Some(settings) => self.resampled(settings, image, &mut |recorder, small| {
                let map = recorder.stages(resnet, small, &maps, settings.after);
                if resnet.last_norm().is_none() {
                    return Ok(map);
                }
                // Every other map comes from a ReLU.
                let recording = &mut recorder.recording;
                let buffer = recording.scratch("tasn.map", &[map.positions(), map.channels]);
                recording.relu("tasn.map", map.buffer, 0, map.positions() * map.channels, buffer);
                Ok(Map { buffer, ..map })
            })?,
            None => image,
        };
        let mut map = self.stages(resnet, image, &maps, architecture.depth);
        if let (Some(norm), Some(normed)) = (resnet.last_norm(), maps.normed) {
            self.normalise(norm, &map, normed.buffer);
            map = normed;
        }
        let feature = Matrix::new(self.recording.scratch("feature.sa", &[architecture.dim]), 1, architecture.dim);
        let mean = 1.0 / map.positions() as f32;
        self.recording.sum("feature.sa", map.matrix().transposed(), mean, feature.transposed());
        let logits = self.head("sa", "head", feature.buffer);
        self.answer(logits, None);
        if let Some(votes) = self.votes {
            self.rectified(votes, feature.buffer, logits);
        }
        if activation {
            let y = self.class_activation(&map, logits);
            self.recording.read_back("out.rollout", y);
        }
        Ok(())
    }

    fn maps(&mut self, resnet: &ResNet) -> Maps {
        let architecture = self.architecture;
        let mut behind: Vec<Map> = Vec::new();
        let mut before = String::new();
        for stages in 0..=architecture.depth {
            let (label, size) = (label(resnet, stages), architecture.map_behind(stages));
            behind.push(match behind.last() {
                Some(map) if before == label => *map,
                _ => Map::new(self.recording.scratch(&label, &[size.positions(), size.channels]), size),
            });
            before = label;
        }
        // The first convolution's result before it is pooled; then a block's first one may still see the map before the stride.
        let mut hidden = [0, 0];
        if resnet.stem == Stem::Large {
            hidden[0] = 4 * architecture.map_behind(0).positions() * resnet.channels(0);
        }
        for stage in 0..architecture.depth {
            let mut positions = architecture.map_behind(stage).positions();
            let after = architecture.map_behind(stage + 1).positions();
            for block in resnet.stage(stage) {
                if block.before.is_some() {
                    let seen = block.convolutions.first().map_or(0, |layer| layer.inputs);
                    hidden[1] = hidden[1].max(positions * seen);
                }
                for (layer, hidden) in block.convolutions.iter().zip(&mut hidden) {
                    positions = if layer.stride == 1 { positions } else { after };
                    *hidden = (*hidden).max(positions * layer.outputs);
                }
                positions = after;
            }
        }
        let hidden = [0, 1].map(|n| self.recording.scratch(format!("hidden.{n}"), &[hidden[n].max(1)]));
        let normed = resnet.last_norm().map(|norm| {
            let size = architecture.map_behind(architecture.depth);
            Map::new(self.recording.scratch(norm, &[size.positions(), size.channels]), size)
        });
        Maps { behind, hidden, normed }
    }

    /// An image `[3, H, W]` through the first `count` stages, with what the mechanism has behind them.
    fn stages(&mut self, resnet: &ResNet, image: BufferId, maps: &Maps, count: usize) -> Map {
        let [height, width] = self.architecture.image_size;
        let (first, stem) = (resnet.first(), maps.behind[0]);
        let photo = Map { buffer: image, offset: 0, height, width, channels: 3 };
        let uniforms = ConvolutionUniforms {
            x_position: 1,
            x_channel: (height * width) as u32,
            relu: u32::from(first.norm.is_some()),
            ..photo.convolved(first.outputs, first.side, first.stride)
        };
        if resnet.stem == Stem::Large {
            let seen = self.convolve(&first, image, uniforms, maps.hidden[0]);
            let [height, width, channels] = [seen.height, seen.width, seen.channels].map(|n| n as u32);
            let uniforms = kernels::MaxPoolUniforms {
                height,
                width,
                channels,
                rows: stem.height as u32,
                columns: stem.width as u32,
                padding: 1,
            };
            self.recording.dispatch("max_pool", &kernels::MAX_POOL, uniforms, &[seen.buffer, stem.buffer]);
        } else {
            self.convolve(&first, image, uniforms, stem.buffer);
        }
        let mut map = stem;
        for (stage, behind) in maps.behind.iter().skip(1).enumerate().take(count) {
            self.stage(resnet, stage, map, behind.buffer, maps.hidden);
            map = *behind;
            self.rga(stage, &map);
            self.rectify(stage, &map);
            self.trace(format!("out.stage.{stage}"), map.buffer);
        }
        map
    }

    /// The blocks of a stage, from `x` into `behind`, which may be the same buffer.
    fn stage(&mut self, resnet: &ResNet, stage: usize, mut x: Map, behind: BufferId, hidden: [BufferId; 2]) {
        for block in resnet.stage(stage) {
            let mut seen = x;
            if let Some(norm) = &block.before {
                seen.buffer = hidden[1];
                self.normalise(norm, &x, seen.buffer);
            }
            // The shortcut is in place before the last convolution adds to it.
            if let Some(layer) = &block.shortcut {
                let uniforms = seen.convolved(layer.outputs, layer.side, layer.stride);
                x = self.convolve(layer, seen.buffer, uniforms, behind);
            }
            let last = block.convolutions.len() - 1;
            for (index, layer) in block.convolutions.iter().enumerate() {
                let uniforms = ConvolutionUniforms {
                    adds: u32::from(index == last),
                    relu: u32::from(index < last || block.before.is_none()),
                    ..seen.convolved(layer.outputs, layer.side, layer.stride)
                };
                let y = if index == last { x.buffer } else { hidden[index] };
                seen = self.convolve(layer, seen.buffer, uniforms, y);
            }
        }
    }

    /// A convolution from one buffer into another; gives its result.
    fn convolve(&mut self, layer: &Convolution, x: BufferId, uniforms: ConvolutionUniforms, y: BufferId) -> Map {
        let Convolution { name, norm, inputs, outputs, side, .. } = layer;
        let recording = &mut self.recording;
        let weight = recording.convolution(format!("{name}.weight"), [*outputs, *inputs, *side, *side], self.precision);
        let uniforms = ConvolutionUniforms { normed: u32::from(norm.is_some()), ..uniforms };
        // Without a norm, what is bound for it is not read.
        let [scale, shift] = match norm {
            Some(norm) => recording.norm(norm, *outputs),
            None => [x; 2],
        };
        recording.dispatch(name, self.kernels.convolution, uniforms, &[x, weight, scale, shift, y]);
        let [rows, across] = [uniforms.rows, uniforms.across].map(|n| n as usize);
        Map { buffer: y, offset: 0, height: rows / across, width: across, channels: *outputs }
    }

    /// A batch norm with no convolution before it, and a ReLU.
    fn normalise(&mut self, name: &str, x: &Map, y: BufferId) {
        let [height, width, channels] = [x.height, x.width, x.channels].map(|n| n as u32);
        let [scale, shift] = self.recording.norm(name, x.channels);
        let uniforms = kernels::NormaliseUniforms { height, width, channels, adds: 0, relu: 1 };
        self.recording.dispatch(name, &kernels::NORMALISE, uniforms, &[x.buffer, scale, shift, y]);
    }

    /// Where on `map` the most probable class was seen, `[N + 1]`.
    fn class_activation(&mut self, map: &Map, logits: BufferId) -> BufferId {
        let (dim, classes) = (self.architecture.dim, self.architecture.classes);
        let weight = self.weight("head.weight", &[classes, dim], 0..classes);
        let y = self.recording.scratch("class_activation", &[map.positions() + 1]);
        let [positions, d, c] = [map.positions(), dim, classes].map(|n| n as u32);
        let uniforms = kernels::ClassActivationUniforms { positions, dim: d, classes: c };
        let bindings: Vec<BufferId> = [map.buffer, weight.values, logits, y].into_iter().chain(weight.scales).collect();
        self.recording.dispatch("class_activation", self.kernels.class_activation, uniforms, &bindings);
        y
    }
}

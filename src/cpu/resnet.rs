//! One photo's way through a residual network (He et al., CVPR 2016): maps `[H W, C]`, position by position, channels last.
//!
//! Each thread computes some positions of every map in a buffer for all of them. A convolution that sees more than its own position
//! makes the threads trade the map before it; everything else needs nothing of the others.

use super::CpuError;
use super::class_activation::{class_activation, named};
use super::forward::Observe;
use super::kernels::convolution::{Convolution, POOL, max_pool, mean, relu, scaled_relu};
use super::kernels::matmul::Store;
use super::maps::{convolution, convolve, grown, trade, values};
use super::rectify::Rectify;
use super::rga::Gates;
use super::tasn;
use super::together::Together;
use super::weights::{Linear, Reader};
use crate::architecture::{self, Architecture, ResNet, ResidualBlock, Stem};
use crate::tensors::{TensorError, TensorMap};

/// Scale and shift of a norm that no convolution could take in, `[C]` each.
type Scale = [Vec<f32>; 2];

/// Everything of a residual network.
pub(super) struct Weights {
    first: Convolution,
    /// Whether a ReLU follows the first convolution.
    relu: bool,
    /// Whether the maximum of 3x3 positions follows that.
    pool: bool,
    stages: Vec<Vec<Block>>,
    norm: Option<Scale>,
    pub head: Linear,
    rga: Vec<Gates>,
    rectify: Option<Rectify>,
}

struct Block {
    before: Option<Scale>,
    first: Convolution,
    between: Vec<Convolution>,
    last: Convolution,
    shortcut: Option<Convolution>,
}

impl Weights {
    /// Takes the weights out of `map`, whose norms are folded.
    ///
    /// # Errors
    /// [`TensorError`] names the weight that is missing, of another shape or no number.
    pub(super) fn read(architecture: &Architecture, resnet: &ResNet, map: &TensorMap) -> Result<Self, TensorError> {
        let reader = Reader::new(architecture, map);
        let stage = |stage| resnet.stage(stage).iter().map(|own| block(map, own)).collect::<Result<_, TensorError>>();
        let (first, norm) = (resnet.first(), resnet.last_norm());
        Ok(Self {
            first: folded(map, &first)?,
            relu: first.norm.is_some(),
            pool: resnet.stem == Stem::Large,
            stages: (0..resnet.blocks.len()).map(stage).collect::<Result<_, _>>()?,
            norm: norm.map(|norm| scale(map, norm, architecture.dim)).transpose()?,
            head: reader.linear("head", architecture.dim, architecture.classes)?,
            rga: reader.rga()?,
            rectify: reader.rectify()?,
        })
    }
}

/// A convolution whose norm is folded into it.
fn folded(map: &TensorMap, own: &architecture::Convolution) -> Result<Convolution, TensorError> {
    convolution(map, own, map.weight(&format!("{}.bias", own.name), &[own.outputs])?.to_vec())
}

fn scale(map: &TensorMap, norm: &str, channels: usize) -> Result<Scale, TensorError> {
    let part = |part: &str| Ok::<_, TensorError>(map.weight(&format!("{norm}.{part}"), &[channels])?.to_vec());
    Ok([part("scale")?, part("shift")?])
}

fn block(map: &TensorMap, own: &ResidualBlock) -> Result<Block, TensorError> {
    let [first, between @ .., last] = own.convolutions.as_slice() else {
        return Err(TensorError::Missing("a block's second convolution".into()));
    };
    Ok(Block {
        before: own.before.as_ref().map(|norm| scale(map, norm, first.inputs)).transpose()?,
        between: between.iter().map(|own| folded(map, own)).collect::<Result<_, _>>()?,
        first: folded(map, first)?,
        last: folded(map, last)?,
        shortcut: own.shortcut.as_ref().map(|own| folded(map, own)).transpose()?,
    })
}

/// The buffers of one photo's way.
pub(super) struct Pass<'a> {
    architecture: &'a Architecture,
    weights: &'a Weights,
    together: Together<'a>,
    /// Rows and columns of the map in `x`.
    size: [usize; 2],
    /// The map, `[H W, C]`; of each buffer this thread's own positions are there, and of others what was traded last.
    x: Vec<f32>,
    /// The next one, where it has another size.
    next: Vec<f32>,
    /// The map behind a norm that comes before a block.
    normed: Vec<f32>,
    /// What a block has inside.
    inner: [Vec<f32>; 2],
    /// A band of rows.
    room: Vec<f32>,
    /// RGA's spatial gates, place by place, `[N]` of the map at each.
    gates: Vec<f32>,
    /// Masks of the modules of Attend and Rectify, module by module, `[K, N]` of the map at each, on the first thread.
    masks: Vec<f32>,
    /// Their logits, `[classes]` each, on the first thread.
    votes: Vec<Vec<f32>>,
    /// Where the rows and columns of the photo come from that TASN resampled, `[H + W]`.
    sampling: Vec<f32>,
}

/// What comes of it.
#[derive(Default)]
pub(super) struct End {
    /// Logits `[classes]` of the classifier and of the mixed votes (empty without Attend and Rectify).
    pub logits: [Vec<f32>; 2],
    /// `[N + 1]`
    pub class_activation: Vec<f32>,
    /// `[H + W]`, empty without TASN.
    pub sampling: Vec<f32>,
    pub gates: Vec<f32>,
    pub masks: Vec<f32>,
}

impl<'a> Pass<'a> {
    pub(super) fn new(architecture: &'a Architecture, weights: &'a Weights, together: Together<'a>) -> Self {
        let [x, next, normed, room, gates, masks, sampling] = Default::default();
        let (inner, votes) = Default::default();
        let size = [0, 0];
        Self { architecture, weights, together, size, x, next, normed, inner, room, gates, masks, votes, sampling }
    }

    /// Every stage: `image` is `[3, H, W]`, resampled first where there is TASN.
    pub(super) fn backbone(&mut self, image: &[f32], observe: Observe<'_>) -> Result<(), CpuError> {
        let resampled = self.resampled(image)?;
        self.stages(resampled.as_deref().unwrap_or(image), observe, &mut |_, _| false).map(drop)
    }

    /// The photo `[3, zoom H, zoom W]` as TASN's attention net resamples it, `[3, H, W]`.
    fn resampled(&mut self, photo: &[f32]) -> Result<Option<Vec<f32>>, CpuError> {
        let architecture = self.architecture;
        let Some(settings) = architecture.tasn() else { return Ok(None) };
        let size @ [rows, columns] = architecture.image_size;
        let small = tasn::shrink(photo, columns, settings.zoom);
        self.stages(&small, &mut |_, _, _| {}, &mut |count, _| count == settings.after)?;
        let (input, sampler) = (architecture.input_size(), settings.sampler(size));
        let channels = architecture.map_behind(settings.after).channels;
        let map = self.whole(channels, true)?;
        // Between the stages of a wide network maps have values below 0.
        relu(map);
        let attention = tasn::attention(map, channels, sampler.scale);
        self.sampling = tasn::coordinates(&attention, self.size, input, &sampler);
        Ok(Some(tasn::grid_sample(photo, input, &self.sampling, rows)))
    }

    /// The first convolution and the stages, until `enough` says so of the number of stages and the votes that have come so far:
    /// how many stages were computed.
    pub(super) fn stages(
        &mut self,
        image: &[f32],
        observe: Observe<'_>,
        enough: &mut dyn FnMut(usize, &[Vec<f32>]) -> bool,
    ) -> Result<usize, CpuError> {
        self.stem(image);
        for (i, stage) in self.weights.stages.iter().enumerate() {
            stage.iter().try_for_each(|block| self.block(block))?;
            let channels = self.architecture.map_behind(i + 1).channels;
            self.rga(i, channels, observe)?;
            self.rectify(i, channels, observe)?;
            let positions = self.size[0] * self.size[1];
            observe(&format!("out.stage.{i}"), &[positions, channels], &self.x[..positions * channels]);
            if enough(i + 1, &self.votes) {
                return Ok(i + 1);
            }
        }
        Ok(self.weights.stages.len())
    }

    /// The first convolution and the maximum behind it. What the maximum sees of the others' positions each thread computes itself.
    fn stem(&mut self, image: &[f32]) {
        let Weights { first, relu, pool, .. } = self.weights;
        let size @ [rows, columns] = self.architecture.image_size;
        let pixels = rows * columns;
        let colours = image.split_at(pixels);
        let colours = [colours.0, &colours.1[..pixels], &colours.1[pixels..]];
        self.normed.clear();
        self.normed.extend((0..pixels).flat_map(|pixel| colours.map(|colour| colour[pixel])));
        let (how, channels) = ((Store::Set, *relu), first.outputs());
        if !pool {
            self.size = convolve(first, (&self.normed, size), how, &mut self.x, (&self.together, &mut self.room));
            return;
        }
        let large = first.window.result(size);
        self.size = POOL.result(large);
        let positions = self.size[0] * self.size[1];
        let own = self.together.share(positions);
        let seen = POOL.sees(large, &own);
        let map = grown(&mut self.next, large[0] * large[1] * channels);
        first.apply((&self.normed, size), seen.clone(), how, &mut map[values(&seen, channels)], &mut self.room);
        let x = &mut grown(&mut self.x, positions * channels)[values(&own, channels)];
        max_pool(map, (POOL, large), channels, own, x);
    }

    fn block(&mut self, block: &Block) -> Result<(), CpuError> {
        let Block { before, first, between, last, shortcut } = block;
        let Self { together, x, next, normed, inner: [inner, spare], room, size, .. } = self;
        let channels = first.inputs();
        let count = size[0] * size[1];
        let source = match before {
            Some([scale, shift]) => {
                let own = values(&together.share(count), channels);
                scaled_relu(&x[own.clone()], [scale, shift], &mut grown(normed, count * channels)[own]);
                &mut *normed
            }
            None => &mut *x,
        };
        let windows = [first.window, shortcut.as_ref().map_or(first.window, |shortcut| shortcut.window)];
        trade((source, *size), channels, &windows, together)?;
        let mut inside = convolve(first, (source, *size), (Store::Set, true), inner, (together, room));
        for layer in between {
            trade((inner, inside), layer.inputs(), &[layer.window], together)?;
            inside = convolve(layer, (inner, inside), (Store::Set, true), spare, (together, room));
            std::mem::swap(inner, spare);
        }
        trade((inner, inside), last.inputs(), &[last.window], together)?;
        if let Some(shortcut) = shortcut {
            convolve(shortcut, (source, *size), (Store::Set, false), next, (together, room));
            std::mem::swap(x, next);
        }
        // The product adds itself to what passes by.
        *size = convolve(last, (inner, inside), (Store::Add, before.is_none()), x, (together, room));
        Ok(())
    }

    /// RGA's gates behind stage `index`, if there are any.
    fn rga(&mut self, index: usize, channels: usize, observe: Observe<'_>) -> Result<(), CpuError> {
        let Some(place) = self.architecture.rga().and_then(|rga| rga.behind(index)) else { return Ok(()) };
        let Some(gates) = self.weights.rga.get(place) else { return Ok(()) };
        let before = self.gates.len();
        self.whole(channels, true)?;
        let Self { together, x, size: [rows, columns], gates: spatial, .. } = self;
        gates.apply(&mut x[..*rows * *columns * channels], channels, together, spatial)?;
        if let Some(found) = spatial.get(before..).filter(|found| !found.is_empty()) {
            observe(&format!("out.gates.{place}"), &[found.len()], found);
        }
        Ok(())
    }

    /// The module of Attend and Rectify behind stage `index`, if there is one, on the first thread.
    fn rectify(&mut self, index: usize, channels: usize, observe: Observe<'_>) -> Result<(), CpuError> {
        let Some(place) = self.architecture.rectify().and_then(|rectify| rectify.behind(index)) else { return Ok(()) };
        let Some(module) = self.weights.rectify.as_ref().and_then(|rectify| rectify.modules.get(place)) else {
            return Ok(());
        };
        let (first, size, epsilon) = (self.together.is_first(), self.size, self.architecture.layer_norm_eps);
        let map = self.whole(channels, first)?;
        if first {
            let found = module.hypothesis(map, size, epsilon);
            let heads = found.masks.len() / (size[0] * size[1]);
            observe(&format!("out.masks.{place}"), &[heads, size[0] * size[1]], &found.masks);
            observe(&format!("out.votes.{place}"), &[found.logits.len()], &found.logits);
            self.masks.extend(found.masks);
            self.votes.push(found.logits);
        }
        Ok(())
    }

    /// The map, `[H W, C]`, of which the others' positions are filled in where they are `wanted`.
    fn whole(&mut self, channels: usize, wanted: bool) -> Result<&mut [f32], CpuError> {
        let count = self.size[0] * self.size[1];
        let own = values(&self.together.share(count), channels);
        let map = &mut self.x[..count * channels];
        self.together.trade(map, &own, 0..if wanted { map.len() } else { 0 })?;
        Ok(map)
    }

    /// What follows the last stage, on the first thread; the others give it their positions.
    pub(super) fn finish(mut self, observe: Observe<'_>) -> Result<End, CpuError> {
        let Weights { norm, head, rectify, .. } = self.weights;
        let (channels, first) = (self.architecture.dim, self.together.is_first());
        if let Some([scale, shift]) = norm {
            let own = values(&self.together.share(self.size[0] * self.size[1]), channels);
            let after = grown(&mut self.next, own.end);
            scaled_relu(&self.x[own.clone()], [scale, shift], &mut after[own.clone()]);
            self.x[own.clone()].copy_from_slice(&after[own]);
        }
        let map = self.whole(channels, first)?;
        if !first {
            return Ok(End::default());
        }
        let feature = mean(map, channels);
        observe("out.feature.sa", &[channels], &feature);
        let logits = head.of(&feature, 1);
        let row: Vec<f32> = (0..channels).map(|d| head.weight.value(d, named(&logits))).collect();
        let class_activation = class_activation(map, &row);
        let mixed = rectify.as_ref().map(|rectify| {
            self.votes.push(logits.clone());
            rectify.mix(&self.votes, &feature)
        });
        Ok(End {
            logits: [logits, mixed.unwrap_or_default()],
            class_activation,
            sampling: self.sampling,
            gates: self.gates,
            masks: self.masks,
        })
    }
}

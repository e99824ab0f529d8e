//! What a hybrid has before its patches (`src/architecture/hybrid.rs`): maps `[H W, C]`, of which each thread computes some positions.
//! A group norm needs to know what all threads saw, so they meet behind every convolution.

use super::CpuError;
use super::kernels::convolution::{Convolution, POOL, Window, max_pool};
use super::kernels::group_norm::{add_relu, apply, moments, scale_and_shift};
use super::kernels::matmul::Store;
use super::maps::{convolution, convolve, grown, trade, values};
use super::together::Together;
use crate::architecture::{self, ResidualBlock};
use crate::fold::GROUP_NORM_EPSILON;
use crate::tensors::{TensorError, TensorMap};

/// The pooling behind the first convolution, SAME of even sizes.
const SAME_POOL: Window = Window { padding: 0, ..POOL };

/// A hybrid's convolutions.
pub(super) struct Hybrid {
    groups: usize,
    stem: Normed,
    blocks: Vec<Block>,
}

/// A convolution and the norm behind it.
struct Normed {
    convolution: Convolution,
    /// `[C]`
    weight: Vec<f32>,
    /// `[C]`
    bias: Vec<f32>,
}

struct Block {
    first: Normed,
    between: Vec<Normed>,
    last: Normed,
    shortcut: Option<Normed>,
}

impl Hybrid {
    /// Takes the weights out of `map`, where those of convolutions are standardised.
    ///
    /// # Errors
    /// [`TensorError`] names the weight that is missing, of another shape or no number.
    pub(super) fn read(own: &architecture::Hybrid, map: &TensorMap) -> Result<Self, TensorError> {
        let blocks = (0..own.blocks.len()).flat_map(|stage| own.stage(stage));
        Ok(Self {
            groups: own.groups,
            stem: Normed::read(map, &own.first())?,
            blocks: blocks.map(|block| Block::read(map, &block)).collect::<Result<_, _>>()?,
        })
    }

    /// The last map of an image `[3, H, W]` of `size` on every thread, `[positions, C]`, and its `C`.
    pub(super) fn map(
        &self,
        image: &[f32],
        size: [usize; 2],
        together: &mut Together<'_>,
    ) -> Result<(Vec<f32>, usize), CpuError> {
        let pixels = size[0] * size[1];
        let photo: Vec<f32> = (0..3 * pixels).map(|at| image[at % 3 * pixels + at / 3]).collect();
        let mut buffers = Buffers::default();
        let mut large = Vec::new();
        let (mut size, channels) = (size, self.stem.convolution.outputs());
        size = self.normed(&self.stem, (&photo, size), &mut large, true, (together, &mut buffers.room))?;
        trade((&mut large, size), channels, &[SAME_POOL], together)?;
        let pooled = SAME_POOL.result(size);
        let own = together.share(pooled[0] * pooled[1]);
        let mut x = vec![0.0; pooled[0] * pooled[1] * channels];
        max_pool(&large, (SAME_POOL, size), channels, own.clone(), &mut x[values(&own, channels)]);
        size = pooled;
        for block in &self.blocks {
            size = self.block(block, &mut x, size, &mut buffers, together)?;
        }
        let (positions, channels) = (size[0] * size[1], self.blocks.last().map_or(channels, Block::outputs));
        x.truncate(positions * channels);
        let own = values(&together.share(positions), channels);
        let all = 0..x.len();
        together.trade(&mut x, &own, all)?;
        Ok((x, channels))
    }

    /// A bottleneck, from `x` of `size` into `x`; gives its size behind it.
    fn block(
        &self,
        block: &Block,
        x: &mut Vec<f32>,
        size: [usize; 2],
        Buffers { inner, spare, next, room }: &mut Buffers,
        together: &mut Together<'_>,
    ) -> Result<[usize; 2], CpuError> {
        let Block { first, between, last, shortcut } = block;
        if let Some(shortcut) = shortcut {
            trade((x, size), first.convolution.inputs(), &[shortcut.convolution.window], together)?;
        }
        let mut inside = self.normed(first, (x, size), inner, true, (together, room))?;
        for layer in between {
            trade((inner, inside), layer.convolution.inputs(), &[layer.convolution.window], together)?;
            inside = self.normed(layer, (inner, inside), spare, true, (together, room))?;
            std::mem::swap(inner, spare);
        }
        if let Some(shortcut) = shortcut {
            self.normed(shortcut, (x, size), next, false, (together, room))?;
            std::mem::swap(x, next);
        }
        let size = self.normed(last, (inner, inside), spare, false, (together, room))?;
        let own = values(&together.share(size[0] * size[1]), last.convolution.outputs());
        add_relu(&spare[own.clone()], &mut x[own]);
        Ok(size)
    }

    /// This thread's positions of what convolution and norm make of a `map` of `size`, into `y`; gives its size.
    fn normed(
        &self,
        layer: &Normed,
        (map, size): (&[f32], [usize; 2]),
        y: &mut Vec<f32>,
        relu: bool,
        (together, room): (&mut Together<'_>, &mut Vec<f32>),
    ) -> Result<[usize; 2], CpuError> {
        let channels = layer.convolution.outputs();
        let size = convolve(&layer.convolution, (map, size), (Store::Set, false), y, (together, room));
        let positions = size[0] * size[1];
        let own = &mut grown(y, positions * channels)[values(&together.share(positions), channels)];
        let seen = moments(own, channels, self.groups);
        let ([index, threads], count) = (together.place(), 2 * self.groups);
        let mut all = vec![0.0; threads * count];
        all[index * count..(index + 1) * count].copy_from_slice(seen.as_flattened());
        let everything = 0..all.len();
        together.trade(&mut all, &(index * count..(index + 1) * count), everything)?;
        let parts = all.chunks_exact(count).enumerate();
        let parts: Vec<_> = parts
            .map(|(thread, seen)| (together.share_of(thread, positions).len(), seen.as_chunks().0.to_vec()))
            .collect();
        let [scale, shift] = scale_and_shift(&parts, [&layer.weight, &layer.bias], GROUP_NORM_EPSILON);
        apply(own, [&scale, &shift], relu);
        Ok(size)
    }
}

/// What a block has inside; what is behind its shortcut; a band of rows.
#[derive(Default)]
struct Buffers {
    inner: Vec<f32>,
    spare: Vec<f32>,
    next: Vec<f32>,
    room: Vec<f32>,
}

impl Normed {
    fn read(map: &TensorMap, own: &architecture::Convolution) -> Result<Self, TensorError> {
        let norm = own.norm.as_deref().unwrap_or_default();
        let part = |part: &str| Ok::<_, TensorError>(map.weight(&format!("{norm}.{part}"), &[own.outputs])?.to_vec());
        Ok(Self {
            convolution: convolution(map, own, vec![0.0; own.outputs])?,
            weight: part("weight")?,
            bias: part("bias")?,
        })
    }
}

impl Block {
    fn read(map: &TensorMap, own: &ResidualBlock) -> Result<Self, TensorError> {
        let [first, between @ .., last] = own.convolutions.as_slice() else {
            return Err(TensorError::Missing("a block's second convolution".into()));
        };
        Ok(Self {
            first: Normed::read(map, first)?,
            between: between.iter().map(|own| Normed::read(map, own)).collect::<Result<_, _>>()?,
            last: Normed::read(map, last)?,
            shortcut: own.shortcut.as_ref().map(|own| Normed::read(map, own)).transpose()?,
        })
    }

    fn outputs(&self) -> usize {
        self.last.convolution.outputs()
    }
}

//! One photo on several threads, each with a memory of its own.
//!
//! Every thread holds the network and computes some of the tokens' rows, of a residual network some of the positions of each map.
//! What a row needs of the others are the keys and values of all tokens, once a block, and a position its neighbours, once a
//! convolution: they go through a memory that all can reach ([`Exchange`]). So the threads need no
//! common heap, no atomics in Rust's standard library and no special build of it; in the browser they are workers, and the
//! common memory is a `SharedArrayBuffer`.

use std::ops::Range;

use super::CpuError;
use crate::architecture::{Architecture, Hybrid, ResNet, ResidualBlock};

/// What one of several threads has in common with the others.
pub trait Exchange {
    /// Which thread this is, from 0, and how many there are. The first one answers.
    fn place(&self) -> [usize; 2];

    /// Lays `values` into the common memory from value `at` on.
    fn give(&self, at: usize, values: &[f32]);

    /// Waits until every thread has come here as often as this one.
    ///
    /// # Errors
    /// Why some thread will never come.
    fn meet(&self) -> Result<(), String>;

    /// Takes `values` out of the common memory from value `at` on.
    fn take(&self, at: usize, values: &mut [f32]);
}

/// Values that [`Exchange`]'s common memory needs for a photo of this network on so many threads.
pub fn common_values(architecture: &Architecture, threads: usize) -> usize {
    2 * slot(architecture, threads) + image(architecture)
}

/// The image that all threads take their patches from.
fn image(architecture: &Architecture) -> usize {
    let [height, width] = architecture.input_size();
    3 * height * width
}

/// The most that is exchanged at a time: keys and values, and the tokens themselves for the first thread; or a row of
/// rollout from each; of a residual network the largest map.
fn slot(architecture: &Architecture, threads: usize) -> usize {
    if let Some(resnet) = &architecture.resnet {
        return largest_map(architecture, resnet);
    }
    let tokens = architecture.tokens() * (3 * architecture.dim).max(threads);
    tokens.max(architecture.hybrid.as_ref().map_or(0, |hybrid| hybrid_slot(architecture, hybrid, threads)))
}

/// The most that a hybrid exchanges before its patches: the largest map, or what its norms saw on each thread.
fn hybrid_slot(architecture: &Architecture, hybrid: &Hybrid, threads: usize) -> usize {
    let behind = |stages: usize| hybrid.map_behind(architecture.image_size, stages);
    let maps = (0..=hybrid.blocks.len()).map(|stages| behind(stages).positions() * hybrid.channels(stages));
    // Before the pooling there are four times as many positions, and before a stage's stride as many as behind the stage before.
    let inside = (0..hybrid.blocks.len()).map(|stage| behind(stage).positions() * (hybrid.width << stage));
    let first = 4 * behind(0).positions() * hybrid.width;
    maps.chain(inside).chain([first, 2 * threads * hybrid.groups]).max().unwrap_or(0)
}

/// Values of the largest map that a residual network exchanges: what comes into a stage, what its blocks have inside, or what
/// comes out; or RGA's gates of a map's channels.
fn largest_map(architecture: &Architecture, resnet: &ResNet) -> usize {
    let behind = (0..=resnet.blocks.len()).map(|stages| {
        let map = architecture.map_behind(stages);
        map.positions() * map.channels
    });
    let inside = (0..resnet.blocks.len()).map(|stage| {
        let inner = |block: &ResidualBlock| block.convolutions.iter().rev().skip(1).map(|c| c.outputs).max();
        architecture.map_behind(stage).positions() * resnet.stage(stage).iter().filter_map(inner).max().unwrap_or(0)
    });
    behind.chain(inside).max().unwrap_or(0)
}

/// A thread's way through a photo: which rows are its own, and what it exchanges. Alone it exchanges nothing.
pub(super) struct Together<'a> {
    exchange: Option<&'a dyn Exchange>,
    /// Where the two slots lie that are used in turns: who has met the others a second time knows that all have taken what
    /// they wanted the first time.
    slots: [usize; 2],
    turn: usize,
}

impl<'a> Together<'a> {
    pub(super) fn new(architecture: &Architecture, exchange: Option<&'a dyn Exchange>) -> Self {
        let threads = exchange.map_or(1, |exchange| exchange.place()[1]);
        let first = image(architecture);
        Self { exchange, slots: [first, first + slot(architecture, threads)], turn: 0 }
    }

    /// Which thread this is and how many there are.
    pub(super) fn place(&self) -> [usize; 2] {
        self.exchange.map_or([0, 1], Exchange::place)
    }

    /// Whether this thread answers.
    pub(super) fn is_first(&self) -> bool {
        self.place()[0] == 0
    }

    /// This thread's share of `count` rows; none where there are more threads than rows. The first row is the first thread's.
    pub(super) fn share(&self, count: usize) -> Range<usize> {
        self.share_of(self.place()[0], count)
    }

    /// The same of thread `index`.
    pub(super) fn share_of(&self, index: usize, count: usize) -> Range<usize> {
        let [_, threads] = self.place();
        let from = |index: usize| (count * index).div_ceil(threads);
        from(index)..from(index + 1)
    }

    /// The first thread's image for the others.
    pub(super) fn give_image(&self, image: &[f32]) -> Result<(), CpuError> {
        self.give(0, image);
        self.meet()
    }

    /// Takes it.
    pub(super) fn take_image(&self, image: &mut [f32]) -> Result<(), CpuError> {
        self.meet()?;
        self.take_others(0, image, 0..0);
        Ok(())
    }

    /// Where the values of the next exchange lie in the common memory.
    pub(super) fn next_slot(&mut self) -> usize {
        self.turn = 1 - self.turn;
        self.slots[self.turn]
    }

    /// Gives values away.
    pub(super) fn give(&self, at: usize, values: &[f32]) {
        if let Some(exchange) = self.exchange {
            exchange.give(at, values);
        }
    }

    /// Waits for the others: what they gave is there now.
    pub(super) fn meet(&self) -> Result<(), CpuError> {
        self.exchange.map_or(Ok(()), |exchange| exchange.meet().map_err(CpuError::Thread))
    }

    /// Fills in `wanted` of `values` but for this thread's `own`.
    pub(super) fn take_some(&self, at: usize, values: &mut [f32], own: &Range<usize>, wanted: Range<usize>) {
        let Some(exchange) = self.exchange else { return };
        for part in [wanted.start..wanted.end.min(own.start), wanted.start.max(own.end)..wanted.end] {
            if !part.is_empty() {
                exchange.take(at + part.start, &mut values[part]);
            }
        }
    }

    /// Gives this thread's `own` of `values` to the others and takes `wanted` from them.
    pub(super) fn trade(
        &mut self,
        values: &mut [f32],
        own: &Range<usize>,
        wanted: Range<usize>,
    ) -> Result<(), CpuError> {
        let slot = self.next_slot();
        self.give(slot + own.start, &values[own.clone()]);
        self.meet()?;
        self.take_some(slot, values, own, wanted);
        Ok(())
    }

    /// Fills in all of `values` but this thread's `own`.
    pub(super) fn take_others(&self, at: usize, values: &mut [f32], own: Range<usize>) {
        if let Some(exchange) = self.exchange {
            exchange.take(at, &mut values[..own.start]);
            exchange.take(at + own.end, &mut values[own.end..]);
        }
    }
}

//! Decodes and preprocesses photos on another thread while the network works.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use finegrain::photo::{Photo, Preprocessing};

use crate::data::Sample;
use crate::measure::{Views, paste};

/// Photos that are ready before the network asks for them.
const READY: usize = 16;

/// What is made of each photo.
pub(super) struct Ahead {
    pub(super) preprocessing: Preprocessing,
    pub(super) views: Views,
    /// The photo's share of the background's sides; not pasted where there is none.
    pub(super) pasted: Option<f64>,
    /// Whether the photo itself is wanted, too.
    pub(super) keep: bool,
}

/// A photo, ready for the network.
pub(super) struct Input {
    /// All views of it, `views.count()` times `[3, H, W]`.
    pub(super) views: Vec<f32>,
    /// As it was decoded and pasted, where it is kept.
    pub(super) photo: Option<Photo>,
}

impl Ahead {
    /// The samples in their order, each with its input or with one sentence on why it cannot be used.
    pub(super) fn start(
        self,
        samples: Vec<Sample>,
        stop: Arc<AtomicBool>,
    ) -> Receiver<(Sample, Result<Input, String>)> {
        let (sender, receiver) = sync_channel(READY);
        thread::spawn(move || {
            for (place, sample) in samples.into_iter().enumerate() {
                let input = self.input(place, &sample);
                // The receiver is gone when the measurement failed.
                if stop.load(Ordering::Relaxed) || sender.send((sample, input)).is_err() {
                    return;
                }
            }
        });
        receiver
    }

    fn input(&self, place: usize, sample: &Sample) -> Result<Input, String> {
        let unusable = |error| format!("\"{}\" cannot be used: {error}", sample.path.display());
        let mut photo = sample.photo().map_err(|error| error.to_string())?;
        if let Some(share) = self.pasted {
            photo = paste(&photo, share, place as u64).map_err(unusable)?;
        }
        let views = self.views.of(&photo, &self.preprocessing).map_err(unusable)?;
        Ok(Input { views, photo: self.keep.then_some(photo) })
    }
}

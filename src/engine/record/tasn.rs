//! TASN at inference: the attention of a feature map, and a photo as it resamples it (`src/model/tasn`).

use super::matrix::{Finish, Map, Matrix};
use super::{Detail, Recorder};
use crate::architecture::{Tasn, TasnBlocks};
use crate::engine::EngineError;
use crate::engine::kernels;
use crate::engine::recording::{BufferId, Recording};

/// Attention of channels among each other, `[C, C]`: `softmax_c(softmax_hw(s X) X^T)`, by which trilinear attention mixes
/// them.
fn mixture(recording: &mut Recording, map: &Map, settings: &Tasn) -> Matrix {
    let (x, channels) = (map.matrix(), map.channels);
    let responses = recording.softmax("tasn.responses", x.transposed(), settings.scale);
    let relation = recording.matrix("tasn.relation", channels, channels);
    recording.product("tasn.relation", responses, x, relation, Finish::Plain);
    recording.softmax("tasn.mixture", relation, 1.0)
}

/// The sum of all attention maps, `[h, w]`. The maps themselves are not needed: the sum of mixtures is a mixture of sums.
fn summed(recording: &mut Recording, map: &Map, mixture: Matrix) -> BufferId {
    let shares = recording.matrix("tasn.shares", map.channels, 1);
    recording.sum("tasn.shares", mixture.transposed(), 1.0, shares);
    let attention = recording.matrix("tasn.attention", 1, map.positions());
    recording.product("tasn.attention", shares.transposed(), map.matrix().transposed(), attention, Finish::Plain);
    attention.buffer
}

/// A photo `[3, H, W]` resampled where `attention` `[h, w]` is high (its square, where `square` says so): coordinates
/// `[h + w]` (vertical, then horizontal) and pixels `[3, *settings.size]`. Labels begin with `name`.
fn resample(
    recording: &mut Recording,
    name: &str,
    (attention, [map_height, map_width]): (BufferId, [usize; 2]),
    square: bool,
    (image, [height, width]): (BufferId, [usize; 2]),
    settings: &Tasn,
) -> [BufferId; 2] {
    let [rows, columns] = settings.size;
    let marginal = recording.scratch(format!("{name}.marginal"), &[height + width]);
    let uniforms = kernels::MarginalUniforms {
        map_height: map_height as u32,
        map_width: map_width as u32,
        height: height as u32,
        width: width as u32,
        square: u32::from(square),
    };
    recording.dispatch(format!("{name}.marginal"), &kernels::MARGINAL, uniforms, &[attention, marginal]);
    let density = recording.scratch(format!("{name}.density"), &[height + width]);
    let excess = recording.scratch(format!("{name}.excess"), &[height + width]);
    let uniforms = kernels::CumulativeUniforms {
        height: height as u32,
        width: width as u32,
        rounds: settings.rounds as u32,
        dense: settings.dense,
    };
    let bindings = [marginal, density, excess];
    recording.dispatch(format!("{name}.cumulative"), &kernels::CUMULATIVE, uniforms, &bindings);
    let coordinates = recording.scratch(format!("{name}.coordinates"), &[rows + columns]);
    let [h, w, r, c] = [height, width, rows, columns].map(|n| n as u32);
    let uniforms = kernels::CoordinatesUniforms { height: h, width: w, rows: r, columns: c };
    let bindings = [density, excess, coordinates];
    recording.dispatch(format!("{name}.coordinates"), &kernels::COORDINATES, uniforms, &bindings);
    let pixels = recording.scratch(name, &[3, rows, columns]);
    let uniforms = kernels::GridSampleUniforms { channels: 3, height: h, width: w, rows: r, columns: c };
    recording.dispatch(name, &kernels::GRID_SAMPLE, uniforms, &[image, coordinates, pixels]);
    [coordinates, pixels]
}

impl Recorder<'_> {
    /// The photo `[3, zoom H, zoom W]` as the attention net resamples it, `[3, H, W]`. The attention net, from the photo made small
    /// to a map with nothing below 0, is the first blocks or stages of the network that then sees the result.
    pub(super) fn resampled(
        &mut self,
        settings: &TasnBlocks,
        photo: BufferId,
        attention_net: &mut dyn FnMut(&mut Self, BufferId) -> Result<Map, EngineError>,
    ) -> Result<BufferId, EngineError> {
        let architecture = self.architecture;
        let size @ [rows, columns] = architecture.image_size;
        let small = self.recording.scratch("tasn.small", &[3, rows, columns]);
        let [r, c, zoom] = [rows, columns, settings.zoom].map(|n| n as u32);
        let uniforms = kernels::ShrinkUniforms { channels: 3, rows: r, columns: c, zoom };
        self.recording.dispatch("tasn.small", &kernels::SHRINK, uniforms, &[photo, small]);
        // A trace is of the pass that answers.
        let detail = std::mem::replace(&mut self.detail, Detail::Answer);
        let map = attention_net(self, small)?;
        self.detail = detail;
        let recording = &mut self.recording;
        let (sampler, photo) = (settings.sampler(size), (photo, architecture.input_size()));
        let mixture = mixture(recording, &map, &sampler);
        let attention = (summed(recording, &map, mixture), [map.height, map.width]);
        let [coordinates, pixels] = resample(recording, "tasn", attention, true, photo, &sampler);
        recording.read_back("out.sampling", coordinates);
        Ok(pixels)
    }
}

/// TASN by itself, on the map `features` `[h w, C]` (a weight) of size `features` `[h, w, C]` and the input photo
/// `[3, *image]`: reads back `out.trilinear` `[C, h, w]`, and for `structure` and `detail` (channel `detail_channel`)
/// `out.<map>_coords` and `out.<map>` `[3, *settings.size]`.
///
/// # Errors
/// [`EngineError::Unsupported`] for a photo of less than 2 x 2 pixels, nothing to resample to, or a channel that is not there.
pub fn tasn(
    settings: &Tasn,
    [height, width, channels]: [usize; 3],
    image: [usize; 2],
    detail_channel: usize,
) -> Result<Recording, EngineError> {
    if image.iter().any(|&side| side < 2) || settings.size.contains(&0) {
        return Err(EngineError::Unsupported(format!("a photo of {image:?} pixels resampled to {:?}", settings.size)));
    }
    if detail_channel >= channels {
        return Err(EngineError::Unsupported(format!("channel {detail_channel} of a map with {channels}")));
    }
    let mut recording = Recording::default();
    let buffer = recording.vector("features", &[height * width, channels]);
    let photo = (recording.input("image", &[3, image[0], image[1]]), image);
    let map = Map { buffer, offset: 0, height, width, channels };
    let mixture = mixture(&mut recording, &map, settings);
    let sum = summed(&mut recording, &map, mixture);

    let x = map.matrix().transposed();
    let trilinear = Matrix::new(recording.scratch("tasn.trilinear", &[channels, height, width]), channels, x.columns);
    recording.product("tasn.trilinear", mixture, x, trilinear, Finish::Plain);
    recording.read_back("out.trilinear", trilinear.buffer);
    let channel = recording.matrix("tasn.channel", 1, map.positions());
    let of_channel = mixture.rows(detail_channel..detail_channel + 1);
    recording.product("tasn.channel", of_channel, x, channel, Finish::Plain);

    for (name, attention, square) in [("structure", sum, true), ("detail", channel.buffer, false)] {
        let attention = (attention, [height, width]);
        let label = format!("tasn.{name}");
        let [coordinates, pixels] = resample(&mut recording, &label, attention, square, photo, settings);
        recording.read_back(format!("out.{name}_coords"), coordinates);
        recording.read_back(format!("out.{name}"), pixels);
    }
    Ok(recording)
}

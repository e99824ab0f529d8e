//! What a trace of TASN holds.

use burn::tensor::{Device, Tensor};

use super::{coordinates, detail, distil, grid_sample, structure, trilinear};
use crate::architecture::Tasn;
use crate::model::inward;
use crate::model::trace::real;
use crate::tensors::{TensorError, TensorMap};

/// Runs TASN's attention and sampler on `input.features` `[B, C, h, w]` and `input.image` `[B, 3, H, W]`, and the
/// distillation loss on `input.student` and `input.teacher` `[B', classes]`: `out.trilinear` `[B, C, h, w]`,
/// `out.structure` and `out.detail` `[B, 3, *settings.size]` with `out.structure_coords` and `out.detail_coords`
/// `[B, 2, o]` (vertical, then horizontal; for a square `settings.size`), `out.distill` `[1]`. The detail map is
/// `detail_channel`, which the caller has checked, as it has that the image is at least 2 x 2.
///
/// # Errors
/// [`TensorError`] for a tensor that is missing, of another shape or not finite.
pub fn trace(
    settings: &Tasn,
    detail_channel: usize,
    tensors: &TensorMap,
    device: &Device,
) -> Result<TensorMap, TensorError> {
    let features: Tensor<4> = inward(tensors, "input.features", device)?;
    let batch = features.dims()[0];
    let ([_, _, height, width], _) = tensors.axes::<4>("input.image")?;
    tensors.weight("input.image", &[batch, 3, height, width])?;
    let image: Tensor<4> = inward(tensors, "input.image", device)?;
    let (classes, _) = tensors.axes::<2>("input.teacher")?;
    tensors.weight("input.student", &classes)?;

    let attention = trilinear(features, settings.scale);
    let mut trace = TensorMap::default();
    trace.insert("out.trilinear", real(&attention));
    let size = [height, width];
    let maps = [
        ("structure", structure(attention.clone(), size)),
        ("detail", detail(attention, Some(&vec![detail_channel; batch]), size)),
    ];
    for (name, map) in maps {
        let [vertical, horizontal] = coordinates(map, settings);
        let both = Tensor::stack::<3>(vec![vertical.clone(), horizontal.clone()], 1);
        trace.insert(format!("out.{name}_coords"), real(&both));
        trace.insert(format!("out.{name}"), real(&grid_sample(image.clone(), [vertical, horizontal])));
    }
    let teacher = inward(tensors, "input.teacher", device)?;
    let student = inward(tensors, "input.student", device)?;
    trace.insert("out.distill", real(&distil(teacher, student, settings.temperature)));
    Ok(trace)
}

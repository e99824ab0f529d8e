//! A second pass on the part of a photo that rollout found ([`finegrain::photo::zoom`]): is it worth having?

use anyhow::Result;
use finegrain::answer::Answer;
use finegrain::photo::{Photo, Preprocessing, zoom};
use serde::Serialize;

use super::{Score, Scores, Views};

/// Counts second passes.
pub struct Zoom {
    grid: [usize; 2],
    preprocessing: Preprocessing,
    alone: Scores,
    both: Scores,
    found: usize,
}

/// What a second pass gives; where rollout found no part, the first pass stands.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Zoomed {
    /// Share of the photos in which rollout found a part.
    pub found: f64,
    /// The second pass alone.
    pub alone: Score,
    /// The mean of the probabilities of both passes.
    pub both: Score,
}

impl Zoom {
    /// Nothing counted yet; `grid` is rows and columns of patches.
    pub fn new(grid: [usize; 2], preprocessing: Preprocessing) -> Self {
        Self { grid, preprocessing, alone: Scores::default(), both: Scores::default(), found: 0 }
    }

    /// Looks again at `photo`, whose right class is `class`, after the answer to the whole of it; `classify` takes
    /// `[3, H, W]`.
    ///
    /// # Errors
    /// Those of `classify`; a part that cannot be preprocessed.
    pub fn add(
        &mut self,
        photo: &Photo,
        first: &Answer,
        class: usize,
        classify: impl FnOnce(&[f32]) -> Result<Answer>,
    ) -> Result<()> {
        let seen = self.preprocessing.region(photo.width(), photo.height());
        let Some(region) = zoom(&first.rollout_over_photo(self.grid), self.grid, seen) else {
            self.alone.add(first, class);
            self.both.add(first, class);
            return Ok(());
        };
        let second = classify(&self.preprocessing.apply(&photo.part(region)?)?)?;
        self.alone.add(&second, class);
        if let Some(mean) = Views::mean(&[first.clone(), second]) {
            self.both.add(&mean, class);
        }
        self.found += 1;
        Ok(())
    }

    /// What has been counted; shares are 0 without photos.
    pub fn zoomed(&self) -> Zoomed {
        let found = self.found as f64 / self.alone.images().max(1) as f64;
        Zoomed { found, alone: self.alone.answer(), both: self.both.answer() }
    }
}

#[cfg(test)]
mod tests {
    use finegrain::photo::Fit;

    use super::*;
    use crate::measure::calibration::tests::answer;

    #[test]
    fn a_second_look_is_counted_where_there_is_a_part() {
        let preprocessing = Preprocessing { resize: 4, fit: Fit::Crop, crop: [4, 4], mean: [0.0; 3], std: [1.0; 3] };
        let photo = Photo::from_rgb(4, 4, (0..48).collect()).unwrap();
        let wrong = |rollout: &[f32]| Answer { rollout: rollout.to_vec(), ..answer(&[2.0, 0.0], &[]) };
        let right = |_: &[f32]| Ok(answer(&[0.0, 1.0], &[]));
        let mut zoom = Zoom::new([2, 2], preprocessing.clone());
        // Nothing stands out: the first look is all there is.
        zoom.add(&photo, &wrong(&[0.2; 5]), 1, |_| anyhow::bail!("there is no second look")).unwrap();
        assert_eq!(zoom.zoomed().found, 0.0);
        // The upper left patch stands out; its half patch of margin makes the part 3 x 3 pixels.
        zoom.add(&photo, &wrong(&[0.1, 0.6, 0.1, 0.1, 0.1]), 1, |image| {
            let part = photo.part([0.0, 0.0, 3.0, 3.0]).unwrap();
            assert_eq!(image, preprocessing.apply(&part).unwrap());
            right(image)
        })
        .unwrap();
        let zoomed = zoom.zoomed();
        assert_eq!((zoomed.found, zoomed.alone.top1), (0.5, 0.5));
        // The first look was surer of the wrong class than the second is of the right one.
        assert_eq!(zoomed.both.top1, 0.0);
    }
}

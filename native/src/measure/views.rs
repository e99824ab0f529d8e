//! What the network is shown of one photo: the whole of it, or several views whose answers are averaged (test-time
//! augmentation).

use finegrain::answer::Answer;
use finegrain::photo::{Photo, PhotoError, Preprocessing};

/// Which views are taken of a photo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Views {
    /// The photo as it is classified everywhere else.
    #[default]
    Single,
    /// It and its mirror image.
    Flip,
    /// It, its four corners and its middle, seven eighths of each side, and the mirror images of all six: 12 views.
    Crops,
}

impl Views {
    /// How many views are taken.
    pub fn count(self) -> usize {
        match self {
            Self::Single => 1,
            Self::Flip => 2,
            Self::Crops => 12,
        }
    }

    /// The network's inputs, `count` times `[3, H, W]`, the photo itself first.
    ///
    /// # Errors
    /// A photo that cannot be preprocessed.
    pub fn of(self, photo: &Photo, preprocessing: &Preprocessing) -> Result<Vec<f32>, PhotoError> {
        let mut views = preprocessing.apply(photo)?;
        if self == Self::Crops {
            for place in [[0, 0], [2, 0], [0, 2], [2, 2], [1, 1]] {
                views.extend(preprocessing.apply(&part(photo, place)?)?);
            }
        }
        if self != Self::Single {
            let [_, width] = preprocessing.crop;
            let mirrored: Vec<f32> = views.chunks(width).flat_map(|row| row.iter().rev().copied()).collect();
            views.extend(mirrored);
        }
        Ok(views)
    }

    /// The mean of the probabilities of several views' answers; logits, rollout and selection stay those of the first.
    ///
    /// `None` without answers.
    pub fn mean(answers: &[Answer]) -> Option<Answer> {
        let mut answer = answers.first()?.clone();
        let mean = |pick: fn(&Answer) -> &Vec<f32>| -> Vec<f32> {
            let classes = pick(&answers[0]).len();
            let sum = |class| answers.iter().map(|answer| f64::from(pick(answer)[class])).sum::<f64>();
            (0..classes).map(|class| (sum(class) / answers.len() as f64) as f32).collect()
        };
        (answer.sa, answer.glca, answer.probability) = (mean(|a| &a.sa), mean(|a| &a.glca), mean(|a| &a.probability));
        Some(answer)
    }
}

/// Seven eighths of both sides of a photo, at 0, 1 or 2 halves of what is left over, from the left and from the top.
fn part(photo: &Photo, [x, y]: [usize; 2]) -> Result<Photo, PhotoError> {
    let (width, height) = (photo.width() as usize, photo.height() as usize);
    let (w, h) = ((width * 7).div_ceil(8), (height * 7).div_ceil(8));
    photo.part([(width - w) * x / 2, (height - h) * y / 2, w, h].map(|pixels| pixels as f64))
}

#[cfg(test)]
mod tests {
    use finegrain::photo::Fit;

    use super::*;

    fn preprocessing() -> Preprocessing {
        Preprocessing { resize: 8, fit: Fit::Crop, crop: [8, 8], mean: [0.0; 3], std: [1.0; 3] }
    }

    /// 8 x 8 pixels whose red is 10 x + y.
    fn photo() -> Photo {
        let rgb = (0..64u8).flat_map(|i| [10 * (i % 8) + i / 8, 0, 255]).collect();
        Photo::from_rgb(8, 8, rgb).unwrap()
    }

    #[test]
    fn the_mirror_image_follows() {
        let views = Views::Flip.of(&photo(), &preprocessing()).unwrap();
        let (plain, mirrored) = views.split_at(3 * 64);
        assert_eq!(plain, Views::Single.of(&photo(), &preprocessing()).unwrap());
        for (y, x) in (0..8).flat_map(|y| (0..8).map(move |x| (y, x))) {
            assert_eq!(plain[8 * y + x], (10 * x + y) as f32 / 255.0);
            assert_eq!(mirrored[8 * y + x], (10 * (7 - x) + y) as f32 / 255.0);
        }
        assert_eq!(views.len(), Views::Flip.count() * 3 * 64);
    }

    #[test]
    fn parts_lie_in_the_corners_and_in_the_middle() {
        let red = |place| part(&photo(), place).unwrap().rgb()[0];
        assert_eq!([[0, 0], [2, 0], [0, 2], [2, 2]].map(red), [0, 10, 1, 11]);
        let large = Photo::from_rgb(160, 80, vec![0; 3 * 160 * 80]).unwrap();
        let middle = part(&large, [1, 1]).unwrap();
        assert_eq!((middle.width(), middle.height()), (140, 70));
        assert_eq!(Views::Crops.of(&photo(), &preprocessing()).unwrap().len(), 12 * 3 * 64);
        let dot = Photo::from_rgb(1, 1, vec![9, 9, 9]).unwrap();
        assert_eq!(part(&dot, [2, 2]).unwrap(), dot, "a part is never empty");
    }

    #[test]
    fn probabilities_are_averaged() {
        let answer = |sa: [f32; 2], glca: [f32; 2]| crate::measure::calibration::tests::answer(&sa, &glca);
        let (a, b) = (answer([9f32.ln(), 0.0], [0.0, 0.0]), answer([0.0, 0.0], [0.0, 9f32.ln()]));
        let mean = Views::mean(&[a.clone(), b]).unwrap();
        // SA: 0.9 and 0.5; GLCA: 0.5 and 0.1; the answer: 0.7 and 0.3.
        assert!((mean.sa[0] - 0.7).abs() < 1e-6 && (mean.glca[0] - 0.3).abs() < 1e-6);
        assert!((mean.probability[0] - 0.5).abs() < 1e-6);
        assert_eq!(mean.logits_sa, a.logits_sa);
    }
}

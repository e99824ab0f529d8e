//! Policies of random operations: TrivialAugment (Müller and Hutter, 2021, the "wide" ranges) and RandAugment (Cubuk et
//! al., 2020), with torchvision's ranges. Shears and rotations turn about the centre; what they uncover gets the mean
//! colour.

use rand::Rng;

use super::image::Picture;
use crate::train::config::{Augment, Policy};

/// Steps of magnitude, as in both papers' code: 0 (nothing) to 30 (most).
pub(crate) const STRONGEST: u32 = 30;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Identity,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
    Rotate,
    Brightness,
    Colour,
    Contrast,
    Sharpness,
    Posterize,
    Solarize,
    AutoContrast,
    Equalize,
}

const OPERATIONS: [Operation; 14] = [
    Operation::Identity,
    Operation::ShearX,
    Operation::ShearY,
    Operation::TranslateX,
    Operation::TranslateY,
    Operation::Rotate,
    Operation::Brightness,
    Operation::Colour,
    Operation::Contrast,
    Operation::Sharpness,
    Operation::Posterize,
    Operation::Solarize,
    Operation::AutoContrast,
    Operation::Equalize,
];

/// How far operations go at the strongest step.
struct Ranges {
    /// Tangent of the shear's angle.
    shear: f32,
    /// Pixels across and down.
    translate: [f32; 2],
    /// Degrees.
    rotate: f32,
    /// Distance of a factor from 1.
    factor: f32,
    /// Bits that are lost.
    bits: f32,
}

impl Ranges {
    fn trivial() -> Self {
        Self { shear: 0.99, translate: [32.0; 2], rotate: 135.0, factor: 0.99, bits: 6.0 }
    }

    fn rand(picture: &Picture) -> Self {
        let translate = [picture.width, picture.height].map(|side| 150.0 / 331.0 * side as f32);
        Self { shear: 0.3, translate, rotate: 30.0, factor: 0.9, bits: 4.0 }
    }
}

/// Changes `picture` after the recipe's policy; `fill` is the colour of what was outside.
pub(super) fn apply(picture: &mut Picture, augment: &Augment, fill: [u8; 3], random: &mut impl Rng) {
    match augment.policy {
        Policy::None => {}
        Policy::Trivial => {
            let step = random.random_range(0..=STRONGEST);
            operate(picture, step, &Ranges::trivial(), fill, random);
        }
        Policy::Rand => {
            for _ in 0..augment.rand_operations {
                operate(picture, augment.rand_magnitude, &Ranges::rand(picture), fill, random);
            }
        }
    }
}

/// One operation, drawn from [`OPERATIONS`], in a random direction.
fn operate(picture: &mut Picture, step: u32, ranges: &Ranges, fill: [u8; 3], random: &mut impl Rng) {
    let operation = OPERATIONS[random.random_range(0..OPERATIONS.len())];
    let backwards = random.random_bool(0.5);
    perform(picture, operation, step, backwards, ranges, fill);
}

fn perform(picture: &mut Picture, operation: Operation, step: u32, backwards: bool, ranges: &Ranges, fill: [u8; 3]) {
    const SAME: [[f32; 2]; 2] = [[1.0, 0.0], [0.0, 1.0]];
    let share = step as f32 / STRONGEST as f32;
    let signed = if backwards { -share } else { share };
    let factor = 1.0 + ranges.factor * signed;
    match operation {
        Operation::Identity => {}
        Operation::ShearX => picture.warp([[1.0, ranges.shear * signed], [0.0, 1.0]], [0.0; 2], fill),
        Operation::ShearY => picture.warp([[1.0, 0.0], [ranges.shear * signed, 1.0]], [0.0; 2], fill),
        Operation::TranslateX => picture.warp(SAME, [(ranges.translate[0] * signed).trunc(), 0.0], fill),
        Operation::TranslateY => picture.warp(SAME, [0.0, (ranges.translate[1] * signed).trunc()], fill),
        Operation::Rotate => {
            let (sin, cos) = (ranges.rotate * signed).to_radians().sin_cos();
            picture.warp([[cos, -sin], [sin, cos]], [0.0; 2], fill);
        }
        Operation::Brightness => picture.brightness(factor),
        Operation::Colour => picture.saturation(factor),
        Operation::Contrast => picture.contrast(factor),
        Operation::Sharpness => picture.sharpness(factor),
        Operation::Posterize => picture.posterize(8 - (ranges.bits * share).round() as u32),
        Operation::Solarize => picture.solarize((255.0 * (1.0 - share)).round() as u16),
        Operation::AutoContrast => picture.autocontrast(),
        Operation::Equalize => picture.equalize(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::augment::source;

    fn picture() -> Picture {
        Picture { rgb: (0..24 * 20 * 3).map(|i| (i * 37 % 251) as u8).collect(), width: 24, height: 20 }
    }

    fn augmented(augment: &Augment, index: usize) -> Picture {
        let mut picture = picture();
        apply(&mut picture, augment, [9; 3], &mut source(4, 0, index));
        picture
    }

    #[test]
    fn policies_change_most_pictures_reproducibly() {
        for policy in [Policy::Trivial, Policy::Rand] {
            let augment = Augment { policy, ..Augment::default() };
            let changed = (0..60).filter(|&i| augmented(&augment, i) != picture()).count();
            assert!(changed > 30, "{policy:?}: {changed} of 60");
            assert!((0..10).all(|i| augmented(&augment, i) == augmented(&augment, i)));
        }
        assert_eq!(augmented(&Augment::default(), 3), picture(), "no policy");
        let none = Augment { policy: Policy::Rand, rand_operations: 0, ..Augment::default() };
        assert_eq!(augmented(&none, 3), picture(), "no operation");
    }

    #[test]
    fn each_operation_does_something_and_grows() {
        let distance = |operation, step| {
            let mut changed = picture();
            perform(&mut changed, operation, step, false, &Ranges::trivial(), [9; 3]);
            changed.rgb.iter().zip(&picture().rgb).map(|(a, b)| u64::from(a.abs_diff(*b))).sum::<u64>()
        };
        for operation in &OPERATIONS[1..12] {
            assert!(distance(*operation, 30) > 0, "{operation:?}");
            if *operation != Operation::Solarize {
                assert_eq!(distance(*operation, 0), 0, "{operation:?} of strength 0");
            }
        }
        assert!(distance(Operation::AutoContrast, 5) > 0 && distance(Operation::Equalize, 5) > 0);
        assert!(distance(Operation::Brightness, 30) > distance(Operation::Brightness, 3));
    }
}

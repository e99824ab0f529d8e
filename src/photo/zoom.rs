//! Zoom to what the network looked at: the part of a photo for a second pass.
//!
//! The region is that of SCDA (Wei et al. 2017, "Selective Convolutional Descriptor Aggregation", section III-B): the
//! patches above the mean of the map, of these the largest connected part, of that the bounding box. Their map is the
//! sum over the channels of the last feature map, ours is the attention rollout.

use std::ops::RangeInclusive;

/// A region that keeps more than this share of the area is not worth a second pass.
const MOST: f64 = 0.75;

/// Patches that are added on each side of the box, so that an edge is not cut through the subject.
const MARGIN: f64 = 0.5;

/// The part of a photo that a second pass should see: left, top, width and height in the photo's pixels.
///
/// `rollout` is the class token's row without the class token, `[rows * columns]`; `seen` is the part of the photo that the
/// patches cover ([`crate::photo::Preprocessing::region`], same order and unit). `None` where the network looked at most of
/// the photo anyway, or where the map says nothing.
pub fn zoom(rollout: &[f32], [rows, columns]: [usize; 2], seen: [f64; 4]) -> Option<[f64; 4]> {
    if rollout.len() != rows * columns || rollout.is_empty() || !rollout.iter().all(|v| v.is_finite()) {
        return None;
    }
    let mean = rollout.iter().map(|&v| f64::from(v)).sum::<f64>() / rollout.len() as f64;
    let above: Vec<bool> = rollout.iter().map(|&v| f64::from(v) > mean).collect();
    let (down, across) = box_of_largest(&above, columns)?;
    let [left, top, width, height] = seen;
    let along = |range: RangeInclusive<usize>, count: usize, start: f64, length: f64| {
        let patch = length / count as f64;
        let from = (*range.start() as f64 - MARGIN).max(0.0);
        let to = (*range.end() as f64 + 1.0 + MARGIN).min(count as f64);
        [start + from * patch, (to - from) * patch]
    };
    let [x, wide] = along(across, columns, left, width);
    let [y, high] = along(down, rows, top, height);
    (wide * high <= MOST * width * height).then_some([x, y, wide, high])
}

/// Rows and columns of the bounding box of the largest part that hangs together by sides; the first of equals.
fn box_of_largest(above: &[bool], columns: usize) -> Option<(RangeInclusive<usize>, RangeInclusive<usize>)> {
    let mut left_over = above.to_vec();
    let mut largest: Vec<usize> = Vec::new();
    for start in 0..above.len() {
        let part = take_part(&mut left_over, columns, start);
        if part.len() > largest.len() {
            largest = part;
        }
    }
    let span = |of: fn(usize, usize) -> usize| {
        let places = || largest.iter().map(|&patch| of(patch, columns));
        Some(places().min()?..=places().max()?)
    };
    Some((span(|patch, columns| patch / columns)?, span(|patch, columns| patch % columns)?))
}

/// Takes the part that holds `start` out of `above`; empty where `start` is not above.
fn take_part(above: &mut [bool], columns: usize, start: usize) -> Vec<usize> {
    let (mut part, mut open) = (Vec::new(), vec![start]);
    while let Some(patch) = open.pop() {
        if !std::mem::take(&mut above[patch]) {
            continue;
        }
        part.push(patch);
        let column = patch % columns;
        open.extend((column > 0).then(|| patch - 1));
        open.extend((column + 1 < columns).then_some(patch + 1));
        open.extend(patch.checked_sub(columns));
        open.extend(Some(patch + columns).filter(|&below| below < above.len()));
    }
    part
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A map of 4 x 5 patches; `#` is looked at.
    fn map(rows: [&str; 4]) -> Vec<f32> {
        rows.iter().flat_map(|row| row.chars()).map(|c| if c == '#' { 1.0 } else { 0.1 }).collect()
    }

    #[test]
    fn the_largest_part_is_found_and_widened_by_half_a_patch() {
        let rollout = map(["#....", "..##.", "..#..", "#...."]);
        // Patches of 20 x 10 pixels: columns 2 and 3, rows 1 and 2.
        assert_eq!(zoom(&rollout, [4, 5], [0.0, 0.0, 100.0, 40.0]), Some([30.0, 5.0, 60.0, 30.0]));
        // The same where only a part of the photo is seen.
        assert_eq!(zoom(&rollout, [4, 5], [7.0, 3.0, 50.0, 40.0]), Some([22.0, 8.0, 30.0, 30.0]));
    }

    #[test]
    fn the_region_ends_where_the_photo_ends() {
        let rollout = map(["##...", "##...", ".....", "....."]);
        assert_eq!(zoom(&rollout, [4, 5], [0.0, 0.0, 100.0, 40.0]), Some([0.0, 0.0, 50.0, 25.0]));
    }

    #[test]
    fn corners_do_not_touch_and_rows_do_not_wrap() {
        // Two parts of two, the first wins; a part that went around the edge would have four patches.
        let rollout = map([".....", "...##", "##...", "....."]);
        assert_eq!(zoom(&rollout, [4, 5], [0.0, 0.0, 50.0, 40.0]), Some([25.0, 5.0, 25.0, 20.0]));
    }

    #[test]
    fn nothing_to_gain_is_said() {
        let seen = [0.0, 0.0, 50.0, 40.0];
        assert_eq!(zoom(&[0.2; 20], [4, 5], seen), None, "an even map");
        assert_eq!(zoom(&map(["####.", "#####", "#####", "#####"]), [4, 5], seen), None, "nearly everything");
        assert_eq!(zoom(&[0.2; 19], [4, 5], seen), None, "another grid");
        assert_eq!(zoom(&[], [0, 0], seen), None);
        assert_eq!(zoom(&[f32::NAN; 20], [4, 5], seen), None);
    }

    proptest! {
        #[test]
        fn a_region_lies_within_what_was_seen(
            rollout in prop::collection::vec(0f32..1.0, 12 * 7),
            seen in [0f64..100.0, 0f64..100.0, 1f64..4000.0, 1f64..4000.0],
        ) {
            if let Some([x, y, width, height]) = zoom(&rollout, [12, 7], seen) {
                let [left, top, wide, high] = seen;
                prop_assert!(width > 0.0 && height > 0.0);
                prop_assert!(x >= left - 1e-6 && x + width <= left + wide + 1e-6);
                prop_assert!(y >= top - 1e-6 && y + height <= top + high + 1e-6);
                prop_assert!(width * height <= MOST * wide * high * (1.0 + 1e-9));
            }
        }
    }
}

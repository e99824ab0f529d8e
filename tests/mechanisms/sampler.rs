//! What must hold of the sampler's coordinates for any attention.

use burn::tensor::{Device, Tensor, TensorData};
use finegrain::architecture::Tasn;
use finegrain::model::tasn::coordinates;
use proptest::prelude::*;

use crate::support::{Random, values};

/// Vertical and horizontal coordinates for one map `[height, width]`.
fn sample(map: &[f32], [height, width]: [usize; 2], settings: &Tasn) -> [Vec<f64>; 2] {
    let map = Tensor::<3>::from_data(TensorData::new(map.to_vec(), [1, height, width]), &Device::flex());
    coordinates(map, settings).map(|axis| values(&axis))
}

/// How many coordinates lie on pixels `from..from + length` of `n`.
fn inside(coordinates: &[f64], n: usize, from: usize, length: usize) -> usize {
    let position = |c: &f64| (c + 1.0) / 2.0 * (n - 1) as f64;
    let range = from as f64 - 0.5..(from + length) as f64 - 0.5;
    coordinates.iter().map(position).filter(|p| range.contains(p)).count()
}

fn assert_even(coordinates: &[f64]) {
    let count = coordinates.len() as f64;
    for (i, c) in coordinates.iter().enumerate() {
        let even = 2.0 * i as f64 / count - 1.0;
        assert!((c - even).abs() < 1e-6, "{c} at {i} of {count}, {even} is even");
    }
}

#[test]
fn nothing_to_look_at_gives_an_even_grid() {
    let axes = sample(&[0.0; 48], [6, 8], &Tasn::of_size([5, 7]));
    axes.iter().for_each(|axis| assert_even(axis));
}

#[test]
fn nothing_beyond_the_first_row_gives_even_rows() {
    let mut map = [0.0; 12];
    map[..4].copy_from_slice(&[1.0, 3.0, 2.0, 1.0]);
    let settings = Tasn { dense: 10.0, ..Tasn::of_size([5, 7]) };
    let [rows, columns] = sample(&map, [3, 4], &settings);
    // Rows are clipped at the columns' maximum, so something is left beyond the first.
    assert!(rows.windows(2).all(|pair| pair[0] < pair[1]) && columns.windows(2).all(|pair| pair[0] < pair[1]));
    let mut corner = [0.0; 4];
    corner[0] = 1.0;
    sample(&corner, [2, 2], &settings).iter().for_each(|axis| assert_even(axis));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn uniform_attention_gives_an_even_grid(
        height in 2usize..300, width in 2usize..300, rows in 1usize..120, columns in 1usize..120, value in 1e-6f32..1e3,
    ) {
        let axes = sample(&vec![value; height * width], [height, width], &Tasn::of_size([rows, columns]));
        prop_assert_eq!(axes.each_ref().map(Vec::len), [rows, columns]);
        axes.iter().for_each(|axis| assert_even(axis));
    }

    #[test]
    fn coordinates_never_decrease_and_stay_inside(
        height in 2usize..80, width in 2usize..80, rows in 1usize..90, columns in 1usize..90,
        // From nearly even to a few bright points in the dark.
        sharpness in 0.0f64..60.0, dense in 0.5f32..8.0, rounds in 1usize..8, seed in any::<u64>(),
    ) {
        let mut random = Random(seed);
        let map: Vec<f32> = (0..height * width).map(|_| random.real().abs().powf(sharpness) as f32).collect();
        let settings = Tasn { dense, rounds, ..Tasn::of_size([rows, columns]) };
        for axis in sample(&map, [height, width], &settings) {
            prop_assert!(axis.iter().all(|c| (-1.0..=1.0).contains(c)), "{axis:?}");
            prop_assert!(axis.windows(2).all(|pair| pair[0] <= pair[1]), "{axis:?}");
        }
    }

    #[test]
    fn the_densest_part_is_where_the_attention_is(
        height in 24usize..120, width in 24usize..120, at in (0.0f64..1.0, 0.0f64..1.0), bright in 1.5f32..200.0,
    ) {
        // A bright rectangle, a quarter of each side, on an even background.
        let sides = [height / 4, width / 4];
        let corner = [(at.0 * (height - sides[0]) as f64) as usize, (at.1 * (width - sides[1]) as f64) as usize];
        let map: Vec<f32> = (0..height * width)
            .map(|i| {
                let place = [i / width, i % width];
                let bright_here = (0..2).all(|a| (corner[a]..corner[a] + sides[a]).contains(&place[a]));
                if bright_here { bright } else { 1.0 }
            })
            .collect();
        let axes = sample(&map, [height, width], &Tasn::of_size([height, width]));
        for (axis, (coordinates, n)) in axes.iter().zip([height, width]).enumerate() {
            let looked_at = inside(coordinates, n, corner[axis], sides[axis]);
            prop_assert!(looked_at + 1 >= sides[axis], "{looked_at} of {} rows", sides[axis]);
            if bright > 2.0 {
                prop_assert!(looked_at > sides[axis] + 1, "no denser than an even grid: {looked_at}, {}", sides[axis]);
            }
            for from in 0..=n - sides[axis] {
                let elsewhere = inside(coordinates, n, from, sides[axis]);
                // One more or less lies on the border.
                prop_assert!(elsewhere <= looked_at + 1, "{elsewhere} from {from}, {looked_at} where the attention is");
            }
        }
    }
}

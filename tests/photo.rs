//! The way of a photo from its pixels to the network's input, held against Pillow and torchvision.
//!
//! The expected images are made by `tests/tools/make_photo_fixtures.py`.
#![allow(clippy::unwrap_used, reason = "tests")]

use finegrain::photo::{Fit, Incoming, MAX_PIXELS, Photo, PhotoError, Preprocessing, resize};
use finegrain::tensors::TensorMap;

fn fixtures() -> TensorMap {
    TensorMap::read(include_bytes!("fixtures/photo/resize.safetensors")).unwrap()
}

fn photo(fixtures: &TensorMap, name: &str) -> Photo {
    let shape = &fixtures.get(name).unwrap().shape;
    let rgb = fixtures.integers(name).unwrap().iter().map(|&v| u8::try_from(v).unwrap()).collect();
    Photo::from_rgb(shape[1] as u32, shape[0] as u32, rgb).unwrap()
}

/// Every value of every pixel within 1 of 255.
fn assert_near(found: &Photo, expected: &Photo, name: &str) {
    assert_eq!((found.width(), found.height()), (expected.width(), expected.height()), "{name}");
    for (place, (a, b)) in found.rgb().iter().zip(expected.rgb()).enumerate() {
        assert!(a.abs_diff(*b) <= 1, "{name}: value {place} is {a}, Pillow has {b}");
    }
}

fn preprocessing(resize: usize, crop: [usize; 2]) -> Preprocessing {
    Preprocessing { resize, fit: Fit::Crop, crop, mean: [0.5; 3], std: [0.5; 3] }
}

#[test]
fn resizing_is_pillows_bicubic() {
    let fixtures = fixtures();
    let cases: Vec<_> = fixtures.iter().filter_map(|(name, _)| name.strip_suffix(".resized")).collect();
    assert_eq!(cases.len(), 6);
    for case in cases {
        let expected = photo(&fixtures, &format!("{case}.resized"));
        let source = photo(&fixtures, &format!("{case}.source"));
        assert_near(&resize(&source, expected.width(), expected.height()).unwrap(), &expected, case);
    }
}

#[test]
fn the_crop_is_torchvisions() {
    let fixtures = fixtures();
    let cases: Vec<_> = fixtures.iter().filter_map(|(name, _)| name.strip_suffix(".crop")).collect();
    assert_eq!(cases.len(), 4);
    for case in cases {
        let expected = photo(&fixtures, &format!("{case}.crop"));
        let short = fixtures.integers(&format!("{case}.short")).unwrap()[0] as usize;
        let settings = preprocessing(short, [expected.height() as usize, expected.width() as usize]);
        let source = photo(&fixtures, &format!("{case}.source"));
        assert_near(&settings.crop(&source).unwrap(), &expected, case);
    }
}

#[test]
fn a_stretched_photo_is_seen_whole() {
    let fixtures = fixtures();
    let source = photo(
        &fixtures,
        &fixtures.iter().find_map(|(name, _)| name.strip_suffix(".source")).map(|n| format!("{n}.source")).unwrap(),
    );
    let settings = Preprocessing { fit: Fit::Stretch, ..preprocessing(16, [16, 32]) };
    assert_eq!(settings.crop(&source).unwrap(), resize(&source, 32, 16).unwrap());
    assert_eq!(settings.region(300, 200), [0.0, 0.0, 300.0, 200.0]);
    // Half again as large, then the centre of it: the paper's 550 and 448.
    let cut = Preprocessing { fit: Fit::Stretch, ..preprocessing(24, [16, 32]) };
    let whole = resize(&source, 48, 24).unwrap();
    assert_eq!(cut.crop(&source).unwrap().rgb()[..96], whole.rgb()[(4 * 48 + 8) * 3..][..96]);
    assert_eq!(cut.region(300, 240), [50.0, 40.0, 200.0, 160.0]);
    assert_eq!(preprocessing(16, [16, 16]).region(300, 200), [50.0, 0.0, 200.0, 200.0]);
    assert!(Preprocessing { fit: Fit::Stretch, ..preprocessing(15, [16, 32]) }.apply(&source).is_err());
}

#[test]
fn planes_are_normalised_channel_by_channel() {
    let photo = Photo::from_rgb(2, 1, vec![0, 51, 255, 255, 102, 0]).unwrap();
    let settings =
        Preprocessing { resize: 1, fit: Fit::Crop, crop: [1, 1], mean: [0.0, 0.2, 0.5], std: [1.0, 0.5, 0.25] };
    let planes = settings.normalise(&photo);
    let expected = [0.0, 1.0, 0.0, 0.4, 2.0, -2.0];
    for (a, b) in planes.iter().zip(expected) {
        assert!((a - b).abs() < 1e-6, "{planes:?}");
    }
    assert_eq!(preprocessing(4, [4, 3]).apply(&photo).unwrap().len(), 3 * 4 * 3);
}

#[test]
fn transparency_lies_on_white() {
    let photo = Photo::from_rgba(3, 1, &[10, 20, 30, 255, 10, 20, 30, 0, 0, 100, 255, 128]).unwrap();
    assert_eq!(photo.rgb(), [10, 20, 30, 255, 255, 255, 127, 177, 255]);
}

#[test]
fn a_part_is_rounded_outwards_and_ends_where_the_photo_ends() {
    // 5 x 4 pixels whose red is 10 y + x.
    let photo = Photo::from_rgb(5, 4, (0..20u8).flat_map(|i| [10 * (i / 5) + i % 5, 0, 0]).collect()).unwrap();
    let red = |part| {
        let part = photo.part(part).unwrap();
        (part.width(), part.height(), part.rgb().iter().step_by(3).copied().collect::<Vec<_>>())
    };
    assert_eq!(red([1.2, 2.0, 1.0, 1.0]), (2, 1, vec![21, 22]));
    assert_eq!(red([3.0, 2.5, 9.0, 9.0]), (2, 2, vec![23, 24, 33, 34]));
    assert_eq!(red([-1.0, -1.0, 2.0, 2.0]), (1, 1, vec![0]));
    assert_eq!(photo.part([0.0, 0.0, 5.0, 4.0]).unwrap(), photo);
    for outside in [[5.0, 0.0, 1.0, 1.0], [0.0, -2.0, 5.0, 2.0], [0.0, 0.0, 0.0, 4.0], [f64::NAN, 0.0, 1.0, 1.0]] {
        assert!(matches!(photo.part(outside), Err(PhotoError::Part { .. })), "{outside:?}");
    }
}

#[test]
fn impossible_photos_are_refused() {
    assert!(matches!(Photo::from_rgb(0, 5, vec![]), Err(PhotoError::Empty { .. })));
    assert!(matches!(Photo::from_rgb(2, 2, vec![0; 11]), Err(PhotoError::Length { expected: 12, found: 11, .. })));
    assert!(matches!(Photo::from_rgba(2, 2, &[0; 12]), Err(PhotoError::Length { expected: 16, .. })));
    let large = Photo::check_size(12_000, 9_000).unwrap_err().to_string();
    assert!(large.contains("108 megapixels") && large.contains("at most 64"), "{large}");
    assert!(Photo::check_size(u32::MAX, u32::MAX).is_err());
    assert!(Photo::check_size(8_000, 8_000).is_ok() && MAX_PIXELS == 64_000_000);
}

#[test]
fn a_photo_that_would_explode_is_refused() {
    let line = Photo::from_rgb(50_000, 1, vec![7; 150_000]).unwrap();
    let error = preprocessing(256, [224, 224]).apply(&line).unwrap_err();
    assert!(matches!(error, PhotoError::TooNarrow { width: 50_000, height: 1, .. }), "{error}");
}

#[test]
fn bands_of_rows_give_what_the_whole_photo_gives() {
    for (width, height, band) in [(97u32, 61u32, 7usize), (61, 97, 1), (300, 301, 300), (5, 40, 3), (41, 41, 41)] {
        let rgb: Vec<u8> = (0..width * height * 3).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let photo = Photo::from_rgb(width, height, rgb.clone()).unwrap();
        for fit in [Fit::Crop, Fit::Stretch] {
            let settings = Preprocessing { fit, ..preprocessing(37, [32, 29]) };
            let mut incoming = Incoming::new(&settings, width, height).unwrap();
            for rows in rgb.chunks(band * width as usize * 3) {
                incoming.push(rows).unwrap();
            }
            assert_eq!(
                incoming.finish().unwrap(),
                settings.apply(&photo).unwrap(),
                "{width} x {height} by {band}, {fit:?}"
            );
        }
    }
}

#[test]
fn bands_that_do_not_add_up_are_refused() {
    let settings = preprocessing(4, [4, 4]);
    let mut incoming = Incoming::new(&settings, 5, 6).unwrap();
    let refused = |result: Result<(), PhotoError>| matches!(result, Err(PhotoError::Length { .. }));
    assert!(refused(incoming.push(&[])) && refused(incoming.push(&[0; 14])) && refused(incoming.push(&[0; 7 * 15])));
    incoming.push(&[0; 5 * 15]).unwrap();
    assert!(refused(incoming.push(&[0; 2 * 15])), "a row too many");
    assert!(refused(incoming.clone().finish().map(drop)), "a row is missing");
    incoming.push(&[0; 15]).unwrap();
    assert_eq!(incoming.finish().unwrap().len(), 3 * 4 * 4);
    for (width, height) in [(0, 6), (12_000, 9_000), (50_000, 1)] {
        assert!(Incoming::new(&preprocessing(256, [224, 224]), width, height).is_err(), "{width} x {height}");
    }
}

#[test]
fn impossible_settings_are_named() {
    let photo = Photo::from_rgb(4, 4, vec![0; 48]).unwrap();
    let good = preprocessing(4, [4, 4]);
    good.apply(&photo).unwrap();
    for (broken, word) in [
        (Preprocessing { resize: 0, ..good.clone() }, "resize"),
        (Preprocessing { resize: usize::MAX, ..good.clone() }, "resize"),
        (Preprocessing { crop: [5, 4], ..good.clone() }, "crop"),
        (Preprocessing { crop: [4, 0], ..good.clone() }, "crop"),
        (Preprocessing { std: [0.5, 0.0, 0.5], ..good.clone() }, "std"),
        (Preprocessing { mean: [f32::NAN, 0.0, 0.5], ..good.clone() }, "mean"),
    ] {
        let error = broken.apply(&photo).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

//! Photos in every guise that cameras and programs give them, and files that are none.
//!
//! `tests/tools/make_decode_fixtures.py` makes them: one picture, 48 x 32, red and green above blue and yellow.

use std::fs;

use finegrain::photo::Photo;
use finegrain_native::decode::{DecodeError, decode, decode_bytes};

use crate::program::photo;

const RED: [u8; 3] = [200, 40, 40];
const GREEN: [u8; 3] = [40, 160, 60];
const BLUE: [u8; 3] = [50, 60, 180];
const YELLOW: [u8; 3] = [210, 190, 50];
const WHITE: [u8; 3] = [255, 255, 255];

/// The middles of the quarters, in reading order, each channel within `tolerance`.
fn assert_quarters(name: &str, photo: &Photo, expected: [[u8; 3]; 4], tolerance: u8) {
    assert_eq!((photo.width(), photo.height()), (48, 32), "{name}");
    for ((x, y), colour) in [(12, 8), (36, 8), (12, 24), (36, 24)].into_iter().zip(expected) {
        let start = 3 * (y * 48 + x);
        let pixel = &photo.rgb()[start..start + 3];
        for (found, expected) in pixel.iter().zip(colour) {
            assert!(found.abs_diff(expected) <= tolerance, "{name}: {pixel:?} at {x}, {y}, expected {colour:?}");
        }
    }
}

#[test]
fn every_guise_gives_the_same_picture() {
    let upright = [RED, GREEN, BLUE, YELLOW];
    for (name, tolerance) in [
        ("plain.png", 0),
        ("plain.webp", 0),
        ("sixteen_bit.png", 0),
        ("exif_1.jpg", 4),
        ("exif_2.jpg", 4),
        ("exif_3.jpg", 4),
        ("exif_4.jpg", 4),
        ("exif_5.jpg", 4),
        ("exif_6.jpg", 4),
        ("exif_7.jpg", 4),
        ("exif_8.jpg", 4),
        ("progressive.jpg", 4),
        ("cmyk.jpg", 6),
    ] {
        assert_quarters(name, &decode(&photo(name)).unwrap(), upright, tolerance);
    }
}

#[test]
fn grey_becomes_colour_and_transparency_white() {
    // ITU-R 601, as Pillow made the file.
    let grey = |[r, g, b]: [u8; 3]| [(0.299 * f32::from(r) + 0.587 * f32::from(g) + 0.114 * f32::from(b)) as u8; 3];
    let found = decode(&photo("grey.jpg")).unwrap();
    assert_quarters("grey.jpg", &found, [grey(RED), grey(GREEN), grey(BLUE), grey(YELLOW)], 4);
    let found = decode(&photo("alpha.png")).unwrap();
    assert_quarters("alpha.png", &found, [RED, WHITE, BLUE, WHITE], 0);
}

#[test]
fn files_that_are_no_photo_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let jpeg = fs::read(photo("exif_6.jpg")).unwrap();
    let png = fs::read(photo("plain.png")).unwrap();
    let mut broken = png.clone();
    let middle = broken.len() / 2;
    broken[middle..middle + 8].fill(0);
    for (path, words) in [
        (file("notes.jpg", b"these are words, not a photo"), "not a photo in a known format"),
        (file("empty.jpg", b""), "the file is empty"),
        (file("cut.jpg", &jpeg[..jpeg.len() * 2 / 3]), "cut off"),
        (file("head.jpg", &jpeg[..40]), "cut off"),
        (file("cut.png", &png[..png.len() * 2 / 3]), "cut off"),
        (file("broken.png", &broken), "damaged"),
        (folder.path().to_owned(), "it is a folder"),
        (folder.path().join("none.jpg"), "there is no such file"),
        (photo("huge.png"), "12000 x 9000 pixels (108 megapixels), at most 64"),
    ] {
        let text = decode(&path).unwrap_err().to_string();
        assert!(text.contains(words) && text.contains(&path.display().to_string()), "{text}");
        assert!(!text.contains('\n'), "one sentence: {text}");
    }
}

#[test]
fn every_cut_of_a_jpeg_is_refused() {
    let jpeg = fs::read(photo("exif_6.jpg")).unwrap();
    decode_bytes(&jpeg, "whole").unwrap();
    for end in (4..jpeg.len()).step_by(7) {
        let error = decode_bytes(&jpeg[..end], "cut").unwrap_err();
        assert!(matches!(error, DecodeError::Truncated { .. }), "cut after {end}: {error}");
    }
}

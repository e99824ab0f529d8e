//! Reading MATLAB 5 files.

use std::collections::BTreeMap;

use finegrain_native::data::mat::{self, Value};

use crate::write;

#[test]
fn matlab_files_are_read_compressed_and_not() {
    let doubles: Vec<u8> = [1.5f64, -2.0].map(f64::to_le_bytes).concat();
    let shorts: Vec<u8> = [-300i16, 7, 9].map(i16::to_le_bytes).concat();
    let variables = [
        write::array(6, "doubles", [1, 2], &[write::element(9, &doubles)]),
        write::array(6, "packed", [3, 1], &[write::element(3, &shorts)]),
        write::cells("names", &[write::text("AM General"), write::text("é")]),
        write::records(
            "table",
            &["a", "b"],
            &[vec![write::number(3), write::text("x")], vec![write::number(4), write::text("")]],
        ),
    ];
    let record = |a: f64, b: &str| {
        BTreeMap::from([("a".to_owned(), Value::Numbers(vec![a])), ("b".to_owned(), Value::Text(b.into()))])
    };
    for compressed in [false, true] {
        let read = mat::read(&write::file(&variables, compressed)).unwrap();
        assert_eq!(read["doubles"], Value::Numbers(vec![1.5, -2.0]));
        assert_eq!(read["packed"], Value::Numbers(vec![-300.0, 7.0, 9.0]));
        assert_eq!(read["names"], Value::Cells(vec![Value::Text("AM General".into()), Value::Text("é".into())]));
        assert_eq!(read["table"], Value::Records(vec![record(3.0, "x"), record(4.0, "")]));
    }
}

#[test]
fn damaged_matlab_files_are_refused_wherever_they_are_cut() {
    let file = write::file(&[write::cells("names", &[write::text("one"), write::text("two")])], false);
    for end in 0..file.len() {
        // Cut right after the header it is a file without variables.
        assert!(mat::read(&file[..end]).is_err() || end == 128, "cut at {end}");
    }
    let mut huge = write::array(1, "names", [i32::MAX, i32::MAX], &[]);
    huge = write::file(&[huge], false);
    assert!(mat::read(&huge).unwrap_err().to_string().contains("more elements than it has bytes"));
    let mut nested = write::cells("", &[]);
    for _ in 0..64 {
        nested = write::cells("", &[nested]);
    }
    assert!(mat::read(&write::file(&[nested], true)).unwrap_err().to_string().contains("nested too deeply"));
    let mut big_endian = file.clone();
    big_endian[126..128].copy_from_slice(b"MI");
    assert!(mat::read(&big_endian).unwrap_err().to_string().contains("big-endian"));
}

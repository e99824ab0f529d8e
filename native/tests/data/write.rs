//! A MATLAB 5 file, written as the format's document says, for the reader to read.

use std::io::Write;

pub(crate) fn element(kind: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = [kind.to_le_bytes(), (data.len() as u32).to_le_bytes()].concat();
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// Up to four bytes share the tag.
pub(crate) fn small(kind: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = [kind.to_le_bytes(), (data.len() as u16).to_le_bytes()].concat();
    bytes.extend(data);
    bytes.resize(8, 0);
    bytes
}

pub(crate) fn array(class: u8, name: &str, dims: [i32; 2], content: &[Vec<u8>]) -> Vec<u8> {
    let mut data = element(6, &[class, 0, 0, 0, 0, 0, 0, 0]);
    data.extend(element(5, &dims.map(i32::to_le_bytes).concat()));
    data.extend(element(1, name.as_bytes()));
    data.extend(content.concat());
    element(14, &data)
}

pub(crate) fn text(value: &str) -> Vec<u8> {
    array(4, "", [1, value.len() as i32], &[element(16, value.as_bytes())])
}

pub(crate) fn number(value: u8) -> Vec<u8> {
    array(6, "", [1, 1], &[small(2, &[value])])
}

pub(crate) fn cells(name: &str, cells: &[Vec<u8>]) -> Vec<u8> {
    array(1, name, [1, cells.len() as i32], cells)
}

pub(crate) fn records(name: &str, fields: &[&str], records: &[Vec<Vec<u8>>]) -> Vec<u8> {
    let names: Vec<u8> = fields
        .iter()
        .flat_map(|field| {
            let mut bytes = field.as_bytes().to_vec();
            bytes.resize(8, 0);
            bytes
        })
        .collect();
    let mut content = vec![small(5, &8i32.to_le_bytes()), element(1, &names)];
    content.extend(records.iter().map(|record| record.concat()));
    array(2, name, [1, records.len() as i32], &content)
}

pub(crate) fn file(variables: &[Vec<u8>], compressed: bool) -> Vec<u8> {
    let mut bytes = vec![b' '; 124];
    bytes.extend([0, 1, b'I', b'M']);
    for variable in variables {
        if compressed {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(variable).unwrap();
            let packed = encoder.finish().unwrap();
            bytes.extend([15u32.to_le_bytes(), (packed.len() as u32).to_le_bytes()].concat());
            bytes.extend(packed);
        } else {
            bytes.extend(variable);
        }
    }
    bytes
}

/// An array of small whole numbers.
pub(crate) fn numbers(name: &str, values: &[u8]) -> Vec<u8> {
    array(6, name, [values.len() as i32, 1], &[element(2, values)])
}

/// A list of Stanford Cars: class and file name of each photo.
pub(crate) fn annotations(list: &[(u8, &str)]) -> Vec<u8> {
    let list: Vec<_> = list.iter().map(|(class, name)| vec![number(*class), text(name)]).collect();
    file(&[records("annotations", &["class", "fname"], &list)], true)
}

/// A list of Stanford Dogs: file name and label of each photo.
pub(crate) fn dogs(list: &[(&str, u8)]) -> Vec<u8> {
    let names: Vec<_> = list.iter().map(|(name, _)| text(name)).collect();
    let labels: Vec<u8> = list.iter().map(|(_, label)| *label).collect();
    file(&[cells("file_list", &names), cells("annotation_list", &[]), numbers("labels", &labels)], true)
}

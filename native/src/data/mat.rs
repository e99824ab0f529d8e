//! MATLAB 5 files, as far as data sets use them: numbers, text, cell arrays and struct arrays, compressed or not.
//!
//! Source: "MAT-File Format", The MathWorks, chapter 1. No crate reads structs and cells.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use flate2::read::ZlibDecoder;

use super::{DataError, files};

/// The value of a variable, cell or field; shapes are dropped, elements are in column-major order.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A numeric or logical array, whatever its type in the file.
    Numbers(Vec<f64>),
    /// A character array of one row.
    Text(String),
    /// A cell array.
    Cells(Vec<Value>),
    /// A struct array: each element with its fields.
    Records(Vec<BTreeMap<String, Value>>),
}

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
#[error("this is not a readable MATLAB 5 file ({0})")]
pub struct MatError(&'static str);

type Result<T> = std::result::Result<T, MatError>;

/// A variable may not unpack to more than this many bytes, nor nest deeper, nor hold more elements than bytes.
const MAX_BYTES: u64 = 256 << 20;
const MAX_DEPTH: usize = 8;

const MI_MATRIX: u32 = 14;
const MI_COMPRESSED: u32 = 15;

/// Reads every variable of the file at `path`; `kind` names the data set in the error.
pub(super) fn open(path: &Path, kind: &'static str) -> std::result::Result<BTreeMap<String, Value>, DataError> {
    read(&files::read(path, kind)?).map_err(|error| DataError::Mat { path: path.into(), problem: error.to_string() })
}

/// Reads every variable of a file.
///
/// # Errors
/// [`MatError`] for another version, a big-endian file, a damaged file, or a kind of array that no data set uses.
pub fn read(bytes: &[u8]) -> Result<BTreeMap<String, Value>> {
    let header = bytes.get(..128).ok_or(MatError("it is shorter than its header"))?;
    match &header[126..128] {
        b"IM" => {}
        b"MI" => return Err(MatError("big-endian files are not supported")),
        _ => return Err(MatError("the header is that of another format")),
    }
    let mut variables = BTreeMap::new();
    let mut cursor = Cursor(&bytes[128..]);
    while !cursor.0.is_empty() {
        let (kind, data) = cursor.element()?;
        let unpacked;
        let (kind, data) = if kind == MI_COMPRESSED {
            let mut buffer = Vec::new();
            ZlibDecoder::new(data)
                .take(MAX_BYTES + 1)
                .read_to_end(&mut buffer)
                .map_err(|_| MatError("compressed data is damaged"))?;
            if buffer.len() as u64 > MAX_BYTES {
                return Err(MatError("a variable is larger than 256 MiB"));
            }
            unpacked = buffer;
            Cursor(&unpacked).element()?
        } else {
            (kind, data)
        };
        if kind == MI_MATRIX {
            let (name, value) = matrix(data, 0)?;
            variables.insert(name, value);
        }
    }
    Ok(variables)
}

/// Reads one element after another.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count).ok_or(MatError("it ends too early"))?;
        self.0 = rest;
        Ok(head)
    }

    fn word(&mut self) -> Result<u32> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// A tagged element: its type and its data. Four bytes or fewer may share the tag's eight bytes.
    fn element(&mut self) -> Result<(u32, &'a [u8])> {
        let tag = self.word()?;
        if tag >> 16 != 0 {
            let (kind, size) = (tag & 0xffff, (tag >> 16) as usize);
            let data = self.take(4)?.get(..size).ok_or(MatError("a short element is too long"))?;
            return Ok((kind, data));
        }
        let size = self.word()? as usize;
        let data = self.take(size)?;
        // Compressed elements are packed without padding, all others end on a multiple of eight bytes.
        if tag != MI_COMPRESSED {
            let padding = (8 - size % 8) % 8;
            self.take(padding.min(self.0.len()))?;
        }
        Ok((tag, data))
    }
}

/// The content of an array element: its name and its value.
fn matrix(data: &[u8], depth: usize) -> Result<(String, Value)> {
    if depth > MAX_DEPTH {
        return Err(MatError("arrays are nested too deeply"));
    }
    if data.is_empty() {
        return Ok((String::new(), Value::Numbers(Vec::new())));
    }
    let mut cursor = Cursor(data);
    let (_, flags) = cursor.element()?;
    let class = *flags.first().ok_or(MatError("array flags are missing"))?;
    let (_, dims) = cursor.element()?;
    let count = dims
        .as_chunks::<4>()
        .0
        .iter()
        .try_fold(1usize, |product, d| product.checked_mul(u32::from_le_bytes(*d) as usize))
        .filter(|count| *count <= data.len())
        .ok_or(MatError("an array claims more elements than it has bytes"))?;
    let (_, name) = cursor.element()?;
    let name = String::from_utf8_lossy(name).into_owned();
    let nested = |cursor: &mut Cursor<'_>| -> Result<Value> {
        let (kind, data) = cursor.element()?;
        if kind != MI_MATRIX {
            return Err(MatError("a cell or field is no array"));
        }
        Ok(matrix(data, depth + 1)?.1)
    };
    let value = match class {
        1 => Value::Cells((0..count).map(|_| nested(&mut cursor)).collect::<Result<_>>()?),
        2 => {
            let (_, width) = cursor.element()?;
            let width = width.first_chunk::<4>().map(|w| u32::from_le_bytes(*w) as usize);
            let width = width.filter(|w| *w > 0).ok_or(MatError("a struct has no field names"))?;
            let (_, names) = cursor.element()?;
            let fields: Vec<String> = names.chunks(width).map(field_name).collect();
            let mut records = Vec::with_capacity(count);
            for _ in 0..count {
                let mut record = BTreeMap::new();
                for field in &fields {
                    record.insert(field.clone(), nested(&mut cursor)?);
                }
                records.push(record);
            }
            Value::Records(records)
        }
        4 => {
            let (kind, data) = cursor.element()?;
            Value::Text(text(kind, data)?)
        }
        6..=15 => {
            let (kind, data) = cursor.element()?;
            Value::Numbers(numbers(kind, data)?)
        }
        _ => return Err(MatError("it holds a kind of array that is not supported")),
    };
    Ok((name, value))
}

fn field_name(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

fn text(kind: u32, data: &[u8]) -> Result<String> {
    let utf16 = || {
        let units: Vec<u16> = data.as_chunks::<2>().0.iter().map(|c| u16::from_le_bytes(*c)).collect();
        String::from_utf16_lossy(&units)
    };
    match kind {
        1 | 2 | 16 => Ok(String::from_utf8_lossy(data).into_owned()),
        4 | 17 => Ok(utf16()),
        _ => Err(MatError("text is stored in an unknown encoding")),
    }
}

/// MATLAB stores numbers in the smallest type that holds them, whatever the array's class.
fn numbers(kind: u32, data: &[u8]) -> Result<Vec<f64>> {
    fn each<const N: usize>(data: &[u8], convert: impl Fn([u8; N]) -> f64) -> Vec<f64> {
        data.as_chunks::<N>().0.iter().map(|chunk| convert(*chunk)).collect()
    }
    Ok(match kind {
        1 => each(data, |b: [u8; 1]| f64::from(i8::from_le_bytes(b))),
        2 => each(data, |b: [u8; 1]| f64::from(b[0])),
        3 => each(data, |b| f64::from(i16::from_le_bytes(b))),
        4 => each(data, |b| f64::from(u16::from_le_bytes(b))),
        5 => each(data, |b| f64::from(i32::from_le_bytes(b))),
        6 => each(data, |b| f64::from(u32::from_le_bytes(b))),
        7 => each(data, |b| f64::from(f32::from_le_bytes(b))),
        9 => each(data, f64::from_le_bytes),
        12 => each(data, |b| i64::from_le_bytes(b) as f64),
        13 => each(data, |b| u64::from_le_bytes(b) as f64),
        _ => return Err(MatError("numbers are stored in an unknown type")),
    })
}

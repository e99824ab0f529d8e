//! Files of a data set: lists whose lines are "key value", folders of photos, and paths that stay inside.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use super::DataError;

const EXTENSIONS: [&str; 8] = ["jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff"];

/// Reads a small file whole; `kind` names the data set in the error.
pub(super) fn read(path: &Path, kind: &'static str) -> Result<Vec<u8>, DataError> {
    std::fs::read(path).map_err(|source| DataError::Read { path: path.into(), kind, source })
}

/// What lies in a folder, sorted: the order of a directory is the file system's whim, runs must repeat.
pub(super) fn folder(dir: &Path, kind: &'static str) -> Result<Vec<PathBuf>, DataError> {
    let error = |source| DataError::Read { path: dir.into(), kind, source };
    let mut paths = std::fs::read_dir(dir)
        .map_err(error)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(error)?;
    paths.sort();
    Ok(paths)
}

/// True for the name of a photo; `Thumbs.db`, notes and hidden files (`._a.jpg` of macOS) are none.
pub(super) fn is_photo(path: &Path) -> bool {
    let hidden = path.file_name().and_then(|n| n.to_str()).is_none_or(|name| name.starts_with('.'));
    let extension = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    !hidden && extension.is_some_and(|e| EXTENSIONS.contains(&e.as_str()))
}

/// True for "a/b.jpg", false for "/a", "../a" and "": a list names photos of its own data set.
pub(super) fn stays_inside(name: &str) -> bool {
    let path = Path::new(name);
    path.components().next().is_some() && path.components().all(|part| matches!(part, Component::Normal(_)))
}

/// The first of `names` under `dir` that exists, or the first of all, for the error that follows.
pub(super) fn first_existing(dir: &Path, names: &[&str]) -> PathBuf {
    let mut paths = names.iter().map(|name| dir.join(name));
    paths.clone().find(|path| path.exists()).or_else(|| paths.next()).unwrap_or_else(|| dir.into())
}

/// A text list, one "key value" a line; the value may hold spaces and the key may not.
pub(super) struct List {
    path: PathBuf,
    pub(super) lines: Vec<Line>,
}

/// A line of a [`List`].
pub(super) struct Line {
    number: usize,
    pub(super) key: String,
    pub(super) value: String,
}

impl List {
    /// Reads a list whose lines are "key value"; empty lines are passed over, no key may come twice.
    pub(super) fn read(path: PathBuf, kind: &'static str) -> Result<Self, DataError> {
        Self::parse(path, kind, |text| text.split_once(' ').map(|(key, value)| (key, value.trim())), "key value")
    }

    /// Reads a list of names, spaces and all; the values are empty.
    pub(super) fn names(path: PathBuf, kind: &'static str) -> Result<Self, DataError> {
        Self::parse(path, kind, |text| Some((text, "")), "name")
    }

    fn parse(
        path: PathBuf,
        kind: &'static str,
        split: impl Fn(&str) -> Option<(&str, &str)>,
        expected: &str,
    ) -> Result<Self, DataError> {
        let bytes = read(&path, kind)?;
        let mut list = Self { path, lines: Vec::new() };
        let mut seen = HashSet::new();
        for (i, text) in String::from_utf8_lossy(&bytes).lines().enumerate() {
            let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
            if text.is_empty() {
                continue;
            }
            let error = |problem| DataError::Line { path: list.path.clone(), line: i + 1, problem };
            let (key, value) = split(text).ok_or_else(|| error(format!("expected \"{expected}\"")))?;
            if !seen.insert(key.to_owned()) {
                return Err(error(format!("\"{key}\" is listed twice")));
            }
            list.lines.push(Line { number: i + 1, key: key.into(), value: value.into() });
        }
        Ok(list)
    }

    /// An error about `line`.
    pub(super) fn error(&self, line: &Line, problem: String) -> DataError {
        DataError::Line { path: self.path.clone(), line: line.number, problem }
    }

    /// `name` under `dir`; an error where it would leave it.
    pub(super) fn photo(&self, line: &Line, dir: &Path, name: &str) -> Result<PathBuf, DataError> {
        if stays_inside(name) {
            Ok(dir.join(name))
        } else {
            Err(self.error(line, format!("\"{name}\" is not the name of a photo of this data set")))
        }
    }
}

//! The shader preprocessor, and naga's check of what it makes. Included by `build.rs` and by `tests/shaders.rs`.
//!
//! `#import name` puts `shaders/shared/name.wgsl` in its place; `#ifdef`, `#ifndef`, `#else`, `#endif` switch on the
//! defines of a line in `shaders/permutations`; a define with a value becomes a WGSL constant. Every line remembers the
//! file it came from, so an error names the line that a person wrote.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use naga::valid::{Capabilities, ValidationFlags, Validator};

/// What a specialisation defines that is for devices with subgroups only.
pub(crate) const SUBGROUP: &str = "SUBGROUP";
/// The same for matrix units (subgroup matrices of halves).
pub(crate) const SUBGROUP_MATRIX: &str = "SUBGROUP_MATRIX";

/// Names that are defined, with or without a value.
pub(crate) type Defines = Vec<(String, Option<String>)>;

/// A specialisation of a kernel, as `shaders/permutations` lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Permutation {
    /// The kernel's file, `shaders/<kernel>.wgsl`.
    pub kernel: String,
    /// Name of the specialisation, also of the pipeline.
    pub name: String,
    /// What it defines.
    pub defines: Defines,
}

impl Permutation {
    /// Whether it defines this.
    pub(crate) fn defines(&self, name: &str) -> bool {
        self.defines.iter().any(|(define, _)| define == name)
    }
}

/// A preprocessed shader.
#[derive(Debug, Default)]
pub(crate) struct Source {
    /// WGSL for naga.
    pub text: String,
    /// For each line of `text` the file and the line (from 1) it came from.
    pub origin: Vec<(PathBuf, usize)>,
    /// The bytes at the start of `text` with the constants of the specialisation; what follows may be other ones' text, too.
    pub constants: usize,
}

/// A shader that naga accepted.
pub(crate) struct Checked {
    /// The preprocessed source.
    pub source: Source,
    /// naga's view of it.
    pub module: naga::Module,
}

/// Reads `shaders/permutations`.
pub(crate) fn permutations(text: &str) -> Result<Vec<Permutation>, String> {
    let mut found: Vec<Permutation> = Vec::new();
    let mut kernel = Lines::default();
    for (index, line) in text.lines().enumerate() {
        let fail = |what: &str| Err(format!("shaders/permutations:{}: {what}", index + 1));
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some(rest) = line.strip_prefix(['+', '*']) else {
            found.append(&mut kernel.multiplied());
            kernel.name = Some(line.to_owned());
            continue;
        };
        let Some(file) = kernel.name.clone() else { return fail("a specialisation before the name of its kernel") };
        let (name, defines) = rest.split_once(':').unwrap_or((rest, ""));
        let name = name.trim().to_owned();
        let defines = defines
            .split_whitespace()
            .map(|define| match define.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (define.to_owned(), None),
            })
            .collect();
        if line.starts_with('*') {
            kernel.times.push((name, defines));
        } else {
            kernel.own.push(Permutation { kernel: file, name, defines });
        }
    }
    found.append(&mut kernel.multiplied());
    let mut names = BTreeSet::new();
    match found.iter().find(|permutation| !names.insert(&permutation.name)) {
        Some(twice) => Err(format!("shaders/permutations: the name {} is used twice", twice.name)),
        None => Ok(found),
    }
}

/// The lines of one kernel.
#[derive(Default)]
struct Lines {
    name: Option<String>,
    /// The lines with a plus.
    own: Vec<Permutation>,
    /// Those with a star: what each of the others is multiplied by.
    times: Vec<(String, Defines)>,
}

impl Lines {
    /// Every specialisation, and nothing left here.
    fn multiplied(&mut self) -> Vec<Permutation> {
        let own = std::mem::take(&mut self.own);
        if self.times.is_empty() {
            return own;
        }
        let mut all = Vec::new();
        for (suffix, defines) in std::mem::take(&mut self.times) {
            for Permutation { kernel, name, defines: first } in &own {
                let name = if suffix.is_empty() { name.clone() } else { format!("{name}_{suffix}") };
                let defines = first.iter().chain(&defines).cloned().collect();
                all.push(Permutation { kernel: kernel.clone(), name, defines });
            }
        }
        all
    }
}

/// Preprocesses `<root>/shaders/<kernel>.wgsl`.
pub(crate) fn preprocess(root: &Path, permutation: &Permutation) -> Result<Source, String> {
    let mut source = Source::default();
    for (name, value) in &permutation.defines {
        if let Some(value) = value {
            source.push(&format!("const {name} = {value};"), Path::new("shaders/permutations"), 1);
        }
    }
    source.constants = source.text.len();
    let mut pass = Pass { root, permutation, imported: BTreeSet::new(), source };
    pass.file(&Path::new("shaders").join(format!("{}.wgsl", permutation.kernel)))?;
    Ok(pass.source)
}

struct Pass<'a> {
    root: &'a Path,
    permutation: &'a Permutation,
    imported: BTreeSet<String>,
    source: Source,
}

impl Pass<'_> {
    fn file(&mut self, path: &Path) -> Result<(), String> {
        let text = std::fs::read_to_string(self.root.join(path)).map_err(|e| format!("{}: {e}", path.display()))?;
        // For each open `#ifdef`: its line, whether its lines are taken, whether `#else` was seen.
        let mut open: Vec<(usize, bool, bool)> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            let fail = |what: String| Err(format!("{}:{number}: {what}", path.display()));
            let mut words = line.split_whitespace();
            let taken = open.iter().all(|(_, taken, _)| *taken);
            match (words.next().unwrap_or_default(), words.next()) {
                ("#import", Some(name)) if taken && self.imported.insert(name.to_owned()) => {
                    let shared = Path::new("shaders/shared").join(format!("{name}.wgsl"));
                    if !self.root.join(&shared).is_file() {
                        return fail(format!("there is no {}", shared.display()));
                    }
                    self.file(&shared)?;
                }
                ("#import", Some(_)) => {}
                (word @ ("#ifdef" | "#ifndef"), Some(name)) => {
                    open.push((number, self.permutation.defines(name) == (word == "#ifdef"), false));
                }
                ("#else", None) => match open.last_mut() {
                    Some((_, taken, seen @ false)) => (*taken, *seen) = (!*taken, true),
                    _ => return fail("#else without #ifdef".into()),
                },
                ("#endif", None) if open.pop().is_none() => return fail("#endif without #ifdef".into()),
                ("#endif", None) => {}
                (word, _) if word.starts_with('#') => return fail(format!("unknown directive \"{}\"", line.trim())),
                _ if taken => self.source.push(line, path, number),
                _ => {}
            }
        }
        match open.first() {
            Some((line, ..)) => Err(format!("{}:{line}: #ifdef without #endif", path.display())),
            None => Ok(()),
        }
    }
}

impl Source {
    fn push(&mut self, line: &str, path: &Path, number: usize) {
        self.text.push_str(line);
        self.text.push('\n');
        self.origin.push((path.to_owned(), number));
    }

    /// The line of `text` (from 0) and the column (from 0) at a byte.
    fn place(&self, byte: usize) -> (usize, usize) {
        let before = &self.text[..byte.min(self.text.len())];
        let line = before.matches('\n').count();
        (line.min(self.origin.len().saturating_sub(1)), before.len() - before.rfind('\n').map_or(0, |at| at + 1))
    }

    /// A message with the lines it is about, each under the file and the line that a person wrote.
    fn report(&self, name: &str, message: &str, labels: &[(naga::Span, String)]) -> String {
        let mut text = format!("shader {name}: {message}");
        for (span, label) in labels {
            let Some(range) = span.to_range() else { continue };
            let (line, column) = self.place(range.start);
            let Some((path, number)) = self.origin.get(line) else { continue };
            let code = self.text.lines().nth(line).unwrap_or_default();
            let width = range.len().min(code.len().saturating_sub(column)).max(1);
            let gutter = " ".repeat(number.to_string().len());
            let _ = write!(
                text,
                "\n{gutter}--> {}:{number}:{}\n{gutter} |\n{number} | {code}\n{gutter} | {}{} {label}",
                path.display(),
                column + 1,
                " ".repeat(column),
                "^".repeat(width),
            );
        }
        text
    }
}

/// Parses and validates a shader as WebGPU would: without any extension, but for subgroups where it defines `SUBGROUP`, and
/// for halves and matrix units where it defines `SUBGROUP_MATRIX`.
pub(crate) fn check(permutation: &Permutation, source: Source) -> Result<Checked, String> {
    let name = &permutation.name;
    let module = naga::front::wgsl::parse_str(&source.text).map_err(|error| {
        let labels: Vec<_> = error.labels().map(|(span, label)| (span, label.to_owned())).collect();
        source.report(name, error.message(), &labels)
    })?;
    // `unpack2x16float` is WGSL's own; naga counts it apart for OpenGL's sake.
    let mut capabilities = Capabilities::default() | Capabilities::SHADER_FLOAT16_IN_FLOAT32;
    capabilities.set(Capabilities::SUBGROUP, permutation.defines(SUBGROUP));
    let matrix = Capabilities::COOPERATIVE_MATRIX | Capabilities::SHADER_FLOAT16;
    capabilities.set(matrix, permutation.defines(SUBGROUP_MATRIX));
    Validator::new(ValidationFlags::all(), capabilities).validate(&module).map_err(|error| {
        let mut message = error.as_inner().to_string();
        let mut cause = std::error::Error::source(error.as_inner());
        while let Some(inner) = cause {
            let _ = write!(message, ": {inner}");
            cause = inner.source();
        }
        source.report(name, &message, &error.spans().cloned().collect::<Vec<_>>())
    })?;
    Ok(Checked { source, module })
}

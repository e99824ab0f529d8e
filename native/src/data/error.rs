//! Why a data set could not be read.

use std::path::PathBuf;

/// Each is one sentence that names the file or folder.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file or folder that cannot be opened.
    #[error("cannot read \"{}\" ({source}); is this the folder of a {kind} data set?", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What was expected here.
        kind: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line of a list that is not as documented.
    #[error("\"{}\", line {line}: {problem}", path.display())]
    Line {
        /// The list.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A MATLAB file that is not as documented.
    #[error("\"{}\": {problem}", path.display())]
    Mat {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A photo whose name does not say what this data set's names say.
    #[error("\"{}\" is not named like a photo of {kind} ({problem}); is it from another data set?", path.display())]
    Name {
        /// The photo.
        path: PathBuf,
        /// The data set.
        kind: &'static str,
        /// What is wrong with the name.
        problem: String,
    },
    /// A folder that holds another data set than the one that was asked for.
    #[error("\"{}\" holds {found} (kind \"{key}\"), not {expected}", dir.display())]
    Other {
        /// The folder.
        dir: PathBuf,
        /// What was asked for.
        expected: &'static str,
        /// What is there.
        found: &'static str,
        /// How the command line and recipes call what is there.
        key: &'static str,
    },
    /// The data set lies in a folder of the folder that was named.
    #[error("\"{}\" is not the folder of a data set, but \"{}\" is ({found}): name that one", dir.display(), inner.display())]
    Inside {
        /// The folder that was named.
        dir: PathBuf,
        /// The folder to name.
        inner: PathBuf,
        /// What is there.
        found: &'static str,
    },
    /// Parts of several data sets in one folder.
    #[error("\"{}\" holds parts of several data sets: {found}; give each a folder of its own", dir.display())]
    Mixed {
        /// The folder.
        dir: PathBuf,
        /// Which.
        found: String,
    },
    /// None of the layouts that are known.
    #[error("\"{}\" has the layout of no data set that is known: {known}", dir.display())]
    Unknown {
        /// The folder.
        dir: PathBuf,
        /// What could be there.
        known: String,
    },
    /// A class that could not be named.
    #[error("a class has no name: give it one")]
    NoLabel,
    /// Two classes that could not be told apart.
    #[error("two classes have the name \"{0}\": rename one (\"_\" in a folder's name is shown as a space)")]
    SameLabel(String),
    /// Nothing to train on.
    #[error("class \"{0}\" has no training photo; add some or remove the class")]
    EmptyClass(String),
    /// Fewer identities than a batch has.
    #[error(
        "a batch has train.batch / reid.photos = {needed} identities, the data set has {found}: lower train.batch or raise \
         reid.photos"
    )]
    TooFewIdentities {
        /// In a batch.
        needed: usize,
        /// In the data set.
        found: usize,
    },
    /// Fewer than two classes.
    #[error("the data set has {0} classes, at least 2 are needed")]
    TooFewClasses(usize),
}

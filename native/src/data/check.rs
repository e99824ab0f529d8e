//! What a folder of photos is, how much of the data set is there, and what is wrong with it.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde::Serialize;

use super::detect::{Layout, detect};
use super::reid::{ReidDataset, ReidKind, ReidSample};
use super::{Broken, DataError, Dataset, find_broken, official};

/// What [`inspect`] finds; complete after [`Report::decode`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The folder.
    pub dir: PathBuf,
    /// The data set, or its versions that share the folder.
    pub parts: Vec<Part>,
    /// Photos that the lists name and that are not there.
    pub missing: Vec<PathBuf>,
    /// Photos that are listed more than once: a photo in training and test makes every figure worthless.
    pub repeated: Vec<PathBuf>,
    /// Photos that were decoded; null before that.
    pub decoded: Option<usize>,
    /// Photos that cannot be used, of those that are there.
    pub broken: Vec<Broken>,
    #[serde(skip)]
    photos: Vec<PathBuf>,
}

/// One data set, or one version of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// Name for people.
    pub dataset: &'static str,
    /// Name in recipes and on the command line.
    pub kind: &'static str,
    /// What classes are called here: "classes", or "identities" in re-identification.
    pub unit: &'static str,
    /// "train" and "test", or "train", "query" and "gallery".
    pub splits: Vec<Split>,
    /// Photos that are left out on purpose (Market-1501's -1).
    pub junk: usize,
    /// Classes that have no training photo: training refuses them.
    pub empty_classes: Vec<String>,
    /// Identities that training and test share and should not.
    pub shared_identities: Vec<String>,
    /// Why training would refuse this data set as a whole.
    pub untrainable: Option<String>,
}

/// The photos of one split as its lists or folders have them, and as they should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Split {
    /// "train", "test", "query" or "gallery".
    pub split: &'static str,
    /// Photos that are listed.
    pub photos: usize,
    /// Photos of the whole data set; null where nobody counts.
    pub official_photos: Option<usize>,
    /// Classes or identities that these photos show.
    pub classes: usize,
    /// Classes or identities of the whole data set.
    pub official_classes: Option<usize>,
}

/// Names the data set in `dir`, reads its lists and looks whether each photo is there; opens none.
///
/// # Errors
/// [`DataError`] when no data set is recognised, or when its lists cannot be read or contradict each other.
pub fn inspect(dir: &Path) -> Result<Report, DataError> {
    let mut report = Report { dir: dir.into(), ..Report::default() };
    for layout in detect(dir)? {
        let (part, photos) = match layout {
            Layout::Classes(kind) => classes(layout, Dataset::open(kind, dir)?),
            Layout::Identities(kind) => identities(kind, ReidDataset::open(kind, dir)?),
        };
        report.parts.push(part);
        report.photos.extend(photos);
    }
    let (mut seen, mut repeated) = (HashSet::new(), BTreeSet::new());
    for path in &report.photos {
        if !seen.insert(path) {
            repeated.insert(path.clone());
        }
    }
    report.repeated = repeated.into_iter().collect();
    report.photos.sort();
    report.photos.dedup();
    (report.photos, report.missing) = std::mem::take(&mut report.photos).into_iter().partition(|path| path.is_file());
    Ok(report)
}

impl Report {
    /// Photos that are there, each once.
    pub fn photos(&self) -> usize {
        self.photos.len()
    }

    /// Decodes every photo on all cores and notes those that are broken; see [`find_broken`].
    pub fn decode(&mut self, stop: &AtomicBool, watch: &(dyn Fn() + Sync)) {
        let paths: Vec<&Path> = self.photos.iter().map(PathBuf::as_path).collect();
        self.broken = find_broken(&paths, stop, watch);
        self.decoded = Some(paths.len());
    }

    /// True when everything that is listed is there, can be used and can be trained on. A part of an official data set
    /// can be sound.
    pub fn is_sound(&self) -> bool {
        self.missing.is_empty()
            && self.repeated.is_empty()
            && self.broken.is_empty()
            && self.parts.iter().all(Part::is_sound)
    }
}

impl Part {
    fn is_sound(&self) -> bool {
        self.empty_classes.is_empty() && self.shared_identities.is_empty() && self.untrainable.is_none()
    }

    /// True when a split has other counts than the official one.
    pub fn is_partial(&self) -> bool {
        self.splits.iter().any(|split| {
            split.official_photos.is_some_and(|official| official != split.photos)
                || split.official_classes.is_some_and(|official| official != split.classes)
        })
    }
}

fn classes(layout: Layout, dataset: Dataset) -> (Part, Vec<PathBuf>) {
    let splits = [("train", &dataset.train), ("test", &dataset.test)];
    let counted = splits.map(|(name, samples)| {
        let classes: HashSet<usize> = samples.iter().map(|sample| sample.class).collect();
        (name, samples.len(), classes.len())
    });
    let part = Part {
        empty_classes: dataset.empty_classes().map(str::to_owned).collect(),
        untrainable: match dataset.check_trainable() {
            Err(error @ DataError::TooFewClasses(_)) => Some(error.to_string()),
            _ => None,
        },
        ..Part::new(layout, "classes", &counted)
    };
    (part, dataset.train.into_iter().chain(dataset.test).map(|sample| sample.path).collect())
}

fn identities(kind: ReidKind, dataset: ReidDataset) -> (Part, Vec<PathBuf>) {
    let known = |samples: &[ReidSample]| -> HashSet<usize> {
        samples.iter().filter_map(|sample| sample.identity.known()).collect()
    };
    let splits = [("train", &dataset.train), ("query", &dataset.query), ("gallery", &dataset.gallery)];
    let counted = splits.map(|(name, samples)| (name, samples.len(), known(samples).len()));
    let tested: HashSet<usize> = known(&dataset.query).union(&known(&dataset.gallery)).copied().collect();
    // MSMT17 numbers the people of its test from 0 again; CUHK03-NP's conversions do not agree about it.
    let comparable = matches!(kind, ReidKind::Market1501 | ReidKind::DukeMtmc | ReidKind::Veri776);
    let shared = dataset.identities.iter().filter(|name| name.parse().is_ok_and(|number| tested.contains(&number)));
    let part = Part {
        junk: dataset.junk,
        shared_identities: if comparable { shared.cloned().collect() } else { Vec::new() },
        untrainable: dataset.check_trainable().err().map(|_| {
            format!("there are training photos of {} identities, at least 2 are needed", dataset.identities.len())
        }),
        ..Part::new(Layout::Identities(kind), "identities", &counted)
    };
    let photos = dataset.train.into_iter().chain(dataset.query).chain(dataset.gallery).map(|sample| sample.path);
    (part, photos.collect())
}

impl Part {
    /// `counted`: each split's name, photos and classes.
    fn new(layout: Layout, unit: &'static str, counted: &[(&'static str, usize, usize)]) -> Self {
        let official = official::counts(layout);
        let splits = counted.iter().enumerate().map(|(i, &(split, photos, classes))| {
            let official = official.as_ref().and_then(|counts| counts.get(i));
            Split {
                split,
                photos,
                official_photos: official.map(|counts| counts.photos),
                classes,
                official_classes: official.map(|counts| counts.classes),
            }
        });
        Self {
            dataset: layout.name(),
            kind: layout.key(),
            unit,
            splits: splits.collect(),
            junk: 0,
            empty_classes: Vec::new(),
            shared_identities: Vec::new(),
            untrainable: None,
        }
    }
}

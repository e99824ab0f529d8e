//! Data sets without lists: three folders, and identity and camera in each photo's name ("0002_c1s1_000451_03.jpg").

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Identity, ReidDataset, ReidKind, ReidSample};
use crate::data::{DataError, files};

/// Identity, camera and what follows in a photo's name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Name<'a> {
    /// As it is written: "0002", "-1".
    pub(super) identity: &'a str,
    /// -1: junk.
    pub(super) number: i64,
    pub(super) camera: usize,
    /// After the camera's number: "s1_000451_03".
    pub(super) rest: &'a str,
}

/// Splits "0002_c1s1_000451_03" as the official expression `([-\d]+)_c(\d+)` does.
pub(super) fn parse(stem: &str) -> Option<Name<'_>> {
    let (identity, rest) = stem.split_once("_c")?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let number: i64 = identity.parse().ok()?;
    let written_plainly = !identity.starts_with('+') && number >= -1;
    let name = Name { identity, number, camera: rest[..digits].parse().ok()?, rest: &rest[digits..] };
    written_plainly.then_some(name)
}

/// Three folders, and how their photos are named.
pub(super) struct Folders<'a> {
    pub(super) kind: ReidKind,
    pub(super) train: PathBuf,
    pub(super) query: PathBuf,
    pub(super) gallery: PathBuf,
    /// Whether what follows the camera's number is as this data set writes it.
    pub(super) like: fn(&str) -> bool,
    /// A name to show in errors.
    pub(super) example: &'a str,
    /// Whether identity 0 in the gallery is nobody.
    pub(super) distractors: bool,
}

impl Folders<'_> {
    pub(super) fn open(&self) -> Result<ReidDataset, DataError> {
        let mut labels = BTreeMap::new();
        let mut train = Vec::new();
        let photos = self.photos(&self.train)?;
        for photo in &photos {
            if let Identity::Known(number) = self.identity(photo, &self.train)? {
                // In the order of the numbers once all are known.
                labels.entry(number).or_insert_with(|| (0, photo.identity.clone()));
                train.push((number, photo));
            }
        }
        labels.values_mut().enumerate().for_each(|(label, entry)| entry.0 = label);
        let train = train.into_iter().map(|(number, photo)| photo.sample(Identity::Known(labels[&number].0))).collect();
        let query = self.photos(&self.query)?;
        let query = query.iter().map(|photo| Ok(photo.sample(self.identity(photo, &self.query)?)));
        let gallery = self.photos(&self.gallery)?;
        let (junk, gallery): (Vec<_>, Vec<_>) = gallery.iter().partition(|photo| photo.number < 0);
        let gallery = gallery.into_iter().map(|photo| Ok(photo.sample(self.identity(photo, &self.gallery)?)));
        Ok(ReidDataset {
            query: query.collect::<Result<_, DataError>>()?,
            gallery: gallery.collect::<Result<_, DataError>>()?,
            junk: junk.len(),
            identities: labels.into_values().map(|(_, name)| name).collect(),
            train,
        })
    }

    /// Whom the photo shows; nobody only where nobody may be.
    fn identity(&self, photo: &Photo, folder: &Path) -> Result<Identity, DataError> {
        match photo.number {
            0 if self.distractors && folder == self.gallery => Ok(Identity::Distractor),
            0 if self.distractors => Err(self.error(&photo.path, "identity 0000 belongs to the gallery alone".into())),
            number => usize::try_from(number)
                .map(Identity::Known)
                .map_err(|_| self.error(&photo.path, "identity -1 belongs to the gallery alone".into())),
        }
    }

    fn photos(&self, folder: &Path) -> Result<Vec<Photo>, DataError> {
        let paths = files::folder(folder, self.kind.name())?;
        let photos = paths.into_iter().filter(|path| files::is_photo(path)).map(|path| {
            let name = path.file_stem().and_then(|stem| stem.to_str()).and_then(parse);
            let Some(name) = name.filter(|name| (self.like)(name.rest)) else {
                return Err(self.error(&path, format!("expected a name like {}", self.example)));
            };
            let (number, camera, most) = (name.number, name.camera, self.kind.cameras());
            if camera == 0 || camera > most {
                return Err(self.error(&path, format!("camera {camera} is not one of 1 to {most}")));
            }
            Ok(Photo { identity: name.identity.to_owned(), number, camera, path })
        });
        photos.collect()
    }

    fn error(&self, path: &Path, problem: String) -> DataError {
        DataError::Name { path: path.into(), kind: self.kind.name(), problem }
    }
}

struct Photo {
    path: PathBuf,
    identity: String,
    number: i64,
    camera: usize,
}

impl Photo {
    fn sample(&self, identity: Identity) -> ReidSample {
        ReidSample { path: self.path.clone(), identity, camera: self.camera }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_as_the_official_expression_does() {
        let name = |identity, number, camera, rest| Some(Name { identity, number, camera, rest });
        assert_eq!(parse("0002_c1s1_000451_03"), name("0002", 2, 1, "s1_000451_03"));
        assert_eq!(parse("-1_c3s2_000401_03"), name("-1", -1, 3, "s2_000401_03"));
        assert_eq!(parse("0001_c2_f0046182"), name("0001", 1, 2, "_f0046182"));
        assert_eq!(parse("0001_c020_00016450_0"), name("0001", 1, 20, "_00016450_0"));
        for wrong in ["0002", "0002_c", "a_c1s1", "0002_cx", "-7_c1", "+2_c1", "_c1", ""] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}

//! The real data sets, where they are at hand.

use std::path::{Path, PathBuf};

use finegrain_native::data::check::inspect;
use finegrain_native::data::{Dataset, DatasetKind};

/// The folder of the real data sets, where there is one.
fn shared() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    std::env::var_os("FINEGRAIN_DATA").map(PathBuf::from).or_else(|| beside.is_dir().then_some(beside))
}

#[test]
fn the_real_data_sets_have_the_documented_counts() {
    let Some(shared) = shared() else {
        eprintln!("skipped: no data sets (set FINEGRAIN_DATA to their folder)");
        return;
    };
    for (kind, folder, counts, first) in [
        (DatasetKind::Cub, "CUB_200_2011", (100, 2999, 1948), "Black footed Albatross"),
        (DatasetKind::Cars, "stanford_cars", (196, 6280, 932), "AM General Hummer SUV 2000"),
    ] {
        let dir = shared.join(folder);
        if !dir.is_dir() {
            eprintln!("skipped: \"{}\" is not there", dir.display());
            continue;
        }
        let data = Dataset::open(kind, &dir).unwrap();
        assert_eq!((data.labels.len(), data.train.len(), data.test.len()), counts);
        assert_eq!(data.labels[0], first);
        data.check_trainable().unwrap();
        assert!(data.train.iter().chain(&data.test).all(|sample| sample.path.is_file()), "every photo is there");
        let training: std::collections::HashSet<_> = data.train.iter().map(|sample| &sample.path).collect();
        assert!(!data.test.iter().any(|sample| training.contains(&sample.path)), "the splits do not overlap");
        let report = inspect(&dir).unwrap();
        assert!(report.is_sound() && report.parts[0].is_partial(), "a part of the official data set, and sound");
        assert_eq!((report.parts[0].kind, report.photos()), (kind.key(), counts.1 + counts.2));
    }
}

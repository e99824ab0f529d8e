//! Re-identification, on generated photos in Market-1501's layout: persons of coloured clothes before two kinds of wall.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use finegrain::tensors::{Precision, TensorMap};
use finegrain_native::ablate::ablate;
use finegrain_native::measure::{Measures, Retrieval};
use finegrain_native::train::{Config, TrainOptions, train};
use image::{Rgb, RgbImage};

use super::place::{kill_and_resume, options};

/// The smallest network that has everything: GLCA, PWCA, bottlenecks, a grid of 8 x 4 patches.
const TINY: &str = r#"
id = "tiny-persons"
title = "Tiny persons"

[data]
kind = "market1501"

[model]
image_size = [32, 16]
patch_size = 4
dim = 32
depth = 2
heads = 2
mechanism = { name = "dcal", ratio = 0.3, glca = true, pwca = true }

[train]
epochs = 12
batch = 16
micro_batch = 4
workers = 2
lr = 2e-3
head_lr_factor = 1
warmup_epochs = 1
checkpoint_minutes = 1e-6
seed = 3

[augment]
crop_scale = [1.0, 1.0]
crop_aspect = [1.0, 1.0]
pad = 2

[pixels]
fit = "stretch"

[reid]
photos = 4
"#;

pub(crate) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new(recipe: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("recipe.toml"), recipe).unwrap();
        market(&folder.path().join("data"));
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn options(&self, out: &str) -> TrainOptions {
        options(self.folder.path(), out)
    }

    fn weights(&self, out: &str) -> Vec<u8> {
        fs::read(self.path(out).join("model.safetensors")).unwrap()
    }

    fn retrieval(&self, out: &str) -> Retrieval {
        Measures::read(&self.path(out)).unwrap().unwrap().retrieval.unwrap()
    }

    fn error(&self, set: &[&str]) -> String {
        let mut options = self.options("failing");
        options.set = set.iter().map(|&text| text.to_owned()).collect();
        format!("{:#}", train(&options).unwrap_err())
    }
}

/// Twelve persons to learn from, eight others to search for, each by three cameras; distractors and junk.
fn market(dir: &Path) {
    let mut shot = 0;
    let mut put = |folder: &str, name: &str, person: u32, camera: u32| {
        shot += 1;
        let path = dir.join(folder).join(format!("{name}_c{camera}s1_{shot:06}_00.png"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        photo(person, camera, shot).save(path).unwrap();
    };
    for person in 1..=12u32 {
        for i in 0..6 {
            put("bounding_box_train", &format!("{person:04}"), person, 1 + i % 3);
        }
    }
    for person in 13..=20u32 {
        put("query", &format!("{person:04}"), person, 1);
        for camera in [1, 2, 3, 2] {
            put("bounding_box_test", &format!("{person:04}"), person, camera);
        }
    }
    for i in 0..4 {
        put("bounding_box_test", "0000", 50 + i, 2);
        put("bounding_box_test", "-1", 60 + i, 3);
    }
}

/// Coat and trousers in the person's colours; the wall, the light and where the person stands change from photo to photo.
fn photo(person: u32, camera: u32, shot: u32) -> RgbImage {
    let colour = |part: u32| {
        let turn = f64::from((person * 7 + part * 5 + person * person * part) % 20) / 20.0 * std::f64::consts::TAU;
        [0.0, 2.1, 4.2].map(|phase| 110.0 + 80.0 * (turn + phase).cos())
    };
    let light = 0.55 + 0.15 * f64::from(camera) + 0.05 * f64::from(shot % 3);
    let (left, top) = (4 + shot * 5 % 5, 3 + shot * 3 % 5);
    RgbImage::from_fn(20, 40, |x, y| {
        let noise = f64::from((x * 31 + y * 17 + shot * 101) % 29);
        let inside = (left..left + 9).contains(&x) && (top..top + 30).contains(&y);
        let pixel = match (inside, y < top + 15) {
            (true, coat) => colour(u32::from(coat)),
            (false, _) => [60.0 + 40.0 * f64::from(camera); 3],
        };
        Rgb(pixel.map(|v| (v * light + noise) as u8))
    })
}

#[test]
fn training_raises_map_far_above_an_untrained_network() {
    let place = Place::new(TINY);
    let mut untrained = place.options("untrained");
    untrained.set = vec!["train.lr=1e-30".into(), "train.epochs=1".into()];
    train(&untrained).unwrap().unwrap();
    let record = train(&place.options("run")).unwrap().unwrap();
    assert_eq!(record.labels.len(), 12);
    assert_eq!((record.training.train_photos, record.training.test_photos), (72, 8 + 36));
    assert_eq!(record.training.steps, 12 * 3, "12 identities give 12 groups of 4, 4 to a batch");

    let (before, after) = (place.retrieval("untrained"), place.retrieval("run"));
    println!("untrained: {:?}\ntrained: {:?}", before.plain, after.plain);
    assert_eq!((after.query, after.gallery, after.plain.answer.queries), (8, 36, 8));
    let [before, now] = [before, after].map(|retrieval| retrieval.plain.answer);
    assert!(now.map > before.map + 0.15 && now.map > 0.6, "{} and {}", before.map, now.map);
    assert_eq!(record.training.test_ranking, Some(now));
    assert!(now.rank1 <= now.rank5 && now.rank5 <= now.rank10 && now.minp > before.minp);

    let weights = TensorMap::read(&place.weights("run")).unwrap();
    for name in ["bottleneck", "glca_bottleneck"] {
        let mean = weights.reals(&format!("{name}.running_mean")).unwrap();
        assert!(mean.iter().any(|v| v.abs() > 1e-3), "{name} has seen features");
        assert!(weights.get(&format!("{name}.weight")).is_some() && weights.get(&format!("{name}.bias")).is_none());
    }
    assert!(weights.get("head.bias").is_none(), "classifiers behind a bottleneck have no bias");
}

#[test]
fn a_killed_run_ends_with_the_same_weights_and_statistics() {
    let recipe = TINY.replace("epochs = 12", "epochs = 3\nema = 0.9\ndrop_path = 0.1\nlabel_smoothing = 0.1");
    let place = Place::new(&recipe.replace("pad = 2", "pad = 2\nerase = 0.5"));
    train(&place.options("whole")).unwrap().unwrap();

    kill_and_resume(place.folder.path(), "killed");
    assert!(place.weights("whole") == place.weights("killed"), "bit for bit");
    assert_eq!(place.retrieval("whole"), place.retrieval("killed"));

    let state = TensorMap::read(&fs::read(place.path("whole/checkpoint/state.safetensors")).unwrap()).unwrap();
    for name in ["bottleneck.running_mean", "bottleneck.running_var", "glca_bottleneck.running_var"] {
        let (last, average) = (state.under("model."), state.under("ema."));
        assert_ne!(last.get(name), average.get(name), "{name} is averaged");
        assert!(state.get(&format!("adamw.first.{name}")).is_none(), "and not optimised");
    }

    // In pieces, through every step, and with another number of workers.
    let mut options = place.options("pieces");
    let mut pieces = 0;
    while {
        options.stop = Arc::new(AtomicBool::new(pieces < 4));
        train(&options).unwrap().is_none()
    } {
        (options.resume, options.set) = (true, vec![format!("train.workers={}", 1 + pieces % 3)]);
        pieces += 1;
    }
    assert!(pieces == 4 && place.weights("whole") == place.weights("pieces"), "bit for bit");
}

/// RGA as its paper has it: gates behind the stages of a residual network, whose norms learn from the photos, too.
#[test]
fn rga_on_a_residual_network_learns_to_tell_persons_apart() {
    let shape = "patch_size = 4\ndim = 32\ndepth = 2\nheads = 2";
    let resnet = "resnet = { block = \"bottleneck\", stem = \"small\", blocks = [1, 1], strides = [2, 2], width = 8 }";
    let mechanism = "{ name = \"rga\", ratio = 4, spatial = true, channel = true, after = [1, 2] }";
    let recipe =
        TINY.replace(shape, resnet).replace("{ name = \"dcal\", ratio = 0.3, glca = true, pwca = true }", mechanism);
    let recipe = recipe.replace("lr = 2e-3", "lr = 1e-2").replace("micro_batch = 4", "micro_batch = 8");
    assert!(recipe.contains(resnet) && recipe.contains(mechanism));
    let place = Place::new(&format!("{recipe}margin = 0.3\nfeature = \"behind\"\n"));
    let mut untrained = place.options("untrained");
    untrained.set = vec!["train.lr=1e-30".into(), "train.epochs=1".into()];
    train(&untrained).unwrap().unwrap();
    train(&place.options("run")).unwrap().unwrap();
    let [before, now] = ["untrained", "run"].map(|run| place.retrieval(run).plain.answer.map);
    println!("mAP {before} untrained, {now} trained");
    assert!(now > before + 0.15 && now > 0.5, "{before} and {now}");
    let weights = TensorMap::read(&place.weights("run")).unwrap();
    for name in ["bottleneck", "layer1.0.bn2", "rga.1.channel.theta.bn"] {
        let mean = weights.reals(&format!("{name}.running_mean")).unwrap();
        assert!(mean.iter().any(|v| v.abs() > 1e-3), "{name} has seen photos");
    }
    assert!(weights.get("head.bias").is_none() && weights.get("bottleneck.weight").is_some());

    let short = Place::new(&format!("{}margin = 0.3\n", recipe.replace("epochs = 12", "epochs = 2\nfreeze = 1")));
    train(&short.options("whole")).unwrap().unwrap();
    kill_and_resume(short.folder.path(), "killed");
    assert!(short.weights("whole") == short.weights("killed"), "bit for bit");
}

#[test]
fn an_ablation_compares_map() {
    let place = Place::new(&TINY.replace("epochs = 12", "epochs = 1"));
    let said = |_: &str| ();
    ablate(&place.options("ablation"), &[], &[1], &said).unwrap().unwrap();
    let table = fs::read_to_string(place.path("ablation/table.md")).unwrap();
    assert!(table.starts_with("| | seeds | mAP |") && table.contains("+ GLCA + PWCA (R = 30 %)"), "{table}");
    let map = place.retrieval("ablation/baseline-1").plain;
    assert!(table.contains(&format!("{:.2}", 100.0 * map.answer.map)) && map.glca.is_none(), "{table}");
}

#[test]
fn weights_go_on_to_other_persons_and_shapes() {
    let place = Place::new(&TINY.replace("epochs = 12", "epochs = 1"));
    train(&place.options("first")).unwrap().unwrap();
    let mut options = place.options("second");
    options.init = Some(place.path("first/model.safetensors"));
    options.set = vec!["reid.feature=behind".into(), "reid.margin=0.3".into(), "train.lr=1e-30".into()];
    train(&options).unwrap().unwrap();
    let read = |run: &str| TensorMap::read(&place.weights(run)).unwrap();
    let (first, second) = (read("first"), read("second"));
    assert_eq!(first.get("bottleneck.weight"), second.get("bottleneck.weight"), "a run's own bottlenecks are kept");
    assert_ne!(place.retrieval("first").plain, place.retrieval("second").plain, "compared by another feature");

    // Without bottlenecks, as published weights are.
    let mut bare = TensorMap::default();
    for (name, tensor) in first.iter().filter(|(name, _)| !name.contains("bottleneck") && !name.starts_with("head")) {
        bare.insert(name, tensor.clone());
    }
    fs::write(place.path("bare.safetensors"), bare.write(Precision::F32).unwrap()).unwrap();
    let mut options = place.options("third");
    options.init = Some(place.path("bare.safetensors"));
    train(&options).unwrap().unwrap();
    let import = fs::read_to_string(place.path("third/import.json")).unwrap();
    assert!(import.contains("\"bottleneck.running_var\""), "told as missing: {import}");
}

#[test]
fn what_cannot_be_is_told() {
    let place = Place::new(TINY);
    for (set, words) in [
        (&["train.batch=18"][..], "train.batch is 18, it must be a multiple of reid.photos"),
        (&["reid.photos=1"], "reid.photos is 1"),
        (&["reid.margin=-1.0"], "reid.margin is -1"),
        (&["reid.photo=4"], "no key reid.photo; did you mean reid.photos?"),
        (&["reid.feature=after"], "unknown variant `after`"),
        (&["augment.mixup=0.4"], "augment.mixup is 0.4, it must be 0 for re-identification"),
        (&["data.held_out=0.1"], "data.held_out is 0.1, it must be 0 for re-identification"),
        (&["augment.pad=9"], "augment.pad is 9"),
        (&["data.kind=cub"], "data.kind is no data set of re-identification"),
        (&["data.kind=market"], "no kind of data set \"market\""),
        (&["train.batch=64"], "train.batch / reid.photos = 16 identities, the data set has 12"),
        (
            &["model.mechanism={ name = \"tasn\", zoom = 2, after = 1 }"],
            "model.mechanism is \"tasn\", it must be \"none\", \"dcal\" or \"rga\" for re-identification",
        ),
        (&["data.kind=veri776"], "holds Market-1501 (kind \"market1501\"), not VeRi-776"),
    ] {
        let error = place.error(set);
        assert!(error.contains(words), "{set:?}: {error}");
    }
    let printed = Config::parse(TINY).unwrap().to_toml().unwrap();
    assert!(printed.contains("[reid]") && printed.contains("\nmargin = 0.0\n") && printed.contains("soft margin"));
    assert_eq!(Config::parse(&printed).unwrap(), Config::parse(TINY).unwrap());
}

#[test]
fn a_run_is_measured_again_reported_and_not_exported() {
    let place = Place::new(&TINY.replace("epochs = 12", "epochs = 1"));
    train(&place.options("run")).unwrap().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_finegrain"));
        command.current_dir(place.folder.path()).args(arguments);
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.success(), text(output.stdout), text(output.stderr))
    };
    let before = place.retrieval("run");
    assert_eq!(before.reranked, None);
    let (fine, out, error) = run(&["measure", "run", "--data", "data", "--rerank"]);
    assert!(fine && out.contains("retrieval: mAP") && out.contains("re-ranked: mAP"), "{out}{error}");
    let after = place.retrieval("run");
    assert_eq!(before.plain, after.plain, "measured again, the same");
    assert!(after.reranked.is_some_and(|again| again.answer != after.plain.answer));

    // A query that cannot be read is left out and named.
    let broken = fs::read_dir(place.path("data/query")).unwrap().next().unwrap().unwrap().path();
    fs::write(&broken, b"no photo").unwrap();
    assert!(run(&["measure", "run", "--data", "data"]).0);
    let less = place.retrieval("run");
    assert_eq!((less.query, less.gallery, less.skipped.len()), (7, 36, 1));
    assert!(less.skipped[0].reason.contains(broken.file_name().unwrap().to_str().unwrap()));

    let (fine, _, error) = run(&["report", "run", "--data", "data"]);
    assert!(fine, "{error}");
    let page = fs::read_to_string(place.path("run/report.html")).unwrap();
    assert!(page.contains("Retrieval") && page.contains("mINP") && page.contains("SA and GLCA"), "{page}");
    assert!(!page.contains("Calibration") && !page.contains("Class by class"));
    fs::remove_file(place.path("run/measures.json")).unwrap();
    assert!(run(&["report", "run", "--data", "data"]).0 && run(&["report", "run"]).0);

    let (fine, _, error) = run(&["export", "run", "--out", "bundle"]);
    assert!(!fine && error.contains("re-identification") && error.lines().count() == 1, "{error}");
    assert!(!place.path("bundle").exists());
}

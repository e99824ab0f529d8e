//! Whole training runs on generated photos: the loss falls, a killed run ends where the other one does, errors are
//! one sentence.
#![cfg(feature = "full")]
#![allow(missing_docs, reason = "tests")]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use finegrain::model::Network;
use finegrain::tensors::{Precision, Tensor, TensorMap};
use finegrain_native::train::{Config, DeviceChoice, RECIPES, RunRecord, TrainOptions, train};
use image::{Rgb, RgbImage};

const TINY: &str = include_str!("fixtures/tiny.toml");

/// A recipe and generated photos: each class has stripes of its own direction and colour, sizes vary.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(recipe: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("recipe.toml"), recipe).unwrap();
        for (split, count) in [("train", 8), ("test", 2)] {
            for class in 0..3u32 {
                let path = folder.path().join("data").join(split).join(format!("class_{class}"));
                fs::create_dir_all(&path).unwrap();
                for i in 0..count {
                    photo(class, i + 100 * u32::from(split == "test")).save(path.join(format!("{i}.png"))).unwrap();
                }
            }
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn options(&self, out: &str) -> TrainOptions {
        TrainOptions {
            config: self.path("recipe.toml"),
            set: Vec::new(),
            data: self.path("data"),
            out: self.path(out),
            resume: false,
            device: DeviceChoice::Cpu,
            init: None,
            stop: Arc::new(AtomicBool::new(false)),
        }
    }

    fn weights(&self, out: &str) -> Vec<u8> {
        fs::read(self.path(out).join("model.safetensors")).unwrap()
    }

    /// The sentence of a run that must fail.
    fn error(&self, change: impl FnOnce(&mut TrainOptions)) -> String {
        let mut options = self.options("failing");
        change(&mut options);
        format!("{:#}", train(&options).unwrap_err())
    }

    fn change_recipe(&self, from: &str, to: &str) {
        let path = self.path("recipe.toml");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "the recipe has no \"{from}\"");
        fs::write(path, text.replace(from, to)).unwrap();
    }
}

fn photo(class: u32, seed: u32) -> RgbImage {
    let (width, height) = (40 + seed * 7 % 13, 36 + seed * 5 % 17);
    RgbImage::from_fn(width, height, |x, y| {
        let place = [x, y, x + y][class as usize] + seed;
        let noise = ((x * 31 + y * 17 + seed * 101) % 23) as u8;
        let mut pixel = [40 + noise; 3];
        if (place / 4).is_multiple_of(2) {
            pixel[class as usize] = 200 + noise;
        }
        Rgb(pixel)
    })
}

fn epoch_losses(run: &Path) -> Vec<f64> {
    let log = fs::read_to_string(run.join("log.jsonl")).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.filter_map(|line| line["epoch_loss"].as_f64()).collect()
}

#[test]
fn the_loss_falls_and_the_run_is_recorded() {
    let place = Place::new(TINY);
    let record = train(&place.options("run")).unwrap().unwrap();
    let losses = epoch_losses(&place.path("run"));
    assert_eq!(losses.len(), 4);
    assert!(losses[3] < 0.8 * losses[0], "{losses:?}");

    let read = RunRecord::read(&place.path("run")).unwrap();
    assert_eq!((&read.architecture, &read.preprocessing), (&record.architecture, &record.preprocessing));
    assert_eq!(read.training.recipe, record.training.recipe);
    assert!((read.training.final_train_loss - losses[3]).abs() < 1e-9, "as in the log");
    assert_eq!(read.labels, ["class 0", "class 1", "class 2"]);
    assert_eq!((read.training.train_photos, read.training.test_photos, read.training.steps), (24, 6, 16));
    assert!(read.training.test_top1.unwrap().answer > 0.34, "better than one of three: {:?}", read.training.test_top1);

    let weights = TensorMap::read(&place.weights("run")).unwrap();
    let device = DeviceChoice::Cpu.open().unwrap().0;
    let network = Network::new(&read.architecture, &device).load(&weights).unwrap();
    assert_eq!(network.weights().len(), weights.len(), "every weight is in the file, under timm's name");
    let resolved = Config::parse(&fs::read_to_string(place.path("run/config.toml")).unwrap()).unwrap();
    assert_eq!(resolved.pixels.resize, 32, "the resolved recipe has numbers where the recipe had none");
}

#[test]
fn the_number_of_workers_changes_no_bit() {
    let place = Place::new(&TINY.replace("epochs = 4", "epochs = 1"));
    train(&place.options("two")).unwrap().unwrap();
    place.change_recipe("workers = 2", "workers = 3");
    train(&place.options("three")).unwrap().unwrap();
    assert!(place.weights("two") == place.weights("three"));
}

#[test]
fn a_stopped_run_goes_on_in_the_middle_of_an_epoch() {
    let place = Place::new(&TINY.replace("epochs = 4", "epochs = 2"));
    train(&place.options("whole")).unwrap().unwrap();

    // Stopped after every single step.
    let mut options = place.options("pieces");
    let mut pieces = 0;
    loop {
        options.stop = Arc::new(AtomicBool::new(pieces < 5));
        pieces += 1;
        if train(&options).unwrap().is_some() {
            break;
        }
        options.resume = true;
    }
    assert_eq!(pieces, 6);
    assert!(place.weights("whole") == place.weights("pieces"), "bit for bit");
    let lines = |run: &str| fs::read_to_string(place.path(run).join("log.jsonl")).unwrap().lines().count();
    assert_eq!(lines("whole"), lines("pieces"), "no step is logged twice");
}

#[test]
fn a_killed_run_ends_with_the_same_weights() {
    let mixed = "brightness = 0.1\nmixup = 0.4\ncutmix = 1.0\npolicy = \"trivial\"\nerase = 0.3";
    let recipe = TINY.replace("epochs = 4", "epochs = 4\nema = 0.9\nkeep = 2\nresult = \"best\"");
    let recipe = recipe.replace("[model]", "held_out = 0.25\n\n[model]");
    let place = Place::new(&recipe.replace("brightness = 0.1", mixed));
    train(&place.options("whole")).unwrap().unwrap();

    let command = |resume: bool| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_finegrain"));
        command.arg("train").arg("--out").arg(place.path("killed"));
        if resume {
            command.arg("--resume");
        } else {
            command.arg(place.path("recipe.toml")).arg("--data").arg(place.path("data")).args(["--device", "cpu"]);
        }
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let mut child = command(false).spawn().unwrap();
    // A checkpoint is written after each step; kill (SIGKILL on Unix) as soon as there is one.
    while !place.path("killed/checkpoint/state.safetensors").exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!place.path("killed/run.json").exists(), "it was killed before it ended");
    assert!(command(true).status().unwrap().success());
    assert!(place.weights("whole") == place.weights("killed"), "bit for bit");
    for file in ["checkpoint/epoch-0003.safetensors", "best/model.safetensors", "best/best.json"] {
        let read = |run: &str| fs::read(place.path(run).join(file)).unwrap();
        if file.starts_with("best") {
            assert!(read("whole") == read("killed"), "{file}");
        } else {
            let weights = |run: &str| TensorMap::read(&read(run)).unwrap().under("model.");
            assert!(weights("whole") == weights("killed"), "{file}");
        }
    }
    assert!(!place.path("whole/checkpoint/epoch-0002.safetensors").exists(), "two are kept");
}

#[test]
fn held_out_photos_choose_and_are_not_trained_on() {
    let recipe = TINY.replace("[model]", "held_out = 0.25\n\n[model]").replace("epochs = 4", "epochs = 6");
    let place = Place::new(&recipe);
    let record = train(&place.options("last")).unwrap().unwrap().training;
    assert_eq!((record.train_photos, record.held_out_photos, record.epochs), (18, 6, 6));
    let log = fs::read_to_string(place.path("last/log.jsonl")).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let measured: Vec<(f64, f64, u64)> = lines
        .filter_map(|l| Some((l["held_out_top1"].as_f64()?, -l["held_out_loss"].as_f64()?, l["epoch"].as_u64()?)))
        .collect();
    assert_eq!(measured.len(), 6);
    let best = measured.iter().rev().copied().max_by(|a, b| (a.0, a.1).partial_cmp(&(b.0, b.1)).unwrap()).unwrap();
    let kept = record.best.unwrap();
    assert_eq!((kept.top1, kept.epoch as u64), (best.0, best.2), "{measured:?}");

    place.change_recipe("seed = 7", "seed = 7\nresult = \"best\"");
    train(&place.options("best")).unwrap().unwrap();
    assert!(place.weights("best") == fs::read(place.path("last/best/model.safetensors")).unwrap());

    // A rate so small that nothing ever changes: the first epoch stays the best one.
    place.change_recipe("lr = 3e-3", "lr = 1e-30\nearly_stopping = 2");
    let record = train(&place.options("stopped")).unwrap().unwrap().training;
    assert_eq!((record.epochs, record.steps, record.best.map(|best| best.epoch)), (3, 9, Some(1)));
    let mut again = place.options("stopped");
    again.resume = true;
    assert_eq!(train(&again).unwrap().unwrap().training.epochs, 3, "it stays stopped");
}

#[test]
fn the_average_of_the_weights_is_the_result() {
    let place = Place::new(&TINY.replace("epochs = 4", "epochs = 1"));
    train(&place.options("last")).unwrap().unwrap();
    place.change_recipe("seed = 7", "seed = 7\nema = 0.9");
    train(&place.options("average")).unwrap().unwrap();
    let read = |path: &str| TensorMap::read(&fs::read(place.path(path)).unwrap()).unwrap();
    let (last, state) = (read("last/model.safetensors"), read("average/checkpoint/state.safetensors"));
    assert_eq!(state.under("model."), last, "averaging does not touch training");
    assert_eq!(state.under("ema."), read("average/model.safetensors"), "what is kept is the average");
    assert_ne!(state.under("ema."), last);
    assert!(read("last/checkpoint/state.safetensors").under("ema.").is_empty());
}

#[test]
fn frozen_blocks_keep_their_weights() {
    let place =
        Place::new(&TINY.replace("epochs = 4", "epochs = 1\nfreeze = 1").replace("pwca = true", "pwca = false"));
    let first = train(&place.options("first")).unwrap().unwrap();
    let mut options = place.options("second");
    options.init = Some(place.path("first/model.safetensors"));
    let second = train(&options).unwrap().unwrap();
    assert_eq!(second.training.init_file.as_deref(), Some("model.safetensors"));
    assert_eq!(second.training.init_run.map(|run| run.steps), Some(first.training.steps), "the whole history is told");
    assert!(second.training.recipe.train.init.is_none(), "no folder of this machine is");
    assert!(first.training.init_sha256.is_none() && second.training.init_sha256.is_some_and(|sha| sha.len() == 64));

    let (before, after) = (place.weights("first"), place.weights("second"));
    let (before, after) = (TensorMap::read(&before).unwrap(), TensorMap::read(&after).unwrap());
    let same = |name: &str| before.reals(name).unwrap() == after.reals(name).unwrap();
    for name in ["pos_embed", "patch_embed.proj.weight", "blocks.0.attn.qkv.weight", "blocks.0.norm2.bias"] {
        assert!(same(name), "{name} is frozen");
    }
    for name in ["blocks.1.attn.qkv.weight", "norm.weight", "head.weight", "glca.mlp.fc1.weight", "glca_head.bias"] {
        assert!(!same(name), "{name} is trained");
    }
}

#[test]
fn a_recipe_that_cannot_be_followed_is_explained() {
    for (from, to, words) in [
        ("batch = 6", "batch = 6\nbtach = 3", "no key train.btach; did you mean train.batch?"),
        ("batch = 6", "batch = 0", "train.batch is 0"),
        ("lr = 3e-3", "lr = -1.0", "train.lr is -1"),
        ("lr = 3e-3", "lr = nan", "train.lr is NaN"),
        ("label_smoothing = 0.05", "label_smoothing = 1.0", "train.label_smoothing is 1"),
        ("crop_scale = [0.6, 1.0]", "crop_scale = [0.9, 0.2]", "augment.crop_scale is [0.9, 0.2]"),
        ("brightness = 0.1", "mixup = -1.0", "augment.mixup is -1"),
        ("brightness = 0.1", "erase = 1.5", "augment.erase is 1.5"),
        ("brightness = 0.1", "policy = \"auto\"", "unknown variant `auto`"),
        ("brightness = 0.1", "rand_magnitude = 31", "augment.rand_magnitude is 31"),
        ("heads = 2", "heads = 5", "heads 5 does not divide dim 24"),
        ("ratio = 0.25", "ratio = 0.0", "ratio"),
        ("epochs = 4", "epochs = 4\nfreeze = 3", "train.freeze is 3"),
        ("epochs = 4", "epochs = 4\nema = 1.0", "train.ema is 1"),
        ("epochs = 4", "epochs = 4\nearly_stopping = 3", "train.early_stopping is 3"),
        ("[model]", "held_out = 1.0\n[model]", "data.held_out is 1"),
        ("id = \"tiny\"", "id = \"My birds\"", "lower-case"),
    ] {
        let error = Config::parse(&TINY.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(words), "{to}: {error}");
    }
}

#[test]
fn the_recipes_of_the_bundles_are_complete() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), RECIPES.len(), "all of them come with the program");
    for (name, text) in RECIPES {
        assert_eq!(fs::read_to_string(folder.join(format!("{name}.toml"))).unwrap(), text);
        let recipe = Config::parse(text).unwrap();
        assert!(name.starts_with(&recipe.id), "{name}");
        let resolved = recipe.to_toml().unwrap();
        assert_eq!(Config::parse(&resolved).unwrap(), recipe, "what is written beside a run is the recipe");
    }
}

#[test]
fn the_printed_recipe_has_every_key_with_its_comment() {
    let printed = Config::parse(TINY).unwrap().to_toml().unwrap();
    let mut keys = 0;
    let lines: Vec<&str> = printed.lines().collect();
    for (i, line) in lines.iter().enumerate() {
        let in_mechanism = lines[..i].iter().rev().find(|l| l.starts_with('[')) == Some(&"[model.mechanism]");
        if line.contains(" = ") && !line.starts_with('#') && !in_mechanism {
            keys += 1;
            assert!(lines[i - 1].starts_with("# "), "{line}");
        }
    }
    assert!(keys > 45, "{keys} keys");
    for absent in ["# init = ", "# backbone = ", "[model.mechanism]", "\nmicro_batch = 2\n", "TrivialAugment"] {
        assert!(printed.contains(absent), "{absent} in {printed}");
    }
    assert_eq!(Config::parse(&printed).unwrap(), Config::parse(TINY).unwrap());

    let place = Place::new(TINY);
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_finegrain"));
        command.arg("train").arg(place.path("recipe.toml")).arg("--print-config").args(arguments);
        let output = command.output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(run(&[]).0, printed);
    let changed = run(&["--set", "train.lr=1e-2", "--lr", "1", "--epochs", "9", "--set", "augment.policy=rand"]).0;
    let changed = Config::parse(&changed).unwrap();
    assert_eq!((changed.train.lr, changed.train.epochs, changed.train.batch), (1.0, 9, 6));
    let (out, error) = run(&["--set", "train.lrr=1"]);
    assert!(out.is_empty() && error.contains("no key train.lrr; did you mean train.lr?"), "{error}");
}

#[test]
fn a_named_backbone_fills_what_the_recipe_leaves_open() {
    let named = TINY.replace("patch_size = 8\ndim = 24\ndepth = 2\nheads = 2", "backbone = \"deit-small\"\ndepth = 3");
    assert_ne!(named, TINY);
    let recipe = Config::parse(&named).unwrap();
    let model = &recipe.model;
    assert_eq!((model.patch_size, model.dim, model.depth, model.heads), (16, 384, 3, 6));
    assert_eq!(recipe.pixels.std, [0.229, 0.224, 0.225]);
    let own = Config::parse(&format!("{named}\n[pixels]\nstd = [0.5, 0.5, 0.5]\n")).unwrap();
    assert_eq!((own.pixels.std, own.pixels.mean), ([0.5; 3], [0.485, 0.456, 0.406]));
    let error = Config::parse(&named.replace("deit-small", "deit-huge")).unwrap_err().to_string();
    assert!(error.contains("deit-huge") && error.contains("deit-base"), "{error}");
}

#[test]
fn sgd_trains_too() {
    let recipe = TINY.replace("epochs = 4", "epochs = 2\noptimizer = \"sgd\"").replace("lr = 3e-3", "lr = 3e-2");
    let place = Place::new(&recipe);
    train(&place.options("whole")).unwrap().unwrap();
    let losses = epoch_losses(&place.path("whole"));
    assert!(losses[1] < losses[0], "{losses:?}");
    let state = TensorMap::read(&fs::read(place.path("whole/checkpoint/state.safetensors")).unwrap()).unwrap();
    assert!(!state.under("sgd.velocity.").is_empty() && state.under("adamw.").is_empty());
    let mut options = place.options("pieces");
    options.stop = Arc::new(AtomicBool::new(true));
    assert!(train(&options).unwrap().is_none());
    (options.resume, options.stop) = (true, Arc::default());
    train(&options).unwrap().unwrap();
    assert!(place.weights("whole") == place.weights("pieces"), "bit for bit");
}

#[test]
fn what_cannot_be_trained_is_one_sentence() {
    let place = Place::new(TINY);
    let missing = place.error(|o| o.config = place.path("absent.toml"));
    assert!(missing.contains("cannot read the recipe") && missing.contains("absent.toml"), "{missing}");
    let no_data = place.error(|o| o.data = place.path("absent"));
    assert!(no_data.contains("absent") && no_data.contains("folder-per-class"), "{no_data}");
    let no_run = place.error(|o| o.resume = true);
    assert!(no_run.contains("no run to resume"), "{no_run}");

    fs::create_dir_all(place.path("data/train/lonely")).unwrap();
    assert!(place.error(|_| ()).contains("class \"lonely\" has no training photo"));
    fs::remove_dir(place.path("data/train/lonely")).unwrap();

    fs::write(place.path("data/train/class_0/broken.jpg"), b"this is no photo").unwrap();
    let broken = place.error(|_| ());
    assert!(broken.contains("broken.jpg"), "{broken}");
    fs::remove_file(place.path("data/train/class_0/broken.jpg")).unwrap();
    assert!(!place.path("failing/run.json").exists() && !place.path("failing/model.safetensors").exists());
}

#[test]
fn weights_of_another_architecture_are_refused() {
    let place = Place::new(&TINY.replace("epochs = 4", "epochs = 1"));
    let mut other = TensorMap::default();
    other.insert("pos_embed", Tensor::f32([1, 17, 48], vec![0.0; 17 * 48]));
    fs::write(place.path("other.safetensors"), other.write(Precision::F32).unwrap()).unwrap();
    let error = place.error(|o| o.init = Some(place.path("other.safetensors")));
    assert!(error.contains("other.safetensors") && error.contains("does not fit"), "{error}");
    fs::write(place.path("other.safetensors"), b"no tensors").unwrap();
    let error = place.error(|o| o.init = Some(place.path("other.safetensors")));
    assert!(error.contains("not a readable safetensors file"), "{error}");
    assert!(!place.path("failing").exists(), "nothing was begun");
}

#[test]
fn a_run_is_neither_overwritten_nor_resumed_with_another_recipe() {
    let place = Place::new(&TINY.replace("epochs = 4", "epochs = 1"));
    train(&place.options("failing")).unwrap().unwrap();
    assert!(place.error(|_| ()).contains("already holds a run"));
    place.change_recipe("lr = 3e-3", "lr = 1e-3");
    assert!(place.error(|o| o.resume = true).contains("is not the one this run began with"));
}

#[test]
fn a_checkpoint_of_another_version_is_refused() {
    let place = Place::new(&TINY.replace("epochs = 4", "epochs = 1"));
    train(&place.options("failing")).unwrap().unwrap();
    let path = place.path("failing/checkpoint/state.safetensors");
    let mut map = TensorMap::read(&fs::read(&path).unwrap()).unwrap();
    map.metadata.insert("format".into(), "99".into());
    fs::write(&path, map.write(Precision::F32).unwrap()).unwrap();
    let error = place.error(|o| o.resume = true);
    assert!(error.contains("format is 99"), "{error}");
    fs::write(&path, b"half a file").unwrap();
    assert!(place.error(|o| o.resume = true).contains("cannot be used"));
}

#[test]
fn a_loss_that_is_no_number_stops_the_run_and_names_the_step() {
    let place = Place::new(&format!("{TINY}\n[pixels]\nstd = [1e-38, 1e-38, 1e-38]\n"));
    let error = place.error(|_| ());
    assert!(error.contains("no longer a number at step 1"), "{error}");
    assert!(!place.path("failing/run.json").exists());
}

//! Runs that were stopped, killed or refused a full disk go on where they were.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use finegrain::tensors::{Precision, TensorMap};
use finegrain_native::train::train;

use super::place::{Place, TINY, kill_and_resume};

#[test]
fn a_stopped_run_goes_on_in_the_middle_of_an_epoch() {
    let place = Place::new(&TINY.replace("epochs = 4", "epochs = 2"));
    train(&place.options("whole")).unwrap().unwrap();

    // Stopped after every single step, and each other time with checkpointing, which changes no bit.
    let mut options = place.options("pieces");
    let mut pieces = 0;
    loop {
        options.stop = Arc::new(AtomicBool::new(pieces < 5));
        pieces += 1;
        if train(&options).unwrap().is_some() {
            break;
        }
        options.resume = true;
        options.set = vec![format!("train.gradient_checkpointing={}", pieces % 2 == 0)];
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

    kill_and_resume(place.folder.path(), "killed");
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
fn a_run_is_neither_overwritten_nor_resumed_with_another_recipe() {
    let place = Place::new(&TINY.replace("epochs = 4", "epochs = 1"));
    train(&place.options("failing")).unwrap().unwrap();
    assert!(place.error(|_| ()).contains("already holds a run"));
    place.change_recipe("lr = 3e-3", "lr = 1e-3");
    assert!(place.error(|o| o.resume = true).contains("is not the one this run began with"));
}

/// Another data set would be another run, also where it has as many classes; and a log that somebody wrote into keeps its lines.
#[test]
fn a_run_goes_on_with_its_own_data_and_keeps_its_log() {
    let place = Place::new(&TINY.replace("epochs = 4", "epochs = 2"));
    let mut options = place.options("failing");
    options.stop = Arc::new(AtomicBool::new(true));
    assert!(train(&options).unwrap().is_none());
    let data = place.path("data");
    fs::rename(data.join("train/class_0"), data.join("train/kind_0")).unwrap();
    fs::rename(data.join("test/class_0"), data.join("test/kind_0")).unwrap();
    assert!(place.error(|o| o.resume = true).contains("is not the one this run began with"));
    fs::rename(data.join("train/kind_0"), data.join("train/class_0")).unwrap();
    fs::rename(data.join("test/kind_0"), data.join("test/class_0")).unwrap();
    let photo = data.join("train/class_1/3.png");
    fs::rename(&photo, place.path("3.png")).unwrap();
    assert!(place.error(|o| o.resume = true).contains("another number of training photos"));
    fs::rename(place.path("3.png"), &photo).unwrap();

    let log = place.path("failing/log.jsonl");
    let before = fs::read(&log).unwrap();
    assert!(!before.is_empty());
    fs::write(&log, [&before[..], b"\xff\n"].concat()).unwrap();
    (options.resume, options.stop) = (true, Arc::default());
    train(&options).unwrap().unwrap();
    assert!(fs::read(&log).unwrap().starts_with(&before), "what was logged before is gone");
}

#[test]
fn a_checkpoint_that_was_changed_is_refused() {
    let place = Place::new(&TINY.replace("epochs = 4", "epochs = 1"));
    train(&place.options("failing")).unwrap().unwrap();
    let path = place.path("failing/checkpoint/state.safetensors");
    let whole = fs::read(&path).unwrap();
    let changed = |change: &dyn Fn(&mut TensorMap)| {
        let mut map = TensorMap::read(&whole).unwrap();
        change(&mut map);
        fs::write(&path, map.write(Precision::F32).unwrap()).unwrap();
        place.error(|o| o.resume = true)
    };
    let position = |key: &str, value: u64| {
        let key = key.to_owned();
        move |map: &mut TensorMap| {
            let mut position: serde_json::Value = serde_json::from_str(&map.metadata["position"]).unwrap();
            position[&key] = value.into();
            map.metadata.insert("position".into(), position.to_string());
        }
    };
    for (key, value) in [("step", u64::MAX), ("step", 99_999), ("epoch", 7), ("batch", 1 << 63)] {
        let error = changed(&position(key, value));
        assert!(error.contains("it is damaged, or the data set is another one"), "{key} {value}: {error}");
    }
    for steps in [-5, i32::MAX] {
        let error = changed(&|map| map.insert("adamw.steps", finegrain::tensors::Tensor::i32([1], vec![steps])));
        assert!(error.contains("count of steps is damaged"), "{error}");
    }
    let error = changed(&|map| {
        let name = map.iter().map(|(name, _)| name.to_owned()).find(|name| name.starts_with("adamw.first.")).unwrap();
        map.insert(name, finegrain::tensors::Tensor::f32([2], vec![0.5; 2]));
    });
    assert!(error.contains("adamw.first.") && error.contains("has shape [2]"), "{error}");
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

#[cfg(unix)]
#[test]
fn a_full_disk_loses_nothing_that_was_saved() {
    let place = Place::new(&TINY.replace("epochs = 4", "epochs = 2"));
    train(&place.options("whole")).unwrap().unwrap();
    let mut options = place.options("full");
    options.stop = Arc::new(AtomicBool::new(true));
    assert!(train(&options).unwrap().is_none());
    let state = place.path("full/checkpoint/state.safetensors");
    let before = fs::read(&state).unwrap();

    // No file may grow beyond 64 blocks of 512 or 1024 bytes: the next checkpoint cannot be written.
    let limited = "trap '' XFSZ; ulimit -f 64; exec \"$0\" train --resume --out \"$1\"";
    let mut command = Command::new("sh");
    command.args(["-c", limited, env!("CARGO_BIN_EXE_finegrain")]).arg(place.path("full"));
    let output = command.output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && before.len() > 64 * 1024);
    assert!(error.contains("error: cannot write") && error.contains("state.safetensors"), "{error}");
    assert!(fs::read(&state).unwrap() == before, "the last checkpoint is untouched");
    let folder: Vec<_> = fs::read_dir(state.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(folder, [state], "nothing half-written is left");

    (options.resume, options.stop) = (true, Arc::default());
    train(&options).unwrap().unwrap();
    assert!(place.weights("whole") == place.weights("full"), "bit for bit");
}

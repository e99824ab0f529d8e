//! What no command may harm: folders and files of somebody else's, and results that are right.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use finegrain::bundle::MANIFEST;
use finegrain::tensors::{Precision, Tensor, TensorMap};
use finegrain_native::store;

use crate::program::{finegrain, json, refusal, write_bundle};
use crate::report::{copy, place};

fn export(run: &Path, out: &Path) -> std::process::Command {
    let mut command = finegrain(["export"]);
    command.arg(run).arg("--out").arg(out);
    command
}

#[test]
fn an_export_replaces_bundles_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let run = copy(dir.path());
    // A folder of another program's that has a manifest.json, too.
    let other = dir.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join(MANIFEST), "{}").unwrap();
    fs::write(other.join("app.js"), "x").unwrap();
    let said = refusal(&mut export(&run, &other));
    assert!(said.contains("is not a bundle") && other.join("app.js").exists(), "{said}");
    // Somebody's notes beside a bundle.
    let bundle = dir.path().join("bundle");
    write_bundle(&bundle);
    fs::write(bundle.join("notes.txt"), "mine").unwrap();
    let said = refusal(&mut export(&run, &bundle));
    assert!(said.contains("\"notes.txt\"") && bundle.join("notes.txt").exists(), "{said}");
    fs::remove_file(bundle.join("notes.txt")).unwrap();
    json(&mut export(&run, &bundle));
    assert_eq!(store::open(&bundle).unwrap().manifest.id, "tiny");
}

#[cfg(unix)]
#[test]
fn links_and_pipes_stay_what_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let run = copy(dir.path());
    let (pipe, bundle, link) = (dir.path().join("pipe"), dir.path().join("bundle"), dir.path().join("link"));
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let is_pipe = || std::os::unix::fs::FileTypeExt::is_fifo(&fs::symlink_metadata(&pipe).unwrap().file_type());
    let said = refusal(&mut export(&run, &pipe));
    assert!(said.contains("is no folder") && is_pipe(), "{said}");
    let said = refusal(finegrain(["report"]).arg(&run).arg("--out").arg(&pipe));
    assert!(said.contains("is no file") && is_pipe(), "{said}");
    write_bundle(&bundle);
    std::os::unix::fs::symlink(&bundle, &link).unwrap();
    let said = refusal(finegrain(["classify", "--backend", "cpu", "--bundle"]).arg(&bundle).arg(&pipe));
    assert!(said.contains("a device or a pipe"), "{said}");
    // What a link leads to is replaced.
    json(&mut export(&run, &link));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(store::open(&bundle).unwrap().manifest.id, "tiny");
}

#[test]
fn measures_of_another_data_set_replace_none() {
    let dir = tempfile::tempdir().unwrap();
    let run = copy(dir.path());
    let before = fs::read(run.join("measures.json")).unwrap();
    let other = dir.path().join("others");
    for split in ["train", "test"] {
        for class in 0..3 {
            let from = place().join("data").join(split).join(format!("class_{class}"));
            let to = other.join(split).join(format!("kind_{class}"));
            fs::create_dir_all(&to).unwrap();
            for photo in fs::read_dir(from).unwrap() {
                let photo = photo.unwrap();
                fs::copy(photo.path(), to.join(photo.file_name())).unwrap();
            }
        }
    }
    let said = refusal(finegrain(["measure"]).arg(&run).arg("--data").arg(&other));
    assert!(said.contains("other classes"), "{said}");
    let mean = dir.path().join("mean");
    let said = refusal(finegrain(["average"]).args([&run, &run]).arg("--data").arg(&other).arg("--out").arg(&mean));
    assert!(said.contains("other classes"), "{said}");
    assert_eq!(fs::read(run.join("measures.json")).unwrap(), before);
}

#[test]
fn what_is_no_number_is_never_right() {
    let dir = tempfile::tempdir().unwrap();
    let run = copy(dir.path());
    let before = fs::read(run.join("measures.json")).unwrap();
    let path = run.join("model.safetensors");
    let mut weights = TensorMap::read(&fs::read(&path).unwrap()).unwrap();
    let shape = weights.get("head.weight").unwrap().shape.clone();
    // Finite, and their products are not.
    weights.insert("head.weight", Tensor::f32(shape.clone(), vec![3e38; shape.iter().product()]));
    fs::write(&path, weights.write(Precision::F32).unwrap()).unwrap();
    let said = refusal(finegrain(["measure"]).arg(&run).arg("--data").arg(place().join("data")));
    assert!(said.contains("what is no number"), "{said}");
    assert_eq!(fs::read(run.join("measures.json")).unwrap(), before);
}

/// A log that somebody has written into is drawn as far as it can be.
#[test]
fn a_log_without_end_is_no_page_without_end() {
    let dir = tempfile::tempdir().unwrap();
    let run = copy(dir.path());
    let mut log = fs::read_to_string(run.join("log.jsonl")).unwrap();
    log.push_str("{\"step\":3,\"epoch\":1,\"loss\":1.79e308,\"lr\":0.1,\"waiting\":0.5}\n");
    fs::write(run.join("log.jsonl"), log).unwrap();
    json(finegrain(["report"]).arg(&run));
}

/// `finegrain train ... 2>&1 | head -1` reads one line and goes: the training does not.
#[test]
fn nobody_has_to_listen() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = finegrain(["train", "--device", "cpu"]);
    command.arg(place().join("tiny.toml")).arg("--data").arg(place().join("data"));
    let mut child = command.arg("--out").arg(dir.path().join("run")).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    assert!(child.wait().unwrap().success());
    assert!(dir.path().join("run/run.json").exists());
}

#[test]
fn printing_a_runs_recipe_trains_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let run = copy(dir.path());
    let before = fs::read(run.join("log.jsonl")).unwrap();
    let mut command = finegrain(["train", "--resume", "--print-config", "--out"]);
    let output = command.arg(&run).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && printed.contains("id = \"tiny\""), "{printed}");
    assert_eq!(fs::read(run.join("log.jsonl")).unwrap(), before);
}

/// What could be trained and then not be exported, and what no memory holds, is told before anything begins.
#[test]
fn recipes_without_an_end_are_refused() {
    let long = format!("id=\"{}\"", "a".repeat(80));
    for (settings, said) in [
        (&["pixels.resize=65536"][..], "pixels.resize is 65536"),
        (&["model.image_size=[32, 64]", "pixels.resize=32"], "the long side"),
        (&[&long], "1 to 64 lower-case letters"),
        (&["model.depth=65536"], "model.depth is 65536"),
        (&["model.dim=65536", "model.heads=1", "model.depth=8"], "a thousand million parameters"),
        (&["model.image_size=[65536, 65536]", "model.patch_size=32"], "8192 pixels a side"),
    ] {
        let mut command = finegrain(["train", "--print-config"]);
        command.arg(place().join("tiny.toml"));
        for setting in settings {
            command.args(["--set", setting]);
        }
        let found = refusal(&mut command);
        assert!(found.contains(said), "{settings:?}: {found}");
    }
}

#[test]
fn a_seed_is_run_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = finegrain(["ablate", "--seeds", "1,2,1"]);
    command.arg(place().join("tiny.toml")).arg("--data").arg(place().join("data"));
    assert!(refusal(command.arg("--out").arg(dir.path().join("ablation"))).contains("a seed twice"));
}

/// TASN sees photos twice as large as its patches say.
#[test]
fn a_report_shows_what_tasn_confused() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let mut command = finegrain(["train", "--device", "cpu", "--set", "pixels.resize=64", "--set", "train.epochs=1"]);
    command.args(["--set", "model.mechanism={ name = \"tasn\", zoom = 2, after = 1 }"]);
    let data = place().join("data");
    json(command.arg(place().join("tiny.toml")).arg("--data").arg(&data).arg("--out").arg(&run));
    let report = json(finegrain(["report"]).arg(&run).arg("--data").arg(&data));
    assert!(fs::read_to_string(report["report"].as_str().unwrap()).unwrap().contains("data:image/jpeg"));
}

//! `finegrain average`, on small runs that are really trained.

use std::fs;
use std::path::{Path, PathBuf};

use finegrain::tensors::TensorMap;
use finegrain_native::measure::Measures;
use finegrain_native::train::RunRecord;
use serde_json::Value;

use crate::program::{finegrain, json, refusal};
use crate::report::{copy, place};

/// A second run of the same recipe and the same held-out photos, with other settings.
fn other(to: &Path, setting: &str) -> PathBuf {
    let run = to.join(setting.replace(['.', '='], "-"));
    let recipe = place().join("tiny.toml");
    let command = &mut finegrain(["train", "--device", "cpu", "--set", setting]);
    json(command.arg(recipe).arg("--data").arg(place().join("data")).arg("--out").arg(&run));
    run
}

fn average(runs: &[&Path], out: &Path, arguments: &[&str]) -> std::process::Command {
    let mut command = finegrain(["average"]);
    command.args(runs).arg("--data").arg(place().join("data")).arg("--out").arg(out).args(arguments);
    command
}

fn weights(run: &Path) -> TensorMap {
    TensorMap::read(&fs::read(run.join("model.safetensors")).unwrap()).unwrap()
}

#[test]
fn the_mean_of_two_runs_is_a_run() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (copy(dir.path()), other(dir.path(), "train.lr=2e-3"));
    let out = dir.path().join("mean");
    let said = json(&mut average(&[&a, &b], &out, &["--all"]));
    assert_eq!(said["ingredients"].as_array().unwrap().len(), 2);
    let (mean, a, b) = (weights(&out), weights(&a), weights(&b));
    for (name, tensor) in mean.iter() {
        let [mean, a, b] = [&mean, &a, &b].map(|map| map.weight(name, &tensor.shape).unwrap());
        assert!(a.iter().zip(b).zip(mean).all(|((a, b), mean)| (0.5 * (a + b) - mean).abs() <= 1e-6), "{name}");
    }
    let measures = Measures::read(&out).unwrap().unwrap();
    assert_eq!(said["held_out_top1"], measures.held_out.unwrap().answer.top1);
    let record = RunRecord::read(&out).unwrap();
    assert_eq!(record.training.averaged.iter().filter(|ingredient| ingredient.kept).count(), 2);

    // It is exported and reported like any other, and both say what it is.
    let bundle = dir.path().join("bundle");
    json(finegrain(["export"]).arg(&out).arg("--out").arg(&bundle));
    assert!(fs::read_to_string(bundle.join("README.md")).unwrap().contains("the mean of 2 runs"));
    let report = json(finegrain(["report"]).arg(&out));
    assert!(fs::read_to_string(report["report"].as_str().unwrap()).unwrap().contains("Mean of"));
}

/// A run that has learned nothing makes the mean worse, and the held-out photos say so.
#[test]
fn held_out_photos_choose() {
    let dir = tempfile::tempdir().unwrap();
    let good = copy(dir.path());
    let untrained = other(dir.path(), "train.lr=1e-9");
    // What it says instead of what it sees.
    let mut spoilt = weights(&untrained);
    for name in ["head.bias", "glca_head.bias"] {
        let shape = spoilt.get(name).unwrap().shape.clone();
        spoilt.insert(name, finegrain::tensors::Tensor::f32(shape, vec![1e4, 0.0, 0.0]));
    }
    fs::write(untrained.join("model.safetensors"), spoilt.write(finegrain::tensors::Precision::F32).unwrap()).unwrap();
    let out = dir.path().join("mean");
    let said = json(&mut average(&[&untrained, &good], &out, &[]));
    let kept = |said: &Value| -> Vec<bool> {
        said["ingredients"].as_array().unwrap().iter().map(|ingredient| ingredient["kept"].as_bool().unwrap()).collect()
    };
    assert_eq!(kept(&said), [true, false], "{said}");
    assert_eq!(said["ingredients"][0]["run"], "run", "the better one comes first");
    assert_eq!(weights(&out).get("head.weight"), weights(&good).get("head.weight"));
}

/// A run that held out more photos is judged by those that the other one held out, too.
#[test]
fn the_smallest_share_of_held_out_photos_judges() {
    let dir = tempfile::tempdir().unwrap();
    let (less, more) = (copy(dir.path()), other(dir.path(), "data.held_out=0.5"));
    let out = dir.path().join("mean");
    json(&mut average(&[&more, &less], &out, &["--all"]));
    let [less, more, mean] = [&less, &more, &out].map(|run| RunRecord::read(run).unwrap().training);
    assert!(less.held_out_photos < more.held_out_photos);
    assert_eq!((mean.held_out_photos, mean.train_photos), (less.held_out_photos, less.train_photos));
    assert_eq!(mean.recipe.data.held_out, less.recipe.data.held_out);
    let measured = Measures::read(&out).unwrap().unwrap().held_out.unwrap();
    assert_eq!(measured.photos as usize, less.held_out_photos);
}

/// A record that somebody has changed says so, instead of a panic somewhere in the network.
#[test]
fn a_record_that_contradicts_itself_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let run = copy(dir.path());
    let path = run.join("run.json");
    let mut record: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    record["preprocessing"]["resize"] = 64.into();
    record["preprocessing"]["crop"] = serde_json::json!([64, 64]);
    fs::write(&path, record.to_string()).unwrap();
    let said = refusal(finegrain(["measure"]).arg(&run).arg("--data").arg(place().join("data")));
    assert!(said.contains("contradicts itself") && said.contains("the crop is 64 x 64 pixels"), "{said}");
}

#[test]
fn what_cannot_be_averaged_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let run = copy(dir.path());
    let smaller = other(dir.path(), "model.dim=12");
    let out = dir.path().join("mean");
    let said = refusal(&mut average(&[&run, &smaller], &out, &[]));
    assert!(said.contains("architecture"), "{said}");
    let reseeded = other(dir.path(), "train.seed=8");
    let said = refusal(&mut average(&[&run, &reseeded], &out, &[]));
    assert!(said.contains("held-out photos"), "{said}");
    let said = refusal(&mut average(&[&run, &run], &run, &[]));
    assert!(said.contains("holds something"), "{said}");
    assert!(!out.exists());
}

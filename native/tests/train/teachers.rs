//! Knowledge distillation: a student learns what its teachers say.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use finegrain::tensors::{Precision, Tensor, TensorMap};
use finegrain_native::train::{Config, RunRecord, train};

use super::place::{Place, TINY, epoch_losses, kill_and_resume};

const HELD_OUT: &str = "held_out = 0.25\n\n[model]";

/// A place with a trained run `teacher`, and a recipe that it teaches with `keys`.
fn taught(keys: &str) -> Place {
    let place = Place::new(&TINY.replace("[model]", HELD_OUT).replace("epochs = 4", "epochs = 2"));
    train(&place.options("teacher")).unwrap().unwrap();
    let recipe = fs::read_to_string(place.path("recipe.toml")).unwrap();
    let section = format!("\n[teachers]\nruns = [{:?}]\n{keys}\n", place.path("teacher"));
    fs::write(place.path("recipe.toml"), recipe + &section).unwrap();
    place
}

/// Lets the run in `folder` say its first class, whatever it sees.
fn spoil(folder: &Path) {
    let path = folder.join("model.safetensors");
    let mut weights = TensorMap::read(&fs::read(&path).unwrap()).unwrap();
    for name in ["head.bias", "glca_head.bias"] {
        weights.insert(name, Tensor::f32([3], vec![1e4, 0.0, 0.0]));
    }
    fs::write(path, weights.write(Precision::F32).unwrap()).unwrap();
}

#[test]
fn a_killed_run_with_a_teacher_ends_with_the_same_weights() {
    let place = taught("share = 0.6\ntemperature = 2.0");
    place.change_recipe("brightness = 0.1", "brightness = 0.1\nmixup = 0.4");
    let record = train(&place.options("whole")).unwrap().unwrap();
    kill_and_resume(place.folder.path(), "killed");
    assert!(place.weights("whole") == place.weights("killed"), "bit for bit");
    let mut options = place.options("workers");
    options.set = vec!["train.workers=3".into()];
    train(&options).unwrap().unwrap();
    assert!(place.weights("whole") == place.weights("workers"), "the number of workers changes no bit");

    assert_eq!(RunRecord::read(&place.path("killed")).unwrap().training.teachers, record.training.teachers);
    let teacher = &record.training.teachers[0];
    assert!(record.training.teachers.len() == 1 && teacher.run == "teacher" && teacher.sha256.len() == 64);
    let named = record.training.recipe.teachers.unwrap().runs;
    assert_eq!(named, [Path::new("teacher")], "no folder of this machine is told");
    let log = fs::read_to_string(place.path("whole/log.jsonl")).unwrap();
    assert!(log.lines().count() > 4);

    place.change_recipe("share = 0.6", "share = 0.5");
    train(&place.options("other")).unwrap().unwrap();
    assert!(place.weights("whole") != place.weights("other"), "the teacher has a say");
}

#[test]
fn another_teacher_is_refused_and_the_same_one_elsewhere_is_not() {
    let place = taught("share = 0.6");
    let mut options = place.options("failing");
    options.stop = Arc::new(AtomicBool::new(true));
    assert!(train(&options).unwrap().is_none());
    let kept = place.weights("teacher");
    spoil(&place.path("teacher"));
    let error = place.error(|o| o.resume = true);
    assert!(error.contains("the teacher teacher is not the one that the run began with"), "{error}");
    fs::write(place.path("teacher/model.safetensors"), kept).unwrap();
    fs::rename(place.path("teacher"), place.path("moved")).unwrap();
    let error = place.error(|o| o.resume = true);
    assert!(error.contains("teacher\" cannot be used") && error.contains("run.json"), "{error}");
    let moved = format!("teachers.runs=[{:?}]", place.path("moved"));
    let error =
        place.error(|o| (o.resume, o.set) = (true, vec![moved.replace(']', &format!(", {:?}]", place.path("moved")))]));
    assert!(error.contains("names 2 teachers and the run began with 1"), "{error}");
    (options.resume, options.stop, options.set) = (true, Arc::default(), vec![moved]);
    train(&options).unwrap().unwrap();
}

#[test]
fn a_student_says_what_its_teacher_says() {
    let place = taught("share = 1.0");
    spoil(&place.path("teacher"));
    place.change_recipe("epochs = 2", "epochs = 6");
    let record = train(&place.options("student")).unwrap().unwrap();
    let losses = epoch_losses(&place.path("student"));
    assert!(losses[5] < 0.2 * losses[0], "{losses:?}");
    assert_eq!(record.training.final_train_accuracy, 1.0 / 3.0, "the labels had no say");
    assert_eq!(record.training.test_top1.unwrap().answer, 1.0 / 3.0);
}

#[test]
fn a_bundle_teaches_too_and_the_card_tells() {
    let place = taught("share = 0.75");
    let finegrain = |arguments: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_finegrain")).current_dir(place.folder.path()).args(arguments).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stderr).unwrap()
    };
    finegrain(&["export", "teacher", "--out", "teacher.zip"]);
    let run = ["train", "recipe.toml", "--data", "data", "--out", "student", "--device", "cpu", "--epochs", "1"];
    let said = finegrain(&[&run[..], &["--set", "teachers.runs=[\"teacher\", \"teacher.zip\"]"]].concat());
    assert!(said.contains("75 % of the target from the teachers teacher, teacher.zip"), "{said}");
    assert!(!said.contains("too good"), "{said}");
    let teachers = RunRecord::read(&place.path("student")).unwrap().training.teachers;
    assert!(teachers[0].sha256 != teachers[1].sha256, "the bundle's weights are rounded");
    finegrain(&["export", "student", "--out", "bundle"]);
    let card = fs::read_to_string(place.path("bundle/README.md")).unwrap();
    for words in
        ["75 % of its target was the mean answer", "`teacher.zip` (SHA-256", "runs = [\"teacher\", \"teacher.zip\"]"]
    {
        assert!(card.contains(words), "{words} in {card}");
    }

    // What it may have seen of the photos that the student holds out is told.
    let other = ["--out", "other", "--seed", "8"];
    let said = finegrain(&[&run[..4], &["--device", "cpu", "--epochs", "1"], &other].concat());
    assert!(said.contains("may come out too good"), "{said}");
}

#[test]
fn a_teacher_that_cannot_teach_is_told() {
    let place = taught("");
    for (set, words) in [
        ("model.image_size=[40, 40]", "it sees photos of 32 x 32 pixels, and the recipe's are of 40 x 40"),
        ("pixels.mean=[0.4, 0.5, 0.5]", "its pixels.mean and pixels.std are [0.5, 0.5, 0.5] and [0.5, 0.5, 0.5]"),
        ("teachers.runs=[\"nowhere\"]", "nowhere"),
        ("teachers.share=0.0", "teachers.share is 0.0, it must be above 0"),
        ("teachers.share=1.5", "teachers.share is 1.5"),
        ("teachers.temperature=0.0", "teachers.temperature is 0.0"),
        ("teachers.runs=[]", "teachers.runs is []"),
        ("teachers.shares=0.3", "no key teachers.shares; did you mean teachers.share?"),
    ] {
        let error = place.error(|o| o.set = vec![set.into()]);
        assert!(error.contains(words) && !error.contains('\n'), "{set}: {error}");
        assert!(!place.path("failing").exists(), "{set}: nothing has begun");
    }
    fs::rename(place.path("data/train/class_0"), place.path("data/train/renamed")).unwrap();
    fs::rename(place.path("data/test/class_0"), place.path("data/test/renamed")).unwrap();
    let error = place.error(|_| ());
    assert!(error.contains("its classes are not those of the data set"), "{error}");
    let persons = include_str!("../../recipes/paper-persons.toml");
    let error = Config::parse_with(persons, &["teachers.runs=[\"a\"]".into()]).unwrap_err().to_string();
    assert!(error.contains("re-identification compares features"), "{error}");
}

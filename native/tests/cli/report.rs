//! `finegrain report`, on a small run that is really trained.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use finegrain::model::Network;
use finegrain::tensors::TensorMap;
use finegrain_native::data::{Dataset, DatasetKind};
use finegrain_native::measure::{Measures, Pass, Views, of_run};
use finegrain_native::train::{DeviceChoice, RunRecord};
use image::{Rgb, RgbImage};
use serde_json::Value;

use crate::program::{finegrain, json, refusal};

const TINY: &str = include_str!("../fixtures/tiny.toml");

/// A folder with generated photos in `data` and a short finished run in `run`.
pub(crate) fn place() -> &'static Path {
    static PLACE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = PLACE.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        for (split, count) in [("train", 8), ("test", 3)] {
            for class in 0..3u32 {
                let path = folder.path().join("data").join(split).join(format!("class_{class}"));
                fs::create_dir_all(&path).unwrap();
                for i in 0..count {
                    // The first test photo of each class shows the next class: a good network misnames it.
                    let shown = (class + u32::from(split == "test" && i == 0)) % 3;
                    photo(shown, i + 100 * u32::from(split == "test")).save(path.join(format!("{i}.png"))).unwrap();
                }
            }
        }
        let held_out = TINY.replace("kind = \"folder\"", "kind = \"folder\"\nheld_out = 0.25");
        assert_ne!(held_out, TINY);
        let recipe = held_out.replace("epochs = 4", "epochs = 2");
        fs::write(folder.path().join("tiny.toml"), recipe).unwrap();
        json(
            finegrain(["train", "--device", "cpu"])
                .arg(folder.path().join("tiny.toml"))
                .arg("--data")
                .arg(folder.path().join("data"))
                .arg("--out")
                .arg(folder.path().join("run")),
        );
        folder
    });
    folder.path()
}

/// Noise, tinted in the colour of the class.
pub(crate) fn photo(class: u32, seed: u32) -> RgbImage {
    RgbImage::from_fn(40, 36, |x, y| {
        let noise = ((x * 31 + y * 17 + seed * 101) % 97) as u8;
        let mut pixel = [80 + noise; 3];
        pixel[class as usize] += ((seed * 13) % 30) as u8;
        Rgb(pixel)
    })
}

/// A copy of the run, to be changed.
pub(crate) fn copy(to: &Path) -> PathBuf {
    let run = to.join("run");
    fs::create_dir_all(&run).unwrap();
    for name in ["run.json", "config.toml", "log.jsonl", "measures.json", "model.safetensors"] {
        fs::copy(place().join("run").join(name), run.join(name)).unwrap();
    }
    run
}

fn report(arguments: &[&Path]) -> (Value, String) {
    let said = json(finegrain(["report"]).args(arguments));
    let page = fs::read_to_string(said["report"].as_str().unwrap()).unwrap();
    (said, page)
}

/// Nothing is loaded from anywhere, and every section is there.
fn check_page(page: &str) {
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>"));
    for loads in ["<script", "<link", "@import", "src=\"http", "src=\"/", "href=", "url("] {
        assert!(!page.contains(loads), "{loads}");
    }
    for heading in ["Accuracy", "Training", "Calibration", "Class by class", "How it was made"] {
        assert!(page.contains(&format!("<h2>{heading}</h2>")), "{heading}");
    }
}

#[test]
fn a_run_measures_itself() {
    let measures = Measures::read(&place().join("run")).unwrap().unwrap();
    let record = RunRecord::read(&place().join("run")).unwrap();
    let test = measures.test.unwrap();
    assert_eq!((test.photos, test.per_class.len()), (9, 3));
    assert_eq!(test.answer.top1, record.training.test_top1.unwrap().answer);
    assert_eq!(test.glca.unwrap().top1, record.training.test_top1.unwrap().glca.unwrap());
    assert_eq!((measures.calibration.unwrap().photos, measures.held_out.unwrap().photos), (6, 6), "a quarter of 24");
}

#[test]
fn held_out_photos_give_a_calibration_and_the_test_photos_no_say() {
    let run = place().join("run");
    let record = RunRecord::read(&run).unwrap();
    let device = DeviceChoice::Cpu.open().unwrap().0;
    let weights = TensorMap::read(&fs::read(run.join("model.safetensors")).unwrap()).unwrap();
    let network = Network::new(&record.architecture, &device).load(&weights).unwrap();
    let mut dataset = Dataset::open(DatasetKind::Folder, &place().join("data")).unwrap();
    dataset.held_out = dataset.train.iter().step_by(2).cloned().collect();
    let pass = |workers| Pass {
        network: &network,
        device: &device,
        workers,
        preprocessing: &record.preprocessing,
        views: Views::Single,
    };
    let measured = of_run(&pass(2), &dataset.held_out, &dataset.test).unwrap();
    let calibration = measured.calibration.unwrap();
    assert_eq!((calibration.photos, measured.held_out.as_ref().unwrap().photos), (12, 12));
    let other = of_run(&pass(0), &dataset.held_out, &[]).unwrap();
    assert_eq!(other.calibration, Some(calibration), "without test photos, and one pass after the other");
    assert_eq!((other.held_out, other.test), (measured.held_out.clone(), None));

    // A photo that cannot be used is told and not counted.
    let dir = tempfile::tempdir().unwrap();
    let mut broken = dataset.test.clone();
    broken[1].path = dir.path().join("absent.jpg");
    let test = of_run(&pass(3), &[], &broken).unwrap().test.unwrap();
    assert_eq!((test.photos, test.skipped.len(), test.skipped[0].place), (8, 1, 1));

    let copied = copy(dir.path());
    measured.write(&copied).unwrap();
    let (_, page) = report(&[&copied]);
    check_page(&page);
    assert!(page.contains("With the temperature") && page.contains("chosen on 12 held-out photos"));
}

#[test]
fn a_finished_run_becomes_a_page() {
    let dir = tempfile::tempdir().unwrap();
    let run = copy(dir.path());
    let (said, page) = report(&[&run]);
    assert_eq!(said["report"].as_str().unwrap(), run.join("report.html").to_str().unwrap());
    assert_eq!((&said["runs"][0]["finished"], &said["bytes"]), (&true.into(), &page.len().into()));
    check_page(&page);
    assert!(page.contains("on 9 test photos") && page.contains("<svg") && page.contains("lr = 0.003"));
    assert!(!page.contains("<img"), "no photo without the data set");
}

#[test]
fn with_the_data_set_photos_are_shown() {
    let dir = tempfile::tempdir().unwrap();
    let run = copy(dir.path());
    // As an older program left it: measured now.
    fs::remove_file(run.join("measures.json")).unwrap();
    let data = place().join("data");
    let (_, page) = report(&[&run, Path::new("--data"), &data]);
    check_page(&page);
    assert!(!run.join("measures.json").exists(), "a report changes no run");
    json(finegrain(["measure"]).arg(&run).arg("--data").arg(&data));
    // Weights from a file lie otherwise in memory than weights just trained: the last bits may differ, nothing else.
    let facts = |run: &Path| {
        let measures = Measures::read(run).unwrap().unwrap();
        let [held_out, test] = [measures.held_out.unwrap(), measures.test.unwrap()];
        let near = |value: f64| (value * 1e4).round();
        (held_out.per_class, test.per_class, near(test.nll), near(measures.calibration.unwrap().temperature.into()))
    };
    assert_eq!(facts(&run), facts(&place().join("run")));
    let confused = Measures::read(&place().join("run")).unwrap().unwrap().test.unwrap().confused.len();
    assert!(confused > 0, "some test photos lie in the wrong folder");
    // Two photos with their attention, for each pair.
    assert_eq!(page.matches("src=\"data:image/jpeg;base64,").count(), 4 * confused);

    fs::rename(dir.path().join("run"), dir.path().join("other")).unwrap();
    let other = dir.path().join("foreign");
    for class in ["a", "b"] {
        fs::create_dir_all(other.join("train").join(class)).unwrap();
        fs::create_dir_all(other.join("test").join(class)).unwrap();
    }
    let mut command = finegrain(["report", "--json", "--data"]);
    let text = refusal(command.arg(&other).arg(dir.path().join("other")));
    assert!(text.contains("the data set has other classes"), "{text}");
}

#[test]
fn an_unfinished_run_becomes_a_page_too() {
    let dir = tempfile::tempdir().unwrap();
    let run = copy(dir.path());
    for name in ["run.json", "measures.json", "model.safetensors"] {
        fs::remove_file(run.join(name)).unwrap();
    }
    let log = fs::read_to_string(run.join("log.jsonl")).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    // Stopped in the middle of writing a line of the first epoch.
    fs::write(run.join("log.jsonl"), format!("{}\n{}", lines[..2].join("\n"), &lines[2][..20])).unwrap();
    let (said, page) = report(&[&run]);
    assert_eq!(said["runs"][0]["finished"], false);
    assert!(page.contains("Still running, or stopped: epoch 1 of 2, 2 steps so far."), "{page}");
    fs::remove_file(run.join("log.jsonl")).unwrap();
    assert!(report(&[&run]).1.contains("No step is logged yet"));
}

#[test]
fn several_runs_are_compared() {
    let dir = tempfile::tempdir().unwrap();
    let runs = ["a", "b", "c"].map(|name| copy(&dir.path().join(name)));
    for (run, answer) in runs.iter().zip([0.5, 0.7, 0.0]) {
        let mut record: Value = serde_json::from_slice(&fs::read(run.join("run.json")).unwrap()).unwrap();
        record["training"]["test_top1"]["answer"] = answer.into();
        fs::write(run.join("run.json"), record.to_string()).unwrap();
    }
    let recipe = fs::read_to_string(runs[2].join("config.toml")).unwrap();
    let plain = recipe.replace("pwca = true", "pwca = false").replace("batch = 6", "batch = 12");
    assert_ne!(plain, recipe);
    fs::write(runs[2].join("config.toml"), plain).unwrap();
    let out = dir.path().join("page.html");
    let (_, page) = report(&[&runs[0], &runs[1], &runs[2], Path::new("--out"), &out]);
    // Mean 60, deviation sqrt((0.1^2 + 0.1^2) / 1) = 14.14.
    assert!(page.contains("+ GLCA + PWCA (R = 25 %)") && page.contains("60.00 ± 14.14"), "{page}");
    assert!(page.contains("<th>+ GLCA (R = 25 %)</th>") && page.contains("train.batch"), "{page}");
    let mut command = finegrain(["report", "--json"]);
    assert!(refusal(command.args(&runs)).contains("name one with --out FILE"));
}

#[test]
fn a_folder_that_is_no_run_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let text = refusal(finegrain(["report", "--json"]).arg(dir.path()));
    assert!(text.contains("is not the folder of a training run"), "{text}");
    fs::write(dir.path().join("config.toml"), "no = [toml").unwrap();
    let text = refusal(finegrain(["report", "--json"]).arg(dir.path()));
    assert!(text.contains("config.toml\" is damaged"), "{text}");
    assert!(!dir.path().join("report.html").exists());
}

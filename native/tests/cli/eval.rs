//! `finegrain eval`.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use finegrain::architecture::{Architecture, Mechanism, Mixing, RectifyBlocks};
use finegrain::bundle::Calibration;
use finegrain_native::random;
use serde_json::Value;

use crate::program::{
    finegrain, has_adapter, json, labels, photo, refusal, write_bundle, write_bundle_of, write_bundle_with,
};

/// A data set in CUB's layout whose test photos are the fixtures; one of them is broken.
fn write_data(dir: &Path, names: &[&str]) {
    fs::create_dir_all(dir.join("images")).unwrap();
    let (mut classes, mut images, mut of_image, mut split) =
        (String::new(), String::new(), String::new(), String::new());
    for (i, label) in labels().iter().enumerate() {
        writeln!(classes, "{} {:03}.{label}", i + 1, i + 1).unwrap();
    }
    for (i, name) in names.iter().enumerate() {
        let bytes = fs::read(photo(name)).unwrap_or_else(|_| b"no photo".to_vec());
        fs::write(dir.join("images").join(name), bytes).unwrap();
        writeln!(images, "{} {name}", i + 1).unwrap();
        writeln!(of_image, "{} {}", i + 1, i % 5 + 1).unwrap();
        writeln!(split, "{} 0", i + 1).unwrap();
    }
    for (name, text) in [
        ("classes.txt", classes),
        ("images.txt", images),
        ("image_class_labels.txt", of_image),
        ("train_test_split.txt", split),
    ] {
        fs::write(dir.join(name), text).unwrap();
    }
}

const PHOTOS: [&str; 6] = ["plain.png", "grey.jpg", "broken.jpg", "alpha.png", "cmyk.jpg", "exif_3.jpg"];

fn eval(bundle: &Path, data: &Path, more: &[&str]) -> Value {
    json(finegrain(["eval", "--dataset", "cub"]).args(more).arg("--bundle").arg(bundle).arg("--data").arg(data))
}

#[test]
fn accuracy_is_what_classify_says() {
    let dir = tempfile::tempdir().unwrap();
    let (bundle, data) = (dir.path().join("b"), dir.path().join("data"));
    write_bundle(&bundle);
    write_data(&data, &PHOTOS);
    let measured = eval(&bundle, &data, &["--backend", "cpu"]);

    // The same by hand: the good photos are of classes 0, 1, 3, 4, 0.
    let good: Vec<_> = [0, 1, 3, 4, 5].map(|i| (photo(PHOTOS[i]), labels()[i % 5].clone())).into();
    let mut command = finegrain(["classify", "--backend", "cpu", "--bundle"]);
    let named = json(command.arg(&bundle).args(good.iter().map(|(path, _)| path)));
    for (list, measured) in [("predictions", &measured), ("sa", &measured["sa"]), ("glca", &measured["glca"])] {
        let hits = named.as_array().unwrap().iter().zip(&good).filter(|(n, (_, label))| n[list][0]["label"] == **label);
        assert_eq!(measured["top1"].as_f64().unwrap(), hits.count() as f64 / 5.0, "{list}");
        assert_eq!(measured["top5"], 1.0, "there are five classes");
    }
    assert_eq!((&measured["images"], &measured["backend"]), (&5.into(), &"cpu".into()));
    assert!(measured["ms_per_image"].as_f64().unwrap() > 0.0);
    let skipped = measured["skipped"].as_array().unwrap();
    assert_eq!(skipped.len(), 1);
    assert!(skipped[0]["reason"].as_str().unwrap().contains("not a photo in a known format"));
    assert!(skipped[0]["image"].as_str().unwrap().ends_with("broken.jpg"));
}

#[test]
fn everything_is_measured() {
    let dir = tempfile::tempdir().unwrap();
    let (bundle, data) = (dir.path().join("b"), dir.path().join("data"));
    write_bundle_with(&bundle, Some(Calibration { temperature: 1e4, threshold: 0.0, photos: 9 }));
    write_data(&data, &PHOTOS);
    let measured = eval(&bundle, &data, &["--backend", "cpu", "--tta"]);
    let measures = &measured["measures"];
    let count = |value: &Value| value.as_u64().unwrap();
    // The good photos are of classes 0, 1, 3, 4, 0.
    let per_class: Vec<[u64; 2]> = serde_json::from_value(measures["per_class"].clone()).unwrap();
    assert_eq!(per_class.iter().map(|class| class[1]).collect::<Vec<_>>(), [2, 1, 0, 1, 1]);
    let right: u64 = per_class.iter().map(|class| class[0]).sum();
    assert_eq!(measured["top1"].as_f64().unwrap(), right as f64 / 5.0);
    let wrong: u64 = measures["confused"].as_array().unwrap().iter().map(|pair| count(&pair["photos"])).sum();
    assert_eq!(wrong, 5 - right);
    let bins = measures["reliability"].as_array().unwrap();
    assert_eq!((bins.len(), bins.iter().map(|bin| count(&bin["photos"])).sum::<u64>()), (15, 5));
    assert_eq!(count(&measures["skipped"][0]["place"]), 2);
    // At this temperature all five classes are at 0.2, so the error is how far accuracy is from that.
    let calibrated = &measures["calibrated"];
    let top1 = calibrated["answer"]["top1"].as_f64().unwrap();
    assert!((calibrated["ece"].as_f64().unwrap() - (top1 - 0.2).abs()).abs() < 1e-3, "{calibrated}");
    assert_eq!(calibrated["recognised"], 1.0);
    assert_eq!((&measured["tta"]["views"], &measured["tta"]["top5"]), (&2.into(), &1.0.into()));
    assert_eq!(eval(&bundle, &data, &["--backend", "cpu", "--tta", "crops"])["tta"]["views"], 12);
    assert!(eval(&bundle, &data, &["--backend", "cpu"])["tta"].is_null());
}

#[test]
fn early_answers_are_measured_beside_full_ones() {
    let dir = tempfile::tempdir().unwrap();
    let (bundle, data) = (dir.path().join("b"), dir.path().join("data"));
    let architecture = Architecture {
        resnet: None,
        hybrid: None,
        image_size: [32, 32],
        patch_size: 8,
        dim: 32,
        depth: 4,
        heads: 2,
        mlp_ratio: 2,
        layer_norm_eps: 1e-6,
        classes: 5,
        mechanism: Mechanism::Rectify(RectifyBlocks {
            heads: 3,
            after: vec![1, 2],
            mixing: Mixing::Softmax,
            gates: None,
        }),
    };
    write_bundle_of(&bundle, architecture.clone(), &random::weights(&architecture), None);
    write_data(&data, &PHOTOS);
    let measured = eval(&bundle, &data, &["--backend", "cpu", "--exit", "0"]);
    let exit = &measured["exit"];
    let number = |name: &str| exit[name].as_f64().unwrap();
    // Two of four blocks are left where the modules agree, whatever they think of it.
    assert!(number("early") > 0.0 && (number("blocks_saved") - 0.5 * number("early")).abs() < 1e-12, "{exit}");
    assert!(number("operations_saved") > 0.3 * number("early") && number("operations_saved") < 0.55, "{exit}");
    assert!(number("changed") <= number("early") && number("ms_per_image") > 0.0, "{exit}");
    let on_device = &eval(&bundle, &data, &["--backend", "webgpu", "--exit", "0"])["exit"];
    for name in ["top1", "top5", "early", "changed", "blocks_saved", "operations_saved"] {
        assert_eq!(on_device[name], exit[name], "{name} on the device");
    }
    let never = &eval(&bundle, &data, &["--backend", "cpu", "--exit", "1"])["exit"];
    assert_eq!((&never["early"], &never["blocks_saved"], &never["changed"]), (&0.0.into(), &0.0.into(), &0.0.into()));
    assert_eq!((&never["top1"], &never["top5"]), (&measured["top1"], &measured["top5"]));
    assert!(eval(&bundle, &data, &["--backend", "cpu"])["exit"].is_null());
    let refused = |bundle: &Path, more: &[&str]| {
        let mut command = finegrain(["eval", "--dataset", "cub", "--exit", "0.9"]);
        refusal(command.args(more).arg("--bundle").arg(bundle).arg("--data").arg(&data))
    };
    assert!(refused(&bundle, &["--backend", "cuda"]).contains("add --backend cpu or --backend webgpu"));
    let plain = dir.path().join("plain");
    write_bundle(&plain);
    assert!(refused(&plain, &["--backend", "cpu"]).contains("Attend and Rectify with modules after two blocks"));
}

#[test]
fn pasted_photos_are_looked_at_twice() {
    let dir = tempfile::tempdir().unwrap();
    let (bundle, data) = (dir.path().join("b"), dir.path().join("data"));
    write_bundle(&bundle);
    write_data(&data, &PHOTOS);
    let plain = eval(&bundle, &data, &["--backend", "cpu"]);
    assert!(plain["zoom"].is_null() && plain["pasted"].is_null());
    let whole = eval(&bundle, &data, &["--backend", "cpu", "--pasted", "1"]);
    assert_eq!((&plain["measures"], &whole["pasted"]), (&whole["measures"], &1.0.into()), "nothing around the photo");
    let small = eval(&bundle, &data, &["--backend", "cpu", "--pasted", "0.3", "--zoom"]);
    assert_ne!(plain["measures"]["nll"], small["measures"]["nll"], "the network sees something else");
    assert!((0.0..=1.0).contains(&small["zoom"]["found"].as_f64().unwrap()) && small["zoom"]["both"]["top5"] == 1.0);
    let mut command = finegrain(["eval", "--dataset", "cub", "--pasted", "3"]);
    let output = command.arg("--bundle").arg(&bundle).arg("--data").arg(&data).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("a number from 0.05 to 1 is expected"));
}

#[test]
fn a_small_bird_is_found() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let data = std::env::var_os("FINEGRAIN_DATA").map_or(shared, std::path::PathBuf::from).join("CUB_200_2011");
    if !data.is_dir() {
        eprintln!("skipped: no data sets (set FINEGRAIN_DATA to their folder)");
        return;
    }
    let bundle = Path::new(env!("CARGO_MANIFEST_DIR")).join("../www/models/birds");
    let measured = eval(&bundle, &data, &["--backend", "cpu", "--pasted", "0.4", "--zoom", "--limit", "40"]);
    let [once, twice] = [&measured["top1"], &measured["zoom"]["alone"]["top1"]].map(|top1| top1.as_f64().unwrap());
    // README: 93 instead of 55 % over all photos.
    assert!(twice > once + 0.15, "{once} {twice}");
}

#[test]
fn the_shaders_measure_the_same() {
    if !has_adapter() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (bundle, data) = (dir.path().join("b"), dir.path().join("data"));
    write_bundle(&bundle);
    write_data(&data, &PHOTOS);
    let (cpu, webgpu) = (eval(&bundle, &data, &["--backend", "cpu"]), eval(&bundle, &data, &["--limit", "6"]));
    for key in ["images", "top1", "top5", "sa", "glca", "skipped"] {
        assert_eq!(cpu[key], webgpu[key], "{key}");
    }
    assert_eq!(webgpu["backend"], "webgpu");
    assert!(!webgpu["adapter"].as_str().unwrap().is_empty());
}

#[test]
fn a_limit_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (bundle, data) = (dir.path().join("b"), dir.path().join("data"));
    write_bundle(&bundle);
    write_data(&data, &["plain.png", "grey.jpg", "alpha.png"]);
    assert_eq!(eval(&bundle, &data, &["--backend", "cpu", "--limit", "2"])["images"], 2);
}

#[test]
fn what_cannot_be_measured_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (bundle, data) = (dir.path().join("b"), dir.path().join("data"));
    write_bundle(&bundle);
    let said = |split: &str| {
        let mut command = finegrain(["eval", "--json", "--backend", "cpu", "--dataset", "cub", "--split", split]);
        refusal(command.arg("--bundle").arg(&bundle).arg("--data").arg(&data))
    };
    assert!(said("test").contains("is this the folder of a"));
    write_data(&data, &["plain.png"]);
    assert!(said("train").contains("has no photos in this split"));
    let classes = fs::read_to_string(data.join("classes.txt")).unwrap();
    fs::write(data.join("classes.txt"), classes.replace("Crane", "Crow")).unwrap();
    assert!(said("test").contains("class 2 is \"Crane\" in the bundle and \"Crow\" in the data set"));
}

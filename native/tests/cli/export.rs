//! `finegrain export`.

use std::fs;
use std::path::Path;

use finegrain::bundle::{self, Calibration, MANIFEST, Manifest};
use finegrain::cpu::Cpu;
use finegrain::self_test::{SelfTest, TOLERANCE};
use finegrain::tensors::{Precision, Tensor, TensorMap};
use finegrain_native::measure::{Confused, Measures, Score, Tally};
use finegrain_native::store;
use serde_json::{Value, json};

use crate::program::{finegrain, has_adapter, json as document, labels, listing, photo, preprocessing, refusal, small};

/// A run folder as `finegrain train` leaves it, with random weights.
fn write_run(dir: &Path, edit: impl FnOnce(&mut TensorMap)) {
    let (architecture, mut weights) = small();
    edit(&mut weights);
    fs::write(dir.join("model.safetensors"), weights.write(Precision::F32).unwrap()).unwrap();
    let record = json!({
        "format": 1,
        "id": "small",
        "title": "Small",
        "architecture": architecture,
        "preprocessing": preprocessing(),
        "labels": labels(),
        "training": {
            "finegrain": "0.1.0",
            "device": "cpu",
            "train_photos": 10,
            "test_photos": 5,
            "init_sha256": null,
            "init_file": null,
            "epochs": 1,
            "steps": 2,
            "seconds": 3.0,
            "final_train_loss": 1.5,
            "final_train_accuracy": 0.25,
            "test_top1": null,
            "recipe": {
                "id": "small",
                "title": "Small",
                "data": { "kind": "cub" },
                "model": {
                    "image_size": [32, 32], "patch_size": 8, "dim": 32, "depth": 3, "heads": 2,
                    "mechanism": architecture.mechanism,
                },
                "train": { "init": "/home/someone/secret/vit.safetensors", "epochs": 1, "batch": 4, "lr": 1e-4 },
            },
        },
    });
    fs::write(dir.join("run.json"), record.to_string()).unwrap();
}

fn export(run: &Path, out: &Path, precision: &str) -> Value {
    document(finegrain(["export", "--precision", precision]).arg(run).arg("--out").arg(out))
}

#[test]
fn a_run_becomes_a_bundle() {
    let dir = tempfile::tempdir().unwrap();
    let (run, out) = (dir.path().join("run"), dir.path().join("models/small"));
    fs::create_dir(&run).unwrap();
    write_run(&run, |_| {});
    let exported = export(&run, &out, "f16");
    assert_eq!(
        (&exported["id"], &exported["classes"], &exported["precision"]),
        (&json!("small"), &json!(5), &json!("f16"))
    );
    assert_eq!(exported["index"], Value::Null);
    assert_eq!(listing(&out), ["README.md", "manifest.json", "model.safetensors", "trace.safetensors"]);
    assert_eq!(listing(&dir.path().join("models")), ["small"], "nothing else is left");
    let bundle = store::open(&out).unwrap();
    assert_eq!(exported["bytes"], bundle.manifest.bytes());
    assert!(bundle.weights.get("loss_log_var").is_none());
    assert_eq!(bundle.manifest.training["steps"], 2);
    let manifest = fs::read_to_string(out.join(MANIFEST)).unwrap();
    assert!(!manifest.contains("/home"), "folders of a machine are nobody's business");
    assert!(manifest.contains("vit.safetensors"));

    // A second export takes the place of the first; f32 has the trained weights as they are.
    export(&run, &out, "f32");
    let (_, mut weights) = small();
    weights.remove("loss_log_var");
    assert_eq!(store::open(&out).unwrap().weights, weights);
    assert_eq!(listing(&dir.path().join("models")), ["small"]);
}

#[test]
fn the_card_tells_what_is_known_and_is_no_part_of_the_bundle() {
    let dir = tempfile::tempdir().unwrap();
    let (run, out) = (dir.path().join("run"), dir.path().join("small"));
    fs::create_dir(&run).unwrap();
    write_run(&run, |_| {});
    export(&run, &out, "f16");
    let card = || fs::read_to_string(out.join("README.md")).unwrap();
    for words in [
        "# Small",
        "one of 5 classes",
        "10 photos",
        "Not measured",
        "--dataset cub",
        "None: no photos were held out",
        "epochs = 1",
        "The photos of the data set are not included",
    ] {
        assert!(card().contains(words), "{words}: {}", card());
    }
    assert!(!card().contains("/home"), "folders of a machine are nobody's business");
    assert!(store::open(&out).unwrap().manifest.calibration.is_none());

    let score = Score { top1: 0.8, top5: 1.0 };
    let mut tally = Tally::new(5, None).measured();
    tally.photos = 5;
    tally.answer = score;
    let calibration = Calibration { temperature: 1.25, threshold: 0.5, photos: 7 };
    let measures =
        Measures { format: 1, calibration: Some(calibration), held_out: None, test: Some(tally), retrieval: None };
    measures.write(&run).unwrap();
    export(&run, &out, "f16");
    assert_eq!(store::open(&out).unwrap().manifest.calibration, Some(calibration));
    for words in
        ["On 5 test photos", "| answer (mean of both) | 80.00 % | 100.00 % |", "Temperature 1.2500", "7 photos"]
    {
        assert!(card().contains(words), "{words}: {}", card());
    }
    // Whatever is done to the card, the bundle stays what it is.
    fs::write(out.join("README.md"), "notes").unwrap();
    store::open(&out).unwrap();
    fs::write(run.join("measures.json"), "{").unwrap();
    assert!(
        refusal(finegrain(["export", "--json"]).arg(&run).arg("--out").arg(&out))
            .contains("measures.json\" is damaged")
    );
}

#[test]
fn an_index_beside_the_bundle_lists_it() {
    let dir = tempfile::tempdir().unwrap();
    let (run, models) = (dir.path().join("run"), dir.path().join("models"));
    fs::create_dir(&run).unwrap();
    fs::create_dir(&models).unwrap();
    write_run(&run, |_| {});
    let index = models.join("index.json");
    fs::write(&index, r#"{"models": [{"id": "other", "title": "Other"}, {"id": "small", "title": "old"}]}"#).unwrap();
    export(&run, &models.join("small"), "f16");
    let listed: Value = serde_json::from_slice(&fs::read(&index).unwrap()).unwrap();
    let manifest = Manifest::read(&fs::read(models.join("small").join(MANIFEST)).unwrap()).unwrap();
    let expected = json!({
        "id": "small", "title": "Small", "path": "models/small/", "classes": 5, "bytes": manifest.bytes(),
        "precision": "f16", "memory": manifest.memory(), "mechanism": "dcal",
    });
    assert!(manifest.memory().is_some_and(|bytes| bytes > manifest.bytes()));
    assert_eq!(listed["models"], json!([{ "id": "other", "title": "Other" }, expected]));
}

/// An index that cannot be written to is told before the bundle that it lists is replaced.
#[test]
fn a_damaged_index_is_told_first() {
    let dir = tempfile::tempdir().unwrap();
    let (run, models) = (dir.path().join("run"), dir.path().join("models"));
    fs::create_dir(&run).unwrap();
    fs::create_dir(&models).unwrap();
    write_run(&run, |_| {});
    for (text, said) in [("{", "is not valid JSON"), (r#"{"models": 3}"#, "has no list")] {
        fs::write(models.join("index.json"), text).unwrap();
        let refused = refusal(finegrain(["export", "--json"]).arg(&run).arg("--out").arg(models.join("small")));
        assert!(refused.contains(said), "{refused}");
        assert!(!models.join("small").exists());
    }
}

#[test]
fn a_listed_bundle_says_and_keeps_whose_subject_it_shares() {
    let dir = tempfile::tempdir().unwrap();
    let (run, models) = (dir.path().join("run"), dir.path().join("models"));
    fs::create_dir_all(&models).unwrap();
    fs::create_dir(&run).unwrap();
    write_run(&run, |_| {});
    let (index, out) = (models.join("index.json"), models.join("small"));
    fs::write(&index, r#"{"models": []}"#).unwrap();
    let subject = || {
        let listed: Value = serde_json::from_slice(&fs::read(&index).unwrap()).unwrap();
        listed["models"][0]["subject"].clone()
    };
    let export_with = |arguments: &[&str]| {
        let mut command = finegrain(["export"]);
        command.args(arguments).arg(&run).arg("--out");
        command
    };
    export(&run, &out, "f16");
    assert_eq!(subject(), Value::Null, "by itself it is its own");
    document(export_with(&["--subject", "letters"]).arg(&out));
    assert_eq!(subject(), "letters");
    export(&run, &out, "f16");
    assert_eq!(subject(), "letters", "exported again it keeps its place");
    document(export_with(&["--subject", "signs"]).arg(&out));
    assert_eq!(subject(), "signs");
    let refused = refusal(export_with(&["--subject", "letters"]).arg(dir.path().join("unlisted")));
    assert!(refused.contains("--index"), "{refused}");
    assert_eq!(listing(dir.path()), ["models", "run"], "and nothing is written");
}

#[test]
fn what_cannot_be_exported_is_named_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    fs::create_dir(&run).unwrap();
    let out = dir.path().join("out");
    let said = || refusal(finegrain(["export", "--json"]).arg(&run).arg("--out").arg(&out));
    assert!(said().contains("has this training run finished"));
    write_run(&run, |_| {});
    fs::write(run.join("run.json"), "{}").unwrap();
    assert!(said().contains("is damaged"));
    write_run(&run, |weights| drop(weights.remove("blocks.1.norm1.weight")));
    assert!(said().contains("\"blocks.1.norm1.weight\" is missing"));
    write_run(&run, |weights| weights.insert("head.bias", Tensor::f32([5], vec![f32::INFINITY; 5])));
    assert!(said().contains("\"head.bias\" holds a value that is not a finite number"));
    write_run(&run, |weights| weights.insert("head.bias", Tensor::f32([5], vec![1e30; 5])));
    assert!(said().contains("\"head.bias\" holds values beyond the range of f16"));
    write_run(&run, |weights| weights.insert("surplus", Tensor::f32([1], vec![0.0])));
    assert!(said().contains("\"surplus\" does not belong to this network"));
    assert_eq!(listing(dir.path()), ["run"], "no partial output");
}

#[test]
fn a_folder_with_something_else_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (run, out) = (dir.path().join("run"), dir.path().join("thesis"));
    fs::create_dir(&run).unwrap();
    fs::create_dir(&out).unwrap();
    write_run(&run, |_| {});
    fs::write(out.join("chapter.txt"), "years of work").unwrap();
    let text = refusal(finegrain(["export", "--json"]).arg(&run).arg("--out").arg(&out));
    assert!(text.contains("exists and is not a bundle"), "{text}");
    assert_eq!(listing(&out), ["chapter.txt"]);
}

/// Measures of five test photos, two of which were taken for another class.
fn measures() -> Measures {
    let mut test = Tally::new(5, None).measured();
    test.photos = 5;
    test.answer = Score { top1: 0.6, top5: 1.0 };
    test.per_class = vec![[1, 3], [1, 1], [0, 0], [1, 1], [0, 0]];
    test.confused = vec![Confused { right: 0, named: 3, photos: 2, examples: vec![1, 4] }];
    Measures { format: 1, calibration: None, held_out: None, test: Some(test), retrieval: None }
}

#[test]
fn confused_pairs_and_accuracy_are_told_where_they_were_measured() {
    let dir = tempfile::tempdir().unwrap();
    let (run, models) = (dir.path().join("run"), dir.path().join("models"));
    fs::create_dir_all(&models).unwrap();
    fs::create_dir(&run).unwrap();
    write_run(&run, |_| {});
    measures().write(&run).unwrap();
    let index = models.join("index.json");
    fs::write(&index, r#"{"models": []}"#).unwrap();
    export(&run, &models.join("small"), "f16");
    let manifest = store::open(&models.join("small")).unwrap().manifest;
    assert_eq!(manifest.confused, [bundle::Confused { right: 0, named: 3, photos: 2, of: 3 }]);
    let listed: Value = serde_json::from_slice(&fs::read(&index).unwrap()).unwrap();
    assert_eq!((&listed["models"][0]["accuracy"], &listed["models"][0]["test_photos"]), (&json!(0.6), &json!(5)));
}

/// The bundle's own golden trace on the CPU path.
fn passes_its_own_test(dir: &Path) {
    let bundle = store::open(dir).unwrap();
    let network = Cpu::load(&bundle.manifest.architecture, &bundle.weights).unwrap();
    let answer = network.classify(bundle.trace.reals("input.images").unwrap()).unwrap();
    let test = SelfTest::new(&answer, &bundle.trace, TOLERANCE).unwrap();
    assert!(test.passed, "{test:?}");
}

#[test]
fn a_bundle_is_stored_in_another_precision() {
    let dir = tempfile::tempdir().unwrap();
    let (run, models) = (dir.path().join("run"), dir.path().join("models"));
    fs::create_dir_all(&models).unwrap();
    fs::create_dir(&run).unwrap();
    write_run(&run, |_| {});
    let index = models.join("index.json");
    fs::write(&index, r#"{"models": []}"#).unwrap();
    export(&run, &models.join("small"), "f16");
    let listed = fs::read(&index).unwrap();

    let exported = export(&models.join("small"), &models.join("small-int8"), "int8");
    assert_eq!((&exported["precision"], &exported["index"]), (&json!("int8"), &Value::Null));
    assert_eq!(fs::read(&index).unwrap(), listed, "the bundle that was listed still is");
    let (half, eighth) =
        (store::open(&models.join("small")).unwrap(), store::open(&models.join("small-int8")).unwrap());
    assert_eq!(eighth.weights, bundle::round(&half.weights, Precision::Int8).unwrap());
    let kept = Manifest { precision: Precision::F16, files: half.manifest.files.clone(), ..eighth.manifest.clone() };
    assert_eq!(kept, half.manifest, "only precision and files differ");
    assert!(eighth.manifest.bytes() < half.manifest.bytes());
    assert_ne!(eighth.trace, half.trace, "the golden trace is that of the rounded weights");
    passes_its_own_test(&models.join("small-int8"));
    let card = fs::read_to_string(models.join("small-int8/README.md")).unwrap();
    for words in ["8-bit in linear layers", "# Small", "Stored in another precision", "measured before that"] {
        assert!(card.contains(words), "{words}: {card}");
    }
    assert!(!card.contains("16-bit |"), "{card}");

    // The run itself in eight bits; a zip of it, and back to f32, which loses nothing more.
    export(&run, &models.join("direct"), "int8");
    passes_its_own_test(&models.join("direct"));
    let zip = dir.path().join("small.zip");
    export(&models.join("small-int8"), &zip, "int8");
    assert_eq!(store::open(&zip).unwrap().weights, eighth.weights);
    export(&zip, &models.join("wide"), "f32");
    assert_eq!(store::open(&models.join("wide")).unwrap().weights, eighth.weights);
    let refused = refusal(finegrain(["export", "--json"]).arg(&index).arg("--out").arg(dir.path().join("x")));
    assert!(refused.contains("index.json"), "{refused}");
}

#[test]
fn a_bundle_in_eight_bits_classifies_alike_everywhere() {
    let dir = tempfile::tempdir().unwrap();
    let (run, out) = (dir.path().join("run"), dir.path().join("small"));
    fs::create_dir(&run).unwrap();
    write_run(&run, |_| {});
    export(&run, &out, "int8");
    let classify = |more: &[&str]| {
        let mut command = finegrain(["classify", "--top", "5", "--bundle"]);
        document(command.arg(&out).arg(photo("plain.png")).args(more))
    };
    let probability = |found: &Value| -> Vec<(String, f64)> {
        let list = found[0]["predictions"].as_array().unwrap();
        list.iter().map(|p| (p["label"].as_str().unwrap().into(), p["probability"].as_f64().unwrap())).collect()
    };
    let expected = probability(&classify(&["--backend", "cpu"]));
    assert_eq!(expected.len(), 5);
    if !has_adapter() {
        return;
    }
    // As it is stored, and widened: the same values.
    for precision in ["auto", "int8", "f32"] {
        let found = probability(&classify(&["--backend", "webgpu", "--precision", precision]));
        for ((label, found), (expected_label, expected)) in found.iter().zip(&expected) {
            assert_eq!(label, expected_label, "{precision}");
            assert!((found - expected).abs() < 1e-5, "{precision}: {found} {expected}");
        }
    }
    let mut command = finegrain(["classify", "--json", "--backend", "cpu", "--precision", "f16", "--bundle"]);
    let refused = refusal(command.arg(&out).arg(photo("plain.png")));
    assert!(refused.contains("--precision") && refused.contains("--backend webgpu"), "{refused}");
}

#[test]
fn a_hierarchy_is_given_by_a_file_or_a_rule() {
    let dir = tempfile::tempdir().unwrap();
    let (run, out) = (dir.path().join("run"), dir.path().join("small"));
    fs::create_dir(&run).unwrap();
    write_run(&run, |_| {});
    let levels = |choice: &str| {
        document(finegrain(["export", "--hierarchy", choice]).arg(&run).arg("--out").arg(&out));
        store::open(&out).unwrap().manifest.hierarchy
    };
    // The names are single words: the rule of the data set groups nothing.
    export(&run, &out, "f16");
    assert_eq!(store::open(&out).unwrap().manifest.hierarchy, []);
    assert_eq!(levels("cars"), [], "five makes for five classes");
    let file = dir.path().join("levels.csv");
    fs::write(&file, "class,where\nAuk,sea\nBittern,reeds\nCrane,\nDunlin,shore\nEider,sea\n").unwrap();
    let found = levels(file.to_str().unwrap());
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].name.as_str(), &found[0].groups),
        ("where", &["sea", "reeds", "shore"].map(String::from).to_vec())
    );
    assert_eq!(found[0].of_class, [Some(0), Some(1), None, Some(2), Some(0)]);
    let refused =
        refusal(finegrain(["export", "--json", "--hierarchy", "no-such-rule"]).arg(&run).arg("--out").arg(&out));
    assert!(refused.contains("no-such-rule") && refused.contains("last-word"), "{refused}");
}

#[test]
fn a_zip_is_a_bundle_too() {
    let dir = tempfile::tempdir().unwrap();
    let (run, out, folder) = (dir.path().join("run"), dir.path().join("small.zip"), dir.path().join("small"));
    fs::create_dir(&run).unwrap();
    write_run(&run, |_| {});
    let exported = export(&run, &out, "f16");
    assert_eq!(exported["index"], Value::Null);
    export(&run, &folder, "f16");
    assert_eq!(store::open(&out).unwrap(), store::open(&folder).unwrap());
    assert_eq!(listing(dir.path()), ["run", "small", "small.zip"], "nothing else is left");
    // The same bundle gives the same file.
    let first = fs::read(&out).unwrap();
    export(&run, &out, "f16");
    assert_eq!(fs::read(&out).unwrap(), first);
    fs::write(&out, &first[..first.len() / 2]).unwrap();
    let error = format!("{:#}", store::open(&out).unwrap_err());
    assert!(error.contains("small.zip") && error.contains("cannot be read"), "{error}");
    let index = dir.path().join("index.json");
    let refused = refusal(finegrain(["export", "--json"]).arg(&run).arg("--out").arg(&out).arg("--index").arg(&index));
    assert!(refused.contains("cannot be listed"), "{refused}");
}

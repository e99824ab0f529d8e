//! What training does.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use finegrain::model::Network;
use finegrain::tensors::TensorMap;
use finegrain_native::train::{Config, DeviceChoice, RunRecord, train};
use finegrain_native::weights::Import;

use super::place::{Place, TINY, epoch_losses};

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
fn the_logs_say_the_same() {
    let place = Place::new(&TINY.replace("[model]", "held_out = 0.25\n\n[model]").replace("epochs = 4", "epochs = 2"));
    train(&place.options("run")).unwrap().unwrap();
    let lines = |name: &str| -> Vec<String> {
        fs::read_to_string(place.path("run").join(name)).unwrap().lines().map(str::to_owned).collect()
    };
    let json: Vec<serde_json::Value> = lines("log.jsonl").iter().map(|l| serde_json::from_str(l).unwrap()).collect();
    for (table, is_of, key) in [("log.csv", "loss", "gradient_norm"), ("epochs.csv", "epoch_loss", "held_out_top1")] {
        let table = lines(table);
        let column = table[0].split(',').position(|name| name == key).unwrap();
        let values: Vec<f64> =
            table[1..].iter().map(|line| line.split(',').nth(column).unwrap().parse().unwrap()).collect();
        let expected: Vec<f64> =
            json.iter().filter(|line| !line[is_of].is_null()).map(|line| line[key].as_f64().unwrap()).collect();
        // serde_json reads a real number to the last unit but one, unless it is told to take the time.
        let same = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-15 * (a.abs() + b.abs());
        assert!(
            values.len() == expected.len() && values.iter().zip(&expected).all(same),
            "{key}: {values:?}, {expected:?}"
        );
        assert!(table.iter().all(|line| line.split(',').count() == table[0].split(',').count()), "{table:?}");
    }
    assert!(
        json.iter().all(|line| line["waiting"].is_null() != line["epoch_loss"].is_null()),
        "waiting for data is told"
    );
    assert!(!cfg!(target_os = "linux") || json.iter().any(|line| line["peak_mib"].as_f64() > Some(1.0)));
}

#[test]
fn stochastic_depth_is_a_key() {
    let place = Place::new(&TINY.replace("epochs = 4", "epochs = 1"));
    train(&place.options("without")).unwrap().unwrap();
    place.change_recipe("seed = 7", "seed = 7\ndrop_path = 0.5");
    train(&place.options("with")).unwrap().unwrap();
    assert!(place.weights("with") != place.weights("without"));
    place.change_recipe("workers = 2", "workers = 3");
    train(&place.options("again")).unwrap().unwrap();
    assert!(place.weights("with") == place.weights("again"), "the number of workers changes no bit");
}

#[test]
fn a_pytorch_checkpoint_is_a_start() {
    // Made by tests/tools/make_pth_fixture.py: {"model": ...} with timm's names, halves, five classes.
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/deit.pth");
    let place = Place::new(&TINY.replace("epochs = 4", "epochs = 1\nfreeze = 2"));
    let mut options = place.options("run");
    options.init = Some(file);
    let record = train(&options).unwrap().unwrap();
    assert_eq!(record.training.init_file.as_deref(), Some("deit.pth"));
    let weights = TensorMap::read(&place.weights("run")).unwrap();
    for name in
        ["cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.1.attn.qkv.weight", "blocks.0.mlp.fc2.bias"]
    {
        for (i, found) in weights.reals(name).unwrap().iter().enumerate() {
            let expected = ((37 * i + name.len()) % 101) as f32 / 512.0 - 50.0 / 512.0;
            assert_eq!(*found, expected, "{name}, value {i}");
        }
    }
    let report: Import = serde_json::from_slice(&fs::read(place.path("run/import.json")).unwrap()).unwrap();
    assert_eq!((report.names.as_str(), report.matched.len()), ("timm", 30));
    assert!(report.missing.contains(&"head.weight".into()) && report.missing.contains(&"glca.attn.qkv.weight".into()));
    assert_eq!(report.left_over, ["head.bias", "head.weight"]);
}

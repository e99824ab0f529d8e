//! Recipes: every key is checked, printed and explained.

use std::fs;
use std::path::Path;
use std::process::Command;

use finegrain_native::train::{Config, RECIPES};

use super::place::{Place, TINY};

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
        assert_eq!(recipe.reid.is_some(), matches!(name, "paper-persons" | "paper-rga-persons" | "paper-vehicles"));
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
    for absent in
        ["# init = ", "# [teachers]\n", "# backbone = ", "[model.mechanism]", "\nmicro_batch = 2\n", "TrivialAugment"]
    {
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
    let residual =
        TINY.replace("patch_size = 8\ndim = 24\ndepth = 2\nheads = 2", "backbone = \"resnet-50\"\nlast_stride = 1");
    let line = residual.lines().find(|line| line.starts_with("mechanism")).unwrap().to_owned();
    let residual = residual.replace(&line, "mechanism = { name = \"none\" }");
    let recipe = Config::parse(&residual).unwrap();
    let model = &recipe.model;
    assert_eq!((model.patch_size, model.dim, model.depth, model.heads, model.mlp_ratio), (16, 2048, 4, 1, 1));
    assert_eq!(
        (recipe.pixels.std, model.resnet.as_ref().unwrap().strides.as_slice()),
        ([0.229, 0.224, 0.225], &[1, 2, 2, 1][..])
    );
    assert_eq!(Config::parse(&recipe.to_toml().unwrap()).unwrap(), recipe);
    for (from, to, words) in [
        ("last_stride = 1", "last_stride = 3", "model.last_stride is 3, it must be 1 or 2"),
        ("last_stride = 1", "dim = 512", "2048"),
        ("epochs = 4", "epochs = 4\ndrop_path = 0.1", "train.drop_path is 0.1, it must be 0 with a residual network"),
        ("epochs = 4", "epochs = 4\nprecision = \"bf16\"", "it must be \"f32\" with a residual network"),
        (
            "{ name = \"none\" }",
            "{ name = \"dcal\", ratio = 0.1, glca = true, pwca = false }",
            "DCAL looks at a transformer's tokens",
        ),
    ] {
        let recipe = residual
            .replacen(from, to, 1)
            .replace("batch = 6", if from.starts_with("kind") { "batch = 8" } else { "batch = 6" });
        let error = Config::parse(&recipe).unwrap_err().to_string();
        assert!(error.contains(words), "{to}: {error}");
    }
    let error = Config::parse(&named.replace("deit-small", "deit-huge")).unwrap_err().to_string();
    assert!(error.contains("deit-huge") && error.contains("deit-base"), "{error}");
}

//! Training on hybrids: convolutions stand before the transformer's patches, whose weights are standardised and whose norms keep nothing.

use std::fs;

use finegrain::tensors::{Tensor, TensorMap};
use finegrain_native::train::{Config, train};
use finegrain_native::weights::Import;

use super::mechanism::{exported, recipe, same_logits};
use super::place::{Place, TINY, epoch_losses, kill_and_resume};

const SHAPE: &str = "patch_size = 8\ndim = 24\ndepth = 2\nheads = 2";
const TWO_STAGES: &str = "hybrid = { blocks = [2, 1], width = 8, groups = 4 }\ndim = 24\ndepth = 2\nheads = 2";
const TASN: &str = "{ name = \"tasn\", zoom = 2, after = 1 }";

/// Two stages before patches of 8 pixels; with DCAL, or with another mechanism.
fn hybrid(mechanism: Option<&str>) -> String {
    let recipe = mechanism.map_or_else(|| TINY.to_owned(), recipe);
    assert!(recipe.contains(SHAPE));
    recipe.replace(SHAPE, TWO_STAGES)
}

#[test]
fn the_loss_falls_and_a_killed_run_ends_with_the_same_weights() {
    let place = Place::new(&hybrid(None).replace("epochs = 4", "epochs = 5\nema = 0.9"));
    train(&place.options("whole")).unwrap().unwrap();
    let losses = epoch_losses(&place.path("whole"));
    assert!(losses[4] < 0.9 * losses[0], "{losses:?}");
    kill_and_resume(place.folder.path(), "killed");
    assert!(place.weights("whole") == place.weights("killed"), "bit for bit");
}

#[test]
fn a_run_becomes_a_bundle_that_answers_as_the_network_does() {
    for mechanism in [None, Some(TASN)] {
        let made = exported(&Place::new(&hybrid(mechanism).replace("epochs = 4", "epochs = 2")));
        let words = "vision transformer, 2 blocks, width 24, 2 heads, patches of 8 pixels behind 2 + 1 residual blocks in 2 stages";
        assert!(made.card.contains(words), "{}", made.card);
        assert!(made.bundle.weights.get("patch_embed.backbone.stages.1.blocks.0.downsample.norm.bias").is_some());
        same_logits(&made.found.logits_sa, &made.expected.logits_sa);
    }
}

/// Weights as timm saves them, of another size and other classes; of another hybrid and of none.
#[test]
fn weights_from_elsewhere_are_a_start() {
    let place = Place::new(&hybrid(None).replace("epochs = 4", "epochs = 1"));
    train(&place.options("whole")).unwrap().unwrap();
    let own = TensorMap::read(&place.weights("whole")).unwrap();
    let mut file = TensorMap::default();
    let of_training = |name: &str| name.starts_with("glca") || name == "loss_log_var";
    for (name, tensor) in own.iter().filter(|(name, _)| !of_training(name) && !name.starts_with("head.")) {
        file.insert(name, tensor.clone());
    }
    file.insert("pos_embed", Tensor::f32([1, 10, 24], (0..240).map(|i| i as f32 / 240.0).collect()));
    let write = |file: &TensorMap| {
        fs::write(place.path("foreign.safetensors"), file.write(Default::default()).unwrap()).unwrap();
    };
    write(&file);
    let mut options = place.options("started");
    options.init = Some(place.path("foreign.safetensors"));
    options.set = ["train.lr=1e-30", "train.freeze=2"].map(String::from).to_vec();
    train(&options).unwrap().unwrap();
    let report: Import = serde_json::from_slice(&fs::read(place.path("started/import.json")).unwrap()).unwrap();
    assert_eq!((report.names.as_str(), report.interpolated), ("timm", vec!["pos_embed".to_owned()]));
    assert!(
        report.matched.contains(&"patch_embed.backbone.stem.conv.weight".to_owned()) && report.left_over.is_empty()
    );
    assert!(report.missing.iter().all(|name| of_training(name) || name.starts_with("head.")), "{:?}", report.missing);
    let started = TensorMap::read(&place.weights("started")).unwrap();
    let frozen: Vec<_> = own.iter().filter(|(name, _)| name.starts_with("patch_embed.")).collect();
    // A weight and a norm for the first convolution, three in each block and each shortcut; the patch embedding.
    assert_eq!(frozen.len(), 3 * (1 + 3 * 3 + 2) + 2);
    for (name, tensor) in frozen {
        assert_eq!(started.get(name), Some(tensor), "{name}");
    }

    let refused = |file: &TensorMap| {
        write(file);
        place.error(|options| options.init = Some(place.path("foreign.safetensors")))
    };
    let mut longer = file.clone();
    longer.insert("patch_embed.backbone.stages.1.blocks.1.conv1.weight", Tensor::f32([1], vec![0.0]));
    let sentence = refused(&longer);
    assert!(
        sentence.contains("patches behind [2, 2] residual blocks of width 8")
            && sentence.contains("says dim 24, depth 2, patches behind [2, 1] residual blocks of width 8"),
        "{sentence}"
    );
    let plain = Place::new(TINY);
    train(&plain.options("whole")).unwrap().unwrap();
    let sentence = refused(&TensorMap::read(&plain.weights("whole")).unwrap());
    assert!(sentence.contains("(dim 24, depth 2, patch_size 8, mlp_ratio 4)"), "{sentence}");
}

#[test]
fn a_recipe_names_it_or_describes_it() {
    let named = Config::parse(&TINY.replace(SHAPE, "backbone = \"r50-vit-base\"")).unwrap();
    let model = &named.model;
    assert_eq!((model.patch_size, model.dim, model.depth, model.heads), (16, 768, 12, 12));
    assert_eq!(model.hybrid.as_ref().unwrap().blocks, [3, 4, 9]);
    assert_eq!(named.pixels.mean, [0.5; 3]);
    assert_eq!(Config::parse(&named.to_toml().unwrap()).unwrap(), named);
    let described = Config::parse(&hybrid(None)).unwrap();
    assert_eq!(described.model.patch_size, 8);
    assert_eq!(Config::parse(&described.to_toml().unwrap()).unwrap(), described);
    for (from, to, words) in [
        ("blocks = [2, 1]", "blocks = [2, 0]", "the blocks of the hybrid are [2, 0]"),
        ("groups = 4", "groups = 3", "width and groups of the hybrid are 8 and 3"),
        ("dim = 24", "patch_size = 16\ndim = 24", "patch_size is 16, with the 2 stages of this hybrid it is 8"),
    ] {
        let error = Config::parse(&hybrid(None).replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(words), "{to}: {error}");
    }
    let both = "blocks = [1], strides = [1], width = 8, block = \"basic\", stem = \"large\"";
    let both = hybrid(None).replacen("hybrid =", &format!("resnet = {{ {both} }}\nhybrid ="), 1);
    let error = Config::parse(&both).unwrap_err().to_string();
    assert!(error.contains("a residual one or a hybrid, not both"), "{error}");
}

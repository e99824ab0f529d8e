//! What cannot be trained is told in one sentence.

use std::fs;
use std::path::Path;

use finegrain::tensors::{Precision, Tensor, TensorMap};
use finegrain_native::train::train;

use super::place::{Place, TINY};

#[test]
fn what_cannot_be_trained_is_one_sentence() {
    let place = Place::new(TINY);
    let missing = place.error(|o| o.config = place.path("absent.toml"));
    assert!(missing.contains("cannot read the recipe") && missing.contains("absent.toml"), "{missing}");
    let no_data = place.error(|o| o.data = place.path("absent"));
    assert!(no_data.contains("absent") && no_data.contains("folder-per-class"), "{no_data}");
    let no_run = place.error(|o| o.resume = true);
    assert!(no_run.contains("no run to resume"), "{no_run}");

    fs::create_dir_all(place.path("data/train/lonely")).unwrap();
    assert!(place.error(|_| ()).contains("class \"lonely\" has no training photo"));
    fs::remove_dir(place.path("data/train/lonely")).unwrap();

    fs::write(place.path("data/train/class_0/broken.jpg"), b"this is no photo").unwrap();
    let broken = place.error(|_| ());
    assert!(broken.contains("broken.jpg"), "{broken}");
    let mut options = place.options("skipping");
    options.set = vec!["data.skip_broken=true".into(), "train.epochs=1".into()];
    let record = train(&options).unwrap().unwrap().training;
    assert_eq!((record.skipped_photos, record.train_photos, record.test_photos), (1, 24, 6));
    fs::remove_file(place.path("data/train/class_0/broken.jpg")).unwrap();
    assert!(!place.path("failing/run.json").exists() && !place.path("failing/model.safetensors").exists());
}

#[test]
fn weights_of_another_architecture_are_refused() {
    let place = Place::new(&TINY.replace("epochs = 4", "epochs = 1"));
    let mut other = TensorMap::default();
    other.insert("conv1.weight", Tensor::f32([1], vec![0.0]));
    fs::write(place.path("other.safetensors"), other.write(Precision::F32).unwrap()).unwrap();
    let error = place.error(|o| o.init = Some(place.path("other.safetensors")));
    assert!(error.contains("other.safetensors") && error.contains("no vision transformer"), "{error}");
    let deit = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/deit.pth");
    let error = place.error(|o| (o.init, o.set) = (Some(deit.clone()), vec!["model.dim=48".into()]));
    assert!(error.contains("dim 24, depth 2, patch_size 8") && error.contains("says dim 48"), "{error}");
    fs::write(place.path("half.pth"), &fs::read(&deit).unwrap()[..20_000]).unwrap();
    let error = place.error(|o| o.init = Some(place.path("half.pth")));
    assert!(error.contains("half.pth") && error.contains("not a readable PyTorch file"), "{error}");
    fs::write(place.path("other.safetensors"), b"no tensors").unwrap();
    let error = place.error(|o| o.init = Some(place.path("other.safetensors")));
    assert!(error.contains("not a readable safetensors file"), "{error}");
    assert!(!place.path("failing").exists(), "nothing was begun");
}

#[test]
fn bf16_is_for_cuda() {
    let place = Place::new(TINY);
    let error = place.error(|o| o.set = vec!["train.precision=bf16".into()]);
    assert!(error.contains("\"bf16\" is for CUDA") && error.contains("cpu"), "{error}");
    let error = place.error(|o| o.set = vec!["train.precision=f16".into()]);
    assert!(error.contains("unknown variant `f16`") && error.contains("`bf16`"), "{error}");
    assert!(!place.path("failing").exists(), "nothing was begun");
}

#[test]
fn several_devices_are_cudas() {
    let error = Place::new(TINY).error(|o| o.devices = vec![0, 1]);
    assert!(error.contains("--devices names CUDA devices") && error.contains("cpu"), "{error}");
}

#[test]
fn a_loss_that_is_no_number_stops_the_run_and_names_the_step() {
    let place = Place::new(&format!("{TINY}\n[pixels]\nstd = [1e-38, 1e-38, 1e-38]\n"));
    let error = place.error(|_| ());
    assert!(error.contains("no longer a number at step 1"), "{error}");
    assert!(!place.path("failing/run.json").exists());
}

//! What the tests of every further mechanism do: its tiny recipe, a start from weights that know nothing of it, its bundle.

use std::fs;
use std::process::Command;

use finegrain::answer::Answer;
use finegrain::bundle::{Bundle, seeded_image};
use finegrain::cpu::Cpu;
use finegrain::model::Network;
use finegrain::tensors::TensorMap;
use finegrain_native::store;
use finegrain_native::train::{DeviceChoice, RunRecord, train};
use finegrain_native::weights::Import;

use super::place::{Place, TINY};

/// The tiny recipe with that mechanism, as TOML.
pub(crate) fn recipe(mechanism: &str) -> String {
    let line = TINY.lines().find(|line| line.starts_with("mechanism")).unwrap();
    TINY.replace(line, &format!("mechanism = {mechanism}"))
}

/// Starts the run `out` from the weights of `whole` without those under `prefix`, and learns nothing: the names of what was left
/// out, what they began as, and what the import says.
pub(crate) fn start_without(place: &Place, prefix: &str, out: &str) -> (Vec<String>, TensorMap, Import) {
    let mut plain = TensorMap::read(&place.weights("whole")).unwrap();
    let own: Vec<String> = plain.iter().map(|(name, _)| name.to_owned()).filter(|n| n.starts_with(prefix)).collect();
    own.iter().for_each(|name| drop(plain.remove(name)));
    fs::write(place.path("plain.safetensors"), plain.write(Default::default()).unwrap()).unwrap();
    let mut options = place.options(out);
    options.init = Some(place.path("plain.safetensors"));
    options.set = ["train.lr=1e-30", "train.epochs=1", "train.ema=0"].map(String::from).to_vec();
    train(&options).unwrap().unwrap();
    let import = serde_json::from_slice(&fs::read(place.path(out).join("import.json")).unwrap()).unwrap();
    (own, TensorMap::read(&place.weights(out)).unwrap(), import)
}

/// A bundle in the folder `bundle`, and what it and the trained network say of one image.
pub(crate) struct Exported {
    pub(crate) bundle: Bundle,
    /// Its model card.
    pub(crate) card: String,
    /// The bundle's, on the CPU path.
    pub(crate) found: Answer,
    /// The network's.
    pub(crate) expected: Answer,
}

/// Trains the run `run` and exports it.
pub(crate) fn exported(place: &Place) -> Exported {
    train(&place.options("run")).unwrap().unwrap();
    let out = place.path("bundle");
    let mut export = Command::new(env!("CARGO_BIN_EXE_finegrain"));
    export.args(["export", "--precision", "f32"]).arg(place.path("run")).arg("--out").arg(&out);
    let exported = export.output().unwrap();
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    let bundle = store::open(&out).unwrap();
    let architecture = &bundle.manifest.architecture;
    assert_eq!(&RunRecord::read(&place.path("run")).unwrap().architecture, architecture);
    let device = DeviceChoice::Cpu.open().unwrap().0;
    let network = Network::new(architecture, &device).load(&TensorMap::read(&place.weights("run")).unwrap()).unwrap();
    let image = seeded_image(5, architecture.input_size());
    let expected = network.classify(network.images(&image, &device)).remove(0);
    let found = Cpu::load(architecture, &bundle.weights).unwrap().classify(&image).unwrap();
    Exported { card: fs::read_to_string(out.join("README.md")).unwrap(), bundle, found, expected }
}

/// Logits that differ by no more than f32 may.
pub(crate) fn same_logits(found: &[f32], expected: &[f32]) {
    assert!(found.len() == expected.len() && found.len() == 3);
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-4 * (1.0 + expected.abs()), "{found} {expected}");
    }
}

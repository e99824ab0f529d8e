//! A recipe and generated photos in a folder of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use finegrain_native::train::{DeviceChoice, TrainOptions, train};
use image::{Rgb, RgbImage};

pub(crate) const TINY: &str = include_str!("../fixtures/tiny.toml");

/// A recipe and generated photos: each class has stripes of its own direction and colour, sizes vary.
pub(crate) struct Place {
    pub(crate) folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new(recipe: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("recipe.toml"), recipe).unwrap();
        for (split, count) in [("train", 8), ("test", 2)] {
            for class in 0..3u32 {
                let path = folder.path().join("data").join(split).join(format!("class_{class}"));
                fs::create_dir_all(&path).unwrap();
                for i in 0..count {
                    photo(class, i + 100 * u32::from(split == "test")).save(path.join(format!("{i}.png"))).unwrap();
                }
            }
        }
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn options(&self, out: &str) -> TrainOptions {
        options(self.folder.path(), out)
    }

    pub(crate) fn weights(&self, out: &str) -> Vec<u8> {
        fs::read(self.path(out).join("model.safetensors")).unwrap()
    }

    /// The sentence of a run that must fail.
    pub(crate) fn error(&self, change: impl FnOnce(&mut TrainOptions)) -> String {
        let mut options = self.options("failing");
        change(&mut options);
        format!("{:#}", train(&options).unwrap_err())
    }

    pub(crate) fn change_recipe(&self, from: &str, to: &str) {
        let path = self.path("recipe.toml");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "the recipe has no \"{from}\"");
        fs::write(path, text.replace(from, to)).unwrap();
    }
}

fn photo(class: u32, seed: u32) -> RgbImage {
    let (width, height) = (40 + seed * 7 % 13, 36 + seed * 5 % 17);
    RgbImage::from_fn(width, height, |x, y| {
        let place = [x, y, x + y][class as usize] + seed;
        let noise = ((x * 31 + y * 17 + seed * 101) % 23) as u8;
        let mut pixel = [40 + noise; 3];
        if (place / 4).is_multiple_of(2) {
            pixel[class as usize] = 200 + noise;
        }
        Rgb(pixel)
    })
}

pub(crate) fn epoch_losses(run: &Path) -> Vec<f64> {
    let log = fs::read_to_string(run.join("log.jsonl")).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.filter_map(|line| line["epoch_loss"].as_f64()).collect()
}

/// Trains `folder`'s recipe on its data, on the CPU.
pub(crate) fn options(folder: &Path, out: &str) -> TrainOptions {
    TrainOptions {
        config: folder.join("recipe.toml"),
        set: Vec::new(),
        data: folder.join("data"),
        out: folder.join(out),
        resume: false,
        device: DeviceChoice::Cpu,
        devices: Vec::new(),
        init: None,
        stop: Arc::new(AtomicBool::new(false)),
    }
}

/// Trains `folder`'s recipe on its data, kills the program after its first checkpoint, and lets it go on to the end.
pub(crate) fn kill_and_resume(folder: &Path, out: &str) {
    let command = |resume: bool| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_finegrain"));
        command.arg("train").arg("--out").arg(folder.join(out));
        if resume {
            command.arg("--resume");
        } else {
            command.arg(folder.join("recipe.toml")).arg("--data").arg(folder.join("data")).args(["--device", "cpu"]);
        }
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    let mut child = command(false).spawn().unwrap();
    // A checkpoint is written after each step; kill (SIGKILL on Unix) as soon as there is one.
    while !folder.join(out).join("checkpoint/state.safetensors").exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!folder.join(out).join("run.json").exists(), "it was killed before it ended");
    assert!(command(true).status().unwrap().success());
}

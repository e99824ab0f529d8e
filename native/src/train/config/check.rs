//! Values that cannot be, each named with what it may be.

use std::fmt::Debug;

use finegrain::architecture::{Dcal, Mechanism};
use finegrain::photo::Fit;

use super::{Choice, Config, ConfigError, PrecisionChoice};
use crate::data::detect::Layout;
use crate::train::augment::STRONGEST;

/// Of a photo's side, as a bundle's preprocessing allows it.
const MOST_PIXELS: usize = 8192;

/// Of a network to be trained: as many as a bundle in f16 may have.
const MOST_PARAMETERS: u64 = 1 << 30;

/// Of the same.
const MOST_BLOCKS: usize = 1024;

/// An error unless `fine`. Conditions are written so that NaN fails every one.
fn need(fine: bool, key: &'static str, value: &dyn Debug, must: &'static str) -> Result<(), ConfigError> {
    if fine { Ok(()) } else { Err(ConfigError::Value { key, value: format!("{value:?}"), must }) }
}

impl Config {
    /// Checks every value that the type alone does not.
    ///
    /// # Errors
    /// The first value that cannot be.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let id_ok = (1..=64).contains(&self.id.len())
            && self.id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_');
        need(id_ok, "id", &self.id, "1 to 64 lower-case letters, digits, - and _")?;
        need((0.0..=0.9).contains(&self.data.held_out), "data.held_out", &self.data.held_out, "from 0 to 0.9")?;
        self.check_train()?;
        self.check_augment()?;
        self.check_pixels()?;
        self.check_reid()?;
        self.check_teachers()?;
        let model = &self.model;
        let fits = model.last_stride.is_none_or(|stride| model.resnet.is_some() && (1..=2).contains(&stride));
        need(fits, "model.last_stride", &model.last_stride.unwrap_or(0), "1 or 2, of a residual network")?;
        let architecture = self.architecture(2);
        architecture.check()?;
        // What no machine that this runs on could hold is told before it is tried.
        need(architecture.depth <= MOST_BLOCKS, "model.depth", &architecture.depth, "at most 1024")?;
        let parameters = architecture.parameters();
        let must = "such that the network has at most a thousand million parameters";
        need(parameters.is_some_and(|count| count <= MOST_PARAMETERS), "model", &parameters.unwrap_or(u64::MAX), must)
    }

    fn check_train(&self) -> Result<(), ConfigError> {
        let t = &self.train;
        let above = |value: f64, most: f64| value > 0.0 && value <= most;
        let held_out = self.data.held_out > 0.0;
        need((1..=100_000).contains(&t.epochs), "train.epochs", &t.epochs, "from 1 to 100000")?;
        need((1..=65_536).contains(&t.batch), "train.batch", &t.batch, "from 1 to 65536")?;
        need(t.micro_batch <= t.batch, "train.micro_batch", &t.micro_batch, "at most train.batch")?;
        need(t.workers <= 1024, "train.workers", &t.workers, "at most 1024")?;
        need((0.0..1.0).contains(&t.momentum), "train.momentum", &t.momentum, "at least 0 and below 1")?;
        need(above(t.lr, 1.0), "train.lr", &t.lr, "above 0 and at most 1")?;
        need((0.0..=t.lr).contains(&t.min_lr), "train.min_lr", &t.min_lr, "from 0 to train.lr")?;
        let factor = t.head_lr_factor;
        need(above(factor, 1e4), "train.head_lr_factor", &factor, "above 0 and at most 10000")?;
        need(above(t.layer_decay, 1.0), "train.layer_decay", &t.layer_decay, "above 0 and at most 1")?;
        let warmup = t.warmup_epochs;
        need((0.0..=t.epochs as f64).contains(&warmup), "train.warmup_epochs", &warmup, "from 0 to train.epochs")?;
        need((0.0..=10.0).contains(&t.weight_decay), "train.weight_decay", &t.weight_decay, "from 0 to 10")?;
        need(t.clip_norm >= 0.0, "train.clip_norm", &t.clip_norm, "0 or more")?;
        let smoothing = t.label_smoothing;
        need((0.0..1.0).contains(&smoothing), "train.label_smoothing", &smoothing, "at least 0 and below 1")?;
        need((0.0..1.0).contains(&t.drop_path), "train.drop_path", &t.drop_path, "at least 0 and below 1")?;
        need((0.0..1.0).contains(&t.ema), "train.ema", &t.ema, "at least 0 and below 1")?;
        let vit = self.model.resnet.is_none();
        let narrow = match self.model.mechanism {
            Mechanism::Rga(_) => Some("\"f32\" with the mechanism \"rga\""),
            Mechanism::Rectify(_) => Some("\"f32\" with the mechanism \"rectify\""),
            Mechanism::Tasn(_) => Some("\"f32\" with the mechanism \"tasn\""),
            Mechanism::Dcal(Dcal { gates: Some(_), .. }) => Some("\"f32\" with RGA's gates"),
            Mechanism::None | Mechanism::Dcal(_) => (!vit).then_some("\"f32\" with a residual network"),
        };
        if let Some(must) = narrow {
            need(t.precision != PrecisionChoice::Bf16, "train.precision", &"bf16", must)?;
        }
        need(t.drop_path == 0.0 || vit, "train.drop_path", &t.drop_path, "0 with a residual network")?;
        need(t.freeze <= self.model.depth, "train.freeze", &t.freeze, "at most model.depth")?;
        let must = "0 without held-out photos (data.held_out)";
        need(t.early_stopping == 0 || held_out, "train.early_stopping", &t.early_stopping, must)?;
        let must = "\"last\" without held-out photos (data.held_out)";
        need(t.result == Choice::Last || held_out, "train.result", &"best", must)?;
        need((1..=10_000).contains(&t.keep), "train.keep", &t.keep, "from 1 to 10000")?;
        let minutes = t.checkpoint_minutes;
        need(above(minutes, 1e6), "train.checkpoint_minutes", &minutes, "above 0 and at most 1000000")
    }

    fn check_augment(&self) -> Result<(), ConfigError> {
        let a = &self.augment;
        let range = |[low, high]: [f64; 2], most: f64| low > 0.0 && low <= high && high <= most;
        let must = "two rising values above 0 and at most 1";
        need(range(a.crop_scale, 1.0), "augment.crop_scale", &a.crop_scale, must)?;
        let must = "two rising values above 0 and at most 10";
        need(range(a.crop_aspect, 10.0), "augment.crop_aspect", &a.crop_aspect, must)?;
        let colours = [
            ("augment.brightness", a.brightness),
            ("augment.contrast", a.contrast),
            ("augment.saturation", a.saturation),
        ];
        for (key, value) in colours {
            need((0.0..=1.0).contains(&value), key, &value, "from 0 to 1")?;
        }
        need(a.rand_operations <= 20, "augment.rand_operations", &a.rand_operations, "at most 20")?;
        need(a.rand_magnitude <= STRONGEST, "augment.rand_magnitude", &a.rand_magnitude, "at most 30")?;
        let probabilities =
            [("augment.flip", a.flip), ("augment.erase", a.erase), ("augment.mix_probability", a.mix_probability)];
        for (key, value) in probabilities {
            need((0.0..=1.0).contains(&value), key, &value, "from 0 to 1")?;
        }
        let [height, width] = self.input_size();
        let must = "at most half of the short side of the photos (model.image_size, times the zoom of TASN)";
        need(a.pad <= height.min(width) / 2, "augment.pad", &a.pad, must)?;
        for (key, value) in [("augment.mixup", a.mixup), ("augment.cutmix", a.cutmix)] {
            need((0.0..=100.0).contains(&value), key, &value, "from 0 to 100")?;
        }
        Ok(())
    }

    fn check_reid(&self) -> Result<(), ConfigError> {
        let Some(r) = &self.reid else { return Ok(()) };
        let (kind, batch) = (self.data.kind, self.train.batch);
        let must = "left out: data.kind is no data set of re-identification";
        need(matches!(kind, Layout::Identities(_)), "[reid]", r, must)?;
        need((2..=1024).contains(&r.photos), "reid.photos", &r.photos, "from 2 to 1024")?;
        let must = "a multiple of reid.photos, at least twice as much";
        need(batch.is_multiple_of(r.photos) && batch >= 2 * r.photos, "train.batch", &batch, must)?;
        need((0.0..=100.0).contains(&r.margin), "reid.margin", &r.margin, "from 0 to 100")?;
        let weight = r.triplet_weight;
        need((0.0..=1000.0).contains(&weight), "reid.triplet_weight", &weight, "from 0 to 1000")?;
        let must = "0 for re-identification";
        need(self.data.held_out == 0.0, "data.held_out", &self.data.held_out, must)?;
        // Votes for identities say nothing of persons that nobody has seen; TASN's paper has classes only.
        let other = match self.model.mechanism {
            Mechanism::Rectify(_) => Some("rectify"),
            Mechanism::Tasn(_) => Some("tasn"),
            Mechanism::None | Mechanism::Dcal(_) | Mechanism::Rga(_) => None,
        };
        let must = "\"none\", \"dcal\" or \"rga\" for re-identification";
        need(other.is_none(), "model.mechanism", &other.unwrap_or_default(), must)?;
        let must = "0 for re-identification";
        need(self.augment.mixup == 0.0, "augment.mixup", &self.augment.mixup, must)?;
        need(self.augment.cutmix == 0.0, "augment.cutmix", &self.augment.cutmix, must)
    }

    fn check_teachers(&self) -> Result<(), ConfigError> {
        let Some(t) = &self.teachers else { return Ok(()) };
        let must = "left out: re-identification compares features, and teachers answer with classes";
        need(self.reid.is_none(), "[teachers]", &"there", must)?;
        need(!t.runs.is_empty(), "teachers.runs", &t.runs, "a list of one run or more")?;
        need(t.share > 0.0 && t.share <= 1.0, "teachers.share", &t.share, "above 0 and at most 1")?;
        let fine = (1e-3..=100.0).contains(&t.temperature);
        need(fine, "teachers.temperature", &t.temperature, "from 0.001 to 100")
    }

    fn check_pixels(&self) -> Result<(), ConfigError> {
        let p = &self.pixels;
        let [height, width] = self.input_size();
        need(p.mean.iter().all(|m| m.is_finite()), "pixels.mean", &p.mean, "three finite numbers")?;
        let positive = p.std.iter().all(|s| *s > 0.0 && s.is_finite());
        need(positive, "pixels.std", &p.std, "three finite numbers above 0")?;
        let (least, must) = match p.fit {
            Fit::Crop => (
                height.max(width),
                "at least the long side of the photos (model.image_size, times the zoom of TASN) and at most 8192",
            ),
            Fit::Stretch => (
                height.min(width),
                "at least the short side of the photos (model.image_size, times the zoom of TASN) and at most 8192",
            ),
        };
        need(height.max(width) <= MOST_PIXELS, "model.image_size", &[height, width], "at most 8192 pixels a side")?;
        need((least..=MOST_PIXELS).contains(&p.resize), "pixels.resize", &p.resize, must)
    }
}

//! Our WGSL kernels on the browser's WebGPU.

use super::{Failed, Kind, Measure, Tiles};
use crate::answer::Answer;
use crate::bundle::Bundle;
use crate::early::{Early, Sure};
use crate::engine::{Engine, EngineError, Gpu, LoadOptions, Progress, Tuning};
use crate::look::Difference;
use crate::tensors::Precision;
use crate::web::milliseconds;

/// Milliseconds that measuring tiles may take.
const BUDGET: f64 = 1000.0;
/// The same where the page asked for it.
const ASKED: f64 = 20_000.0;

pub(in crate::web) struct Executor {
    engine: Engine,
}

impl Executor {
    pub(in crate::web) async fn load(
        bundle: &mut Bundle,
        precision: Precision,
        tiles: &Tiles,
        stage: &dyn Fn(&str, f64, f64),
    ) -> Result<Self, Failed> {
        stage("upload", 0.0, 0.0);
        let gpu = Gpu::open().await?;
        let on_progress = |progress| {
            // The upload comes first and is one step; the pipelines are counted.
            if let Progress::Compiled { done, total } = progress {
                stage("compile", done as f64, total as f64);
            }
        };
        let known = tiles.known.as_deref();
        let tuning = |software, budget| Some(Tuning { known, software, budget, clock: milliseconds });
        let tuning = match tiles.measure {
            Measure::Always => tuning(true, ASKED),
            Measure::Hardware => tuning(false, BUDGET),
            Measure::Never => None,
        };
        let options = LoadOptions { on_progress: Some(Box::new(on_progress)), precision, tuning };
        match Engine::load_with(&gpu, &bundle.manifest.architecture, &bundle.weights, options).await {
            Ok(engine) => Ok(Self { engine }),
            Err(error) => {
                // What was uploaded until then is given back at once.
                gpu.lose();
                Err(error.into())
            }
        }
    }

    pub(in crate::web) async fn classify(&self, image: &[f32]) -> Result<Answer, Failed> {
        Ok(self.engine.classify(image).await?)
    }

    pub(in crate::web) async fn classify_early(&self, image: &[f32], sure: Sure) -> Result<Early, Failed> {
        Ok(self.engine.classify_early(image, sure).await?)
    }

    pub(in crate::web) async fn with_ratio(&self, ratio: f64) -> Result<Answer, Failed> {
        Ok(self.engine.with_ratio(ratio).await?)
    }

    pub(in crate::web) async fn attention(&self, layer: Option<usize>, query: usize) -> Result<Vec<f32>, Failed> {
        Ok(match layer {
            Some(layer) => self.engine.attention(layer, query).await?,
            None => self.engine.attention_of_layers(query).await?,
        })
    }

    pub(in crate::web) async fn glca_attention(&self, query: usize) -> Result<Vec<f32>, Failed> {
        Ok(self.engine.glca_attention(query).await?)
    }

    pub(in crate::web) async fn rollout(&self, layer: usize) -> Result<Vec<f32>, Failed> {
        Ok(self.engine.rollout(layer).await?)
    }

    pub(in crate::web) async fn gates(&self) -> Result<Vec<f32>, Failed> {
        Ok(self.engine.gates().await?)
    }

    pub(in crate::web) async fn masks(&self) -> Result<Vec<f32>, Failed> {
        Ok(self.engine.masks().await?)
    }

    pub(in crate::web) async fn difference(&self, classes: [usize; 2]) -> Result<Difference, Failed> {
        Ok(self.engine.difference(classes).await?)
    }

    /// How the weights lie on the device.
    pub(in crate::web) fn precision(&self) -> Precision {
        self.engine.precision()
    }

    /// What was measured of tiles, now or before.
    pub(in crate::web) fn tile_times(&self) -> Option<String> {
        self.engine.tile_times()
    }

    /// Bytes of buffers on the device.
    pub(in crate::web) fn device_bytes(&self) -> u64 {
        self.engine.device_bytes()
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        // In a browser, a buffer that is dropped waits for JavaScript's garbage collector, which does not see its size.
        // The device is this network's own: destroying it gives everything back now.
        self.engine.gpu().lose();
    }
}

impl From<EngineError> for Failed {
    fn from(error: EngineError) -> Self {
        let kind = match error {
            EngineError::Device(_) | EngineError::Lost(_) => Kind::Device,
            EngineError::NotFinite(_) => Kind::Wrong,
            _ => Kind::Plain,
        };
        Self { kind, message: error.to_string() }
    }
}

//! Our WGSL kernels on the browser's WebGPU.

use wasm_bindgen::JsError;

use crate::answer::Answer;
use crate::bundle::Bundle;
use crate::engine::{Engine, Gpu, LoadOptions, Progress};
use crate::web::failure;

pub(in crate::web) struct Executor {
    engine: Engine,
}

impl Executor {
    pub(in crate::web) async fn load(bundle: &Bundle, stage: &dyn Fn(&str, f64, f64)) -> Result<Self, JsError> {
        stage("upload", 0.0, 0.0);
        let gpu = Gpu::open().await.map_err(failure)?;
        let on_progress = |progress| {
            // The upload comes first and is one step; the pipelines are counted.
            if let Progress::Compiled { done, total } = progress {
                stage("compile", done as f64, total as f64);
            }
        };
        let options = LoadOptions { on_progress: Some(Box::new(on_progress)) };
        let engine =
            Engine::load_with(&gpu, &bundle.manifest.architecture, &bundle.weights, options).await.map_err(failure)?;
        Ok(Self { engine })
    }

    pub(in crate::web) async fn classify(&self, image: &[f32]) -> Result<Answer, JsError> {
        self.engine.classify(image).await.map_err(failure)
    }
}

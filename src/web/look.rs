//! Looks into the photo that was classified last, as JavaScript asks for them. Patches count from 0 here; what is missing as
//! a query is the class token.

use js_sys::{Float32Array, Object, Reflect};
use wasm_bindgen::prelude::*;

use super::network::{Network, Photo};
use super::outcome::{Crop, Outcome, Timings, patches_of};
use super::{failure, milliseconds};
use crate::early::Early;
use crate::look::LookError;

#[wasm_bindgen]
impl Network {
    /// The answer to the same photo with another share of local queries: an object as from `classify`.
    ///
    /// # Errors
    /// A ratio outside (0, 1], a network without GLCA, no photo yet; as `classify`.
    pub async fn with_ratio(&self, ratio: f64, top_k: usize) -> Result<JsValue, JsValue> {
        let crop = self.crop()?;
        let start = milliseconds();
        let answer = self.executor.with_ratio(ratio).await?;
        let timings = Timings { preprocess: 0.0, run: milliseconds() - start };
        let found = Early::full(answer, self.manifest.temperature(), self.manifest.architecture.depth);
        Ok(Outcome::new(&found, &self.manifest, top_k, crop, timings).into_js()?)
    }

    /// The attention of a patch or of the class token over all patches: `[heads, patches]` of block `layer`, or
    /// `[layers, heads, patches]` where none is named.
    ///
    /// # Errors
    /// A layer or patch that is not there, no photo yet; as `classify`.
    pub async fn attention(&self, layer: Option<usize>, query: Option<usize>) -> Result<Float32Array, JsValue> {
        self.crop()?;
        let rows = self.executor.attention(layer, token(query)).await?;
        Ok(patches_of(&rows, self.tokens()))
    }

    /// GLCA's attention of a local query or of the class token over all patches, `[heads, patches]`.
    ///
    /// # Errors
    /// A patch that was not selected, a network without GLCA, no photo yet; as `classify`.
    pub async fn glca_attention(&self, query: Option<usize>) -> Result<Float32Array, JsValue> {
        self.crop()?;
        let rows = self.executor.glca_attention(token(query)).await?;
        Ok(patches_of(&rows, self.tokens()))
    }

    /// Rollout from the class token after block `layer` down to the photo, `[patches]`.
    ///
    /// # Errors
    /// A layer that is not there, no photo yet; as `classify`.
    pub async fn rollout(&self, layer: usize) -> Result<Float32Array, JsValue> {
        self.crop()?;
        Ok(patches_of(&self.executor.rollout(layer).await?, self.tokens()))
    }

    /// RGA's spatial gates of each place that has them, `[places, patches]`; of a residual network each place has as many as the map
    /// there has positions.
    ///
    /// # Errors
    /// A network without them, no photo yet; as `classify`.
    pub async fn gates(&self) -> Result<Float32Array, JsValue> {
        self.crop()?;
        Ok(Float32Array::from(self.executor.gates().await?.as_slice()))
    }

    /// Where the heads of each module of Attend and Rectify look, `[modules, heads, patches]`, in the same way.
    ///
    /// # Errors
    /// A network without them, no photo yet; as `classify`.
    pub async fn masks(&self) -> Result<Float32Array, JsValue> {
        self.crop()?;
        Ok(Float32Array::from(self.executor.masks().await?.as_slice()))
    }

    /// What set class `first` apart from class `second`: `{sa, glca, both}`, `[patches]` each; `glca` is empty without GLCA.
    ///
    /// # Errors
    /// A class that is not there, no photo yet; as `classify`.
    pub async fn difference(&self, first: usize, second: usize) -> Result<JsValue, JsValue> {
        self.crop()?;
        let difference = self.executor.difference([first, second]).await?;
        let object = Object::new();
        for (name, values) in [("sa", &difference.sa), ("glca", &difference.glca), ("both", &difference.both())] {
            Reflect::set(&object, &name.into(), &patches_of(values, self.tokens()))?;
        }
        Ok(object.into())
    }

    /// Blocks of the backbone, of a residual network its stages.
    #[wasm_bindgen(getter)]
    pub fn layers(&self) -> usize {
        self.manifest.architecture.depth
    }

    /// Attention heads of a block; none of a residual network, which has no attention.
    #[wasm_bindgen(getter)]
    pub fn heads(&self) -> usize {
        let architecture = &self.manifest.architecture;
        if architecture.resnet.is_some() { 0 } else { architecture.heads }
    }

    /// Rows and columns of the map behind each block, `[layers, 2]`.
    #[wasm_bindgen(getter)]
    pub fn grids(&self) -> Vec<usize> {
        let architecture = &self.manifest.architecture;
        let map = |blocks| {
            let map = architecture.map_behind(blocks);
            [map.height, map.width]
        };
        (1..=architecture.depth).flat_map(map).collect()
    }

    /// The bundle's share of local queries; nothing for a network without GLCA.
    #[wasm_bindgen(getter)]
    pub fn ratio(&self) -> Option<f64> {
        self.manifest.architecture.glca().map(|dcal| dcal.ratio)
    }

    /// Behind how many blocks each of RGA's spatial gates stands; empty for a network without them.
    #[wasm_bindgen(getter)]
    pub fn gates_after(&self) -> Vec<usize> {
        let rga = self.manifest.architecture.rga().filter(|rga| rga.spatial);
        rga.map(|rga| rga.after.clone()).unwrap_or_default()
    }

    /// Behind how many blocks each module of Attend and Rectify stands; empty for a network without them.
    #[wasm_bindgen(getter)]
    pub fn masks_after(&self) -> Vec<usize> {
        self.manifest.architecture.rectify().map(|rectify| rectify.after.clone()).unwrap_or_default()
    }

    /// What the network saw of the last photo, `[3, H, W]`: enough to run it again when a device is lost.
    pub fn image(&self) -> Option<Float32Array> {
        self.photo.borrow().as_ref().map(|photo| Float32Array::from(photo.image.as_slice()))
    }

    /// Runs such an image again, so that it can be looked into on this device.
    ///
    /// # Errors
    /// An image of another network; as `classify`.
    pub async fn restore(&self, image: Vec<f32>, ratio: Option<f64>) -> Result<(), JsValue> {
        self.run(Photo { image, crop: Crop::default() }, ratio).await?;
        Ok(())
    }
}

impl Network {
    /// Where the last photo was cut, if there is one.
    fn crop(&self) -> Result<Crop, JsError> {
        self.photo.borrow().as_ref().map(|photo| photo.crop).ok_or_else(|| failure(LookError::NoPhoto))
    }

    fn tokens(&self) -> usize {
        self.manifest.architecture.tokens()
    }
}

/// A patch as a token; nothing is the class token.
fn token(patch: Option<usize>) -> usize {
    patch.map_or(0, |patch| patch.saturating_add(1))
}

//! The modules of the page, as seen from JavaScript.
//!
//! One source gives all: with feature `engine` the classes below run on WebGPU, with feature `cpu` they run on the processor
//! with wasm SIMD, built once without and once with fused multiply-add. The shape is the same, so `src/web/js/session.js` loads
//! any of them and the rest of the page does not care. Decoding is the browser's, everything after the pixels is here.

mod archive;
mod executor;
mod look;
mod network;
mod outcome;
mod pixels;
#[cfg(not(feature = "engine"))]
mod threads;

use std::fmt::Display;

use wasm_bindgen::prelude::*;

pub use archive::Zip;
pub use network::Network;
pub use pixels::Pixels;
#[cfg(not(feature = "engine"))]
pub use threads::{Helper, Share};

#[wasm_bindgen]
extern "C" {
    /// Milliseconds on the browser's monotonic clock, in a window and in a worker alike.
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn milliseconds() -> f64;
}

/// Called once by the module's `init`: a panic reaches the console with its message and place.
#[wasm_bindgen(start)]
fn start() {
    console_error_panic_hook::set_once();
}

/// A JavaScript `Error` with the one sentence of ours.
fn failure(error: impl Display) -> JsError {
    JsError::new(&error.to_string())
}

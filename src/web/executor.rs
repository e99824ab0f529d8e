//! What runs the network: the only part in which the two modules differ.
//!
//! Both executors have the same functions: `load` (weights in, calling `stage` with what it is at, how many steps of it are
//! done and how many there are), `classify` (an image `[3, H, W]`, normalised, to an [`Answer`](crate::answer::Answer)), `classify_early`, the
//! looks into the photo classified last (`with_ratio`, `attention`, `glca_attention`, `rollout`, `gates`, `masks`, `difference`:
//! `src/engine/look.rs`), `tile_times` (what there is to be kept for the next load) and `device_bytes`. Which device that is,
//! the page knows: it chose the module by it.

#[cfg(not(feature = "engine"))]
mod cpu;
#[cfg(feature = "engine")]
mod gpu;

use std::fmt::Display;

use wasm_bindgen::JsValue;

#[cfg(not(feature = "engine"))]
pub(super) use cpu::Executor;
#[cfg(feature = "engine")]
pub(super) use gpu::Executor;

/// How the tiles of matrix products are chosen on a graphics device; the processor has none.
#[cfg_attr(not(feature = "engine"), expect(dead_code, reason = "nothing to choose on the processor"))]
pub(super) struct Tiles {
    /// Whether they are measured: on every device, on none, or on those that are no processor.
    pub(super) measure: Measure,
    /// What was measured before, as `tile_times` gave it.
    pub(super) known: Option<String>,
}

pub(super) enum Measure {
    Always,
    Never,
    Hardware,
}

/// Why an executor gave nothing. JavaScript tells the kinds apart by the error's `name`: each has its own way out.
pub(super) struct Failed {
    kind: Kind,
    message: String,
}

#[derive(Clone, Copy)]
enum Kind {
    /// Another attempt would fail as well.
    Plain,
    /// A helper stopped: none of the network's workers can go on.
    #[cfg(not(feature = "engine"))]
    Thread,
    /// The device is gone or no longer works: another one may.
    #[cfg(feature = "engine")]
    Device,
    /// The device computes what is no number.
    #[cfg(feature = "engine")]
    Wrong,
}

impl Failed {
    pub(super) fn plain(error: impl Display) -> Self {
        Self { kind: Kind::Plain, message: error.to_string() }
    }
}

impl From<Failed> for JsValue {
    fn from(Failed { kind, message }: Failed) -> Self {
        let error = js_sys::Error::new(&message);
        match kind {
            Kind::Plain => {}
            #[cfg(not(feature = "engine"))]
            Kind::Thread => error.set_name("ThreadError"),
            #[cfg(feature = "engine")]
            Kind::Device => error.set_name("DeviceError"),
            #[cfg(feature = "engine")]
            Kind::Wrong => error.set_name("WrongResultError"),
        }
        error.into()
    }
}

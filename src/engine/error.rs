//! What can go wrong on a device.

use crate::architecture::ArchitectureError;
use crate::engine::recording::RecordingError;
use crate::look::LookError;
use crate::tensors::TensorError;

/// Why the engine could not answer. Each message is one sentence that says what to do where something can be done.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// There is no device that WebGPU could use.
    #[cfg_attr(
        not(target_arch = "wasm32"),
        error(
            "no graphics adapter was found ({0}): install a Vulkan driver (on a machine without a GPU the packages \
             libvulkan1 and mesa-vulkan-drivers), or use the CPU back end"
        )
    )]
    #[cfg_attr(
        target_arch = "wasm32",
        error(
            "this browser offers no WebGPU adapter ({0}): update the browser or its graphics driver, or use the CPU back end"
        )
    )]
    NoAdapter(String),
    /// An adapter that computes nothing.
    #[error("the adapter \"{0}\" is wgpu's null back end, which computes nothing: install a graphics driver")]
    NullAdapter(String),
    /// The adapter exists and gives no device.
    #[error("the adapter \"{adapter}\" gives no device ({reason}): update its driver or use the CPU back end")]
    NoDevice {
        /// Its name.
        adapter: String,
        /// What it said.
        reason: String,
    },
    /// The device reported an error.
    #[error("the graphics device failed ({0}): load the model again or use the CPU back end")]
    Device(String),
    /// The device is gone: driver reset, sleep, or removed.
    #[error("the graphics device was lost ({0}): open a device and load the model again")]
    Lost(String),
    /// A kernel that this device's compiler refuses.
    #[error(
        "the graphics driver cannot compile the kernel {kernel} ({reason}): update the driver or use the CPU back end"
    )]
    Compile {
        /// Name of the kernel.
        kernel: &'static str,
        /// What the driver said.
        reason: String,
    },
    /// A model that exceeds a limit of the device.
    #[error("the model needs {bytes} bytes for \"{what}\", this device allows {limit}: use the CPU back end")]
    TooLarge {
        /// The buffer.
        what: String,
        /// What it needs.
        bytes: u64,
        /// What the device gives.
        limit: u64,
    },
    /// A network that the kernels do not cover.
    #[error("the engine does not run this network: {0}")]
    Unsupported(String),
    /// A question about a photo that has no answer.
    #[error(transparent)]
    Look(#[from] LookError),
    /// An architecture that cannot be.
    #[error(transparent)]
    Architecture(#[from] ArchitectureError),
    /// A weight that is missing or wrong.
    #[error(transparent)]
    Weights(#[from] TensorError),
    /// A recording that contradicts its kernels (a defect of the engine).
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// An input of the wrong length.
    #[error("the image has {found} values, the network expects {expected}: resize and crop it as the bundle says")]
    Image {
        /// Values given.
        found: usize,
        /// `3 H W`.
        expected: usize,
    },
    /// Two photos at once.
    #[error("this engine is still working on another photo: wait for its answer")]
    Busy,
    /// A device that computes wrongly, or a damaged model.
    #[error(
        "the result \"{0}\" is not a finite number: this device computes wrongly or the model is damaged; use the CPU back end"
    )]
    NotFinite(&'static str),
}

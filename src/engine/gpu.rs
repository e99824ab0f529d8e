//! The device: how it is found, what it is, and how it reports that it failed.

use std::sync::{Arc, Mutex, PoisonError};

use super::EngineError;
use super::recording::Kernel;

/// What is known of an adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterFacts {
    /// As the driver names it; browsers may leave it empty.
    pub name: String,
    /// PCI vendor number in hexadecimal, or empty where it is hidden.
    pub vendor: String,
    /// "vulkan", "metal", "dx12" or "webgpu".
    pub backend: String,
    /// Name and version of the driver, or empty where they are hidden.
    pub driver: String,
    /// True if it computes on the CPU: slower than code made for the CPU.
    pub software: bool,
}

/// A device and its queue; cheap to clone.
#[derive(Clone)]
pub struct Gpu {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    facts: Arc<AdapterFacts>,
    matrix_units: u32,
    failure: Arc<Mutex<Option<Failure>>>,
}

#[derive(Clone)]
enum Failure {
    Error(String),
    Lost(String),
}

impl Gpu {
    /// Opens the fastest adapter that WebGPU finds: Vulkan, Metal or DirectX 12 natively, the browser's on the web.
    ///
    /// # Errors
    /// [`EngineError::NoAdapter`], [`EngineError::NullAdapter`] or [`EngineError::NoDevice`].
    pub async fn open() -> Result<Self, EngineError> {
        Self::from_adapter(adapter().await?).await
    }

    /// [`Gpu::open`], with timestamps in the queue where the adapter has them: for a [`super::Profiler`].
    ///
    /// # Errors
    /// As [`Gpu::open`].
    #[cfg(not(target_arch = "wasm32"))]
    pub async fn open_to_profile() -> Result<Self, EngineError> {
        let adapter = adapter().await?;
        let features = adapter.features() & wgpu::Features::TIMESTAMP_QUERY;
        Self::with_features(adapter, features).await
    }

    /// Opens a device on an adapter that the caller chose.
    ///
    /// # Errors
    /// [`EngineError::NullAdapter`] or [`EngineError::NoDevice`].
    pub async fn from_adapter(adapter: wgpu::Adapter) -> Result<Self, EngineError> {
        Self::with_features(adapter, wgpu::Features::empty()).await
    }

    async fn with_features(adapter: wgpu::Adapter, features: wgpu::Features) -> Result<Self, EngineError> {
        let info = adapter.get_info();
        let facts = AdapterFacts::new(&info);
        if info.backend == wgpu::Backend::Noop {
            return Err(EngineError::NullAdapter(facts.name));
        }
        let matrix_units = matrix_units(&adapter, &info);
        let matrix = if matrix_units > 0 { MATRIX } else { wgpu::Features::empty() };
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("finegrain"),
            // wgpu's web back end does not show them.
            required_features: features | matrix | adapter.features() & wgpu::Features::SUBGROUP,
            experimental_features: experimental(matrix),
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..wgpu::DeviceDescriptor::default()
        };
        let (device, queue) = adapter
            .request_device(&descriptor)
            .await
            .map_err(|error| EngineError::NoDevice { adapter: facts.name.clone(), reason: one_line(&error) })?;
        let failure = Arc::new(Mutex::new(None));
        // wgpu's own handlers would panic (natively) or only log (on the web).
        let slot = Arc::clone(&failure);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| note(&slot, Failure::Error(one_line(&error)))));
        let slot = Arc::clone(&failure);
        device.set_device_lost_callback(move |_, reason| note(&slot, Failure::Lost(reason)));
        Ok(Self { device, queue, facts: Arc::new(facts), matrix_units, failure })
    }

    /// What is known of the adapter.
    pub fn adapter(&self) -> &AdapterFacts {
        &self.facts
    }

    /// Destroys the device, as a driver reset would: every engine on it answers with [`EngineError::Lost`] from now on.
    pub fn lose(&self) {
        self.device.destroy();
    }

    /// The first failure since the device was opened, if there was one.
    pub(crate) fn check(&self) -> Result<(), EngineError> {
        match self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            None => Ok(()),
            Some(Failure::Error(text)) => Err(EngineError::Device(text)),
            Some(Failure::Lost(text)) => Err(EngineError::Lost(text)),
        }
    }

    /// Refuses a buffer that the device cannot bind.
    pub(crate) fn fits(&self, what: &str, bytes: u64) -> Result<(), EngineError> {
        let limits = self.device.limits();
        let limit = limits.max_buffer_size.min(limits.max_storage_buffer_binding_size);
        if bytes > limit { Err(EngineError::TooLarge { what: what.into(), bytes, limit }) } else { Ok(()) }
    }

    /// Whether the device runs kernels with subgroup operations. wgpu's web back end never shows that it does.
    pub fn has_subgroups(&self) -> bool {
        self.device.features().contains(wgpu::Features::SUBGROUP)
    }

    /// The side of the matrices of halves that the device's matrix units multiply into sums in f32; 0 where our kernels use none:
    /// wgpu's web back end never shows them.
    pub fn matrix_units(&self) -> u32 {
        self.matrix_units
    }

    /// Whether the device runs a kernel as far as its matrix units matter.
    pub(super) fn runs(&self, kernel: &Kernel) -> bool {
        [0, self.matrix_units].contains(&kernel.shader.matrix_units)
    }

    /// Waits until the submitted work is done.
    pub(crate) async fn settle(&self) -> Result<(), EngineError> {
        let (sender, receiver) = futures_channel::oneshot::channel();
        self.queue.on_submitted_work_done(move || {
            // The receiver is gone when the caller no longer waits.
            let _ = sender.send(());
        });
        self.wait()?;
        receiver.await.map_err(|_| EngineError::Device("the work was dropped".into()))?;
        self.check()
    }

    /// A buffer on the device.
    pub(crate) fn buffer(&self, label: &str, size: u64, usage: wgpu::BufferUsages) -> wgpu::Buffer {
        let descriptor = wgpu::BufferDescriptor { label: Some(label), size, usage, mapped_at_creation: false };
        self.device.create_buffer(&descriptor)
    }

    /// Waits for the submitted work where the caller has to (natively); a browser goes on by itself.
    pub(crate) fn wait(&self) -> Result<(), EngineError> {
        if cfg!(not(target_arch = "wasm32")) {
            self.device
                .poll(wgpu::PollType::wait_indefinitely())
                .map_err(|error| self.check().err().unwrap_or_else(|| EngineError::Device(one_line(&error))))?;
        }
        Ok(())
    }
}

/// What matrix units need.
const MATRIX: wgpu::Features = wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX.union(wgpu::Features::SHADER_F16);

/// [`Gpu::matrix_units`] of an adapter: kernels know matrices of 16 for subgroups of 32 threads, and of 8 for those of 8.
#[cfg(not(target_arch = "wasm32"))]
fn matrix_units(adapter: &wgpu::Adapter, info: &wgpu::AdapterInfo) -> u32 {
    let side = match (info.subgroup_min_size, info.subgroup_max_size) {
        (32, 32) => 16,
        (8, 8) => 8,
        _ => return 0,
    };
    let suits = |m: &wgpu::CooperativeMatrixProperties| {
        [m.m_size, m.n_size, m.k_size] == [side; 3]
            && m.ab_type == wgpu::CooperativeScalarType::F16
            && m.cr_type == wgpu::CooperativeScalarType::F32
    };
    let there = adapter.features().contains(MATRIX) && adapter.cooperative_matrix_properties().iter().any(suits);
    if there { side } else { 0 }
}

#[cfg(target_arch = "wasm32")]
fn matrix_units(_: &wgpu::Adapter, _: &wgpu::AdapterInfo) -> u32 {
    0
}

/// wgpu calls matrix units experimental.
fn experimental(matrix: wgpu::Features) -> wgpu::ExperimentalFeatures {
    if matrix.is_empty() {
        return wgpu::ExperimentalFeatures::disabled();
    }
    // SAFETY: wgpu asks that its users know of possible defects in what it calls experimental. Only `matmul_matrix` and
    // `probe_matrix` use it, with constant strides inside workgroup memory, and both are held against their CPU twins.
    unsafe { wgpu::ExperimentalFeatures::enabled() }
}

/// The fastest adapter.
async fn adapter() -> Result<wgpu::Adapter, EngineError> {
    let backends = if cfg!(target_arch = "wasm32") { wgpu::Backends::BROWSER_WEBGPU } else { wgpu::Backends::PRIMARY };
    let descriptor = wgpu::InstanceDescriptor { backends, ..wgpu::InstanceDescriptor::new_without_display_handle() };
    let options = wgpu::RequestAdapterOptions {
        power_preference: wgpu::PowerPreference::HighPerformance,
        ..wgpu::RequestAdapterOptions::default()
    };
    wgpu::Instance::new(descriptor)
        .request_adapter(&options)
        .await
        .map_err(|error| EngineError::NoAdapter(one_line(&error)))
}

/// Keeps the first error, except that a lost device says more than the errors that follow from it.
fn note(slot: &Mutex<Option<Failure>>, failure: Failure) {
    let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
    if slot.is_none() || matches!(failure, Failure::Lost(_)) {
        *slot = Some(failure);
    }
}

impl AdapterFacts {
    fn new(info: &wgpu::AdapterInfo) -> Self {
        let driver = format!("{} {}", info.driver, info.driver_info).trim().to_owned();
        // Browsers say it in the description ("SwiftShader"), drivers by the type of the device.
        let words = format!("{} {driver}", info.name).to_lowercase();
        let software = info.device_type == wgpu::DeviceType::Cpu
            || ["llvmpipe", "lavapipe", "swiftshader", "software", "basic render"]
                .iter()
                .any(|word| words.contains(word));
        let backend = match info.backend {
            wgpu::Backend::BrowserWebGpu => "webgpu".to_owned(),
            other => other.to_string().to_lowercase(),
        };
        let vendor = if info.vendor == 0 { String::new() } else { format!("0x{:04x}", info.vendor) };
        Self { name: info.name.clone(), vendor, backend, driver, software }
    }
}

/// An error as one line, for a sentence.
pub(crate) fn one_line(error: &dyn std::fmt::Display) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

//! The weights of a model on the device, laid out as the kernels read them.

use std::collections::BTreeMap;

use super::recording::{Content, Recording};
use super::{EngineError, Gpu};
use crate::tensors::TensorMap;

/// Buffers by their label in the recording.
#[derive(Default)]
pub(crate) struct WeightBuffers {
    buffers: BTreeMap<String, wgpu::Buffer>,
}

impl WeightBuffers {
    /// Checks and uploads every weight that the recording names, each once.
    pub(crate) fn upload(gpu: &Gpu, recording: &Recording, weights: &TensorMap) -> Result<Self, EngineError> {
        let mut buffers = BTreeMap::new();
        for buffer in recording.buffers() {
            let Content::Weight(layout) = &buffer.content else { continue };
            if buffers.contains_key(&buffer.label) {
                continue;
            }
            let words = layout.read(weights)?;
            gpu.fits(&buffer.label, 4 * words.len() as u64)?;
            let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
            let on_device = gpu.buffer(&buffer.label, 4 * words.len() as u64, usage);
            gpu.queue.write_buffer(&on_device, 0, bytemuck::cast_slice(&words));
            buffers.insert(buffer.label.clone(), on_device);
        }
        Ok(Self { buffers })
    }

    pub(crate) fn get(&self, label: &str) -> Option<&wgpu::Buffer> {
        self.buffers.get(label)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.buffers.values().map(wgpu::Buffer::size).sum()
    }
}

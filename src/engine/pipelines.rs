//! Compiled kernels.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::gpu::one_line;
use super::recording::{Access, Kernel, Recording, Shader};
use super::{EngineError, Gpu};

/// Compiled kernels by name. What classifying needs is compiled at load; what only a look needs, at the first such look.
#[derive(Default)]
pub(super) struct Pipelines {
    compiled: Mutex<BTreeMap<&'static str, wgpu::ComputePipeline>>,
}

impl Pipelines {
    /// Compiles each kernel of the recording that is not there yet. Between two kernels it waits for the device, so that a
    /// browser may draw; `progress` is told (done, total).
    pub(super) async fn compile(
        &self,
        gpu: &Gpu,
        recording: &Recording,
        progress: impl Fn(usize, usize),
    ) -> Result<(), EngineError> {
        let kernels = recording.kernels();
        for (done, kernel) in kernels.iter().enumerate() {
            self.compile_one(gpu, kernel).await?;
            progress(done + 1, kernels.len());
        }
        Ok(())
    }

    /// Compiles a kernel that is not there yet.
    pub(super) async fn compile_one(&self, gpu: &Gpu, kernel: &Kernel) -> Result<(), EngineError> {
        if self.get(kernel).is_none() {
            let pipeline = compile(gpu, kernel).await?;
            self.compiled.lock().unwrap_or_else(PoisonError::into_inner).insert(kernel.shader.name, pipeline);
        }
        Ok(())
    }

    /// Gives back the pipelines that the recording does not use.
    pub(super) fn keep(&self, recording: &Recording) {
        let names: Vec<_> = recording.kernels().iter().map(|kernel| kernel.shader.name).collect();
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner).retain(|name, _| names.contains(name));
    }

    pub(super) fn get(&self, kernel: &Kernel) -> Option<wgpu::ComputePipeline> {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner).get(kernel.shader.name).cloned()
    }
}

async fn compile(gpu: &Gpu, kernel: &Kernel) -> Result<wgpu::ComputePipeline, EngineError> {
    let scope = gpu.device.push_error_scope(wgpu::ErrorFilter::Validation);
    let pipeline = pipeline(gpu, kernel.shader);
    match scope.pop().await {
        Some(error) => Err(EngineError::Compile { kernel: kernel.shader.name, reason: one_line(&error) }),
        None => Ok(pipeline),
    }
}

/// The same without waiting for the device to say whether it could.
#[inline(never)] // else each function that awaits `compile` has a copy of this in the page's module
fn pipeline(gpu: &Gpu, shader: &Shader) -> wgpu::ComputePipeline {
    let module = gpu.device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some(shader.name),
        source: wgpu::ShaderSource::Wgsl([shader.constants, shader.wgsl].concat().into()),
    });
    let entries: Vec<wgpu::BindGroupLayoutEntry> = shader
        .bindings
        .iter()
        .enumerate()
        .map(|(index, binding)| wgpu::BindGroupLayoutEntry {
            binding: index as u32,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: match binding.access {
                    Access::Uniform => wgpu::BufferBindingType::Uniform,
                    access => wgpu::BufferBindingType::Storage { read_only: access == Access::Read },
                },
                has_dynamic_offset: false,
                min_binding_size: None,
            },
            count: None,
        })
        .collect();
    let bindings = gpu
        .device
        .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(shader.name), entries: &entries });
    let layout = gpu.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(shader.name),
        bind_group_layouts: &[Some(&bindings)],
        immediate_size: 0,
    });
    gpu.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(shader.name),
        layout: Some(&layout),
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions {
            // Every kernel writes its workgroup memory before it reads it.
            zero_initialize_workgroup_memory: false,
            ..wgpu::PipelineCompilationOptions::default()
        },
        cache: None,
    })
}

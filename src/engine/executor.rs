//! Runs a recording on a device. Everything that a run needs exists before the first one: buffers, pipelines, bind groups
//! and the buffer that results are read from. A run is one submission and one read-back.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use super::gpu::one_line;
use super::pipelines::Pipelines;
use super::recording::{Command, Content, Recording};
use super::weights::WeightBuffers;
use super::{EngineError, Gpu};
use crate::early::Sure;
use crate::look::LookError;
use crate::tensors::{Tensor, TensorMap};

/// Uniform structs share one buffer, each at a multiple of this (WebGPU's default alignment).
const UNIFORM_STEP: u64 = 256;

/// A step of a run, with everything it needs.
enum Step {
    Dispatch(Dispatch),
    Copy { from: wgpu::Buffer, to: u64, bytes: u64 },
}

/// A kernel with its bindings.
pub(crate) struct Dispatch {
    pipeline: wgpu::ComputePipeline,
    bindings: wgpu::BindGroup,
    grid: [u32; 3],
    /// Where its workgroups are in [`Workgroups::left`], if an earlier dispatch may leave it out.
    offset: Option<u64>,
}

impl Dispatch {
    /// All of it, whatever an earlier dispatch found.
    pub(crate) fn encode(&self, pass: &mut wgpu::ComputePass<'_>) {
        self.encode_in(pass, None);
    }

    /// With the workgroups that earlier dispatches have `left` it.
    fn encode_in(&self, pass: &mut wgpu::ComputePass<'_>, left: Option<&wgpu::Buffer>) {
        let [x, y, z] = self.grid;
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bindings, &[]);
        match left.zip(self.offset) {
            Some((left, offset)) => pass.dispatch_workgroups_indirect(left, offset),
            None => pass.dispatch_workgroups(x, y, z),
        }
    }
}

/// The workgroups of dispatches that an earlier one may leave out ([`Content::Workgroups`]).
struct Workgroups {
    /// All of them.
    all: wgpu::Buffer,
    /// What is left of them in this run.
    left: wgpu::Buffer,
}

/// A result in the read-back buffer.
struct Slot {
    name: String,
    shape: Vec<usize>,
    integers: bool,
    offset: usize,
}

/// A recording with its resources on a device.
pub(crate) struct Executor {
    /// What its kernels write, by label.
    scratch: BTreeMap<String, wgpu::Buffer>,
    input: Option<wgpu::Buffer>,
    uniforms: wgpu::Buffer,
    steps: Vec<Step>,
    slots: Vec<Slot>,
    results: wgpu::Buffer,
    workgroups: Option<Workgroups>,
    bytes: u64,
    busy: AtomicBool,
}

impl Executor {
    /// Allocates buffers and makes bind groups for every dispatch. What the recording calls kept is looked for in
    /// `earlier`, the latest of them first.
    pub(crate) async fn new(
        gpu: &Gpu,
        recording: Recording,
        pipelines: &Pipelines,
        weights: &WeightBuffers,
        earlier: &[&Executor],
    ) -> Result<Self, EngineError> {
        let memory = gpu.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = gpu.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let executor = Self::allocate(gpu, &recording, pipelines, weights, earlier)?;
        if let Some(error) = validation.pop().await.or(memory.pop().await) {
            return Err(EngineError::Device(one_line(&error)));
        }
        gpu.check()?;
        Ok(executor)
    }

    /// The same without waiting for the device to say whether it could.
    #[inline(never)] // else each function that awaits `new` has a copy of this in the page's module
    fn allocate(
        gpu: &Gpu,
        recording: &Recording,
        pipelines: &Pipelines,
        weights: &WeightBuffers,
        earlier: &[&Executor],
    ) -> Result<Self, EngineError> {
        let defect = |what: &str| EngineError::Device(format!("the engine's recording has no {what}"));
        let mut buffers = Vec::new();
        let mut scratch = BTreeMap::new();
        let (mut input, mut workgroups) = (None, None);
        let mut bytes = 0;
        for buffer in recording.buffers() {
            let size = 4 * buffer.len() as u64;
            if let Content::Weight(_) = buffer.content {
                buffers.push(weights.get(&buffer.label).cloned().ok_or_else(|| defect(&buffer.label))?);
                continue;
            }
            if buffer.content == Content::Kept {
                let kept = earlier.iter().rev().find_map(|earlier| earlier.scratch.get(&buffer.label));
                let kept = kept.filter(|kept| kept.size() == size);
                buffers.push(kept.cloned().ok_or_else(|| LookError::NotKept(buffer.label.clone()))?);
                continue;
            }
            gpu.fits(&buffer.label, size)?;
            let storage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC;
            if buffer.content == Content::Workgroups {
                let made = Workgroups::new(gpu, recording, storage);
                bytes += 2 * size;
                buffers.push(made.left.clone());
                workgroups = Some(made);
                continue;
            }
            let created = gpu.buffer(&buffer.label, size, storage);
            bytes += size;
            if buffer.content == Content::Input {
                input = Some(created.clone());
            } else {
                scratch.insert(buffer.label.clone(), created.clone());
            }
            buffers.push(created);
        }
        let uniforms = uniforms(gpu, recording);
        let mut steps = Vec::new();
        let mut slots = Vec::new();
        let mut result_bytes = 0;
        let mut offset = 0;
        for command in recording.commands() {
            match command {
                Command::Dispatch { label, kernel, uniforms: values, bindings, row } => {
                    let pipeline = pipelines.get(kernel).ok_or_else(|| defect(kernel.shader.name))?;
                    let uniform = wgpu::BufferBinding {
                        buffer: &uniforms,
                        offset,
                        size: wgpu::BufferSize::new(values.len() as u64),
                    };
                    offset += UNIFORM_STEP;
                    let mut entries =
                        vec![wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(uniform) }];
                    for (index, id) in bindings.iter().enumerate() {
                        let resource = buffers.get(id.0).ok_or_else(|| defect(label))?.as_entire_binding();
                        entries.push(wgpu::BindGroupEntry { binding: index as u32 + 1, resource });
                    }
                    let bindings = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
                        label: Some(label),
                        layout: &pipeline.get_bind_group_layout(0),
                        entries: &entries,
                    });
                    let (grid, offset) = ((kernel.grid)(values), row.map(|row| 12 * row as u64));
                    steps.push(Step::Dispatch(Dispatch { pipeline, bindings, grid, offset }));
                }
                Command::ReadBack { name, buffer, integers } => {
                    let (from, shape) = buffers
                        .get(buffer.0)
                        .zip(recording.buffers().get(buffer.0))
                        .map(|(on_device, buffer)| (on_device.clone(), buffer.shape.clone()))
                        .ok_or_else(|| defect(name))?;
                    let slot = Slot { name: name.clone(), shape, integers: *integers, offset: result_bytes as usize };
                    let size = from.size();
                    steps.push(Step::Copy { from, to: result_bytes, bytes: size });
                    result_bytes += size;
                    slots.push(slot);
                }
            }
        }
        let reading = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let results = gpu.buffer("results", result_bytes, reading);
        bytes += result_bytes + uniforms.size();
        let busy = AtomicBool::new(false);
        Ok(Self { scratch, input, uniforms, steps, slots, results, workgroups, bytes, busy })
    }

    /// Bytes on the device beside the weights.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The dispatches in order, each by itself: to be timed.
    pub(crate) fn dispatches(&self) -> impl Iterator<Item = &Dispatch> {
        self.steps.iter().filter_map(|step| match step {
            Step::Dispatch(dispatch) => Some(dispatch),
            Step::Copy { .. } => None,
        })
    }

    /// Writes every buffer that kernels may write, word by word from its index.
    pub(crate) fn fill(&self, gpu: &Gpu, word: impl Fn(usize) -> u32) {
        for buffer in self.scratch.values() {
            let words: Vec<u32> = (0..buffer.size() as usize / 4).map(&word).collect();
            gpu.queue.write_buffer(buffer, 0, bytemuck::cast_slice(&words));
        }
    }

    /// One pass: writes the input, submits every step, waits, reads every result.
    pub(crate) async fn run(&self, gpu: &Gpu, image: &[f32]) -> Result<TensorMap, EngineError> {
        self.go(gpu, image, None).await
    }

    /// The same, ending where a dispatch is `sure` of the answer and empties the workgroups of those that follow.
    pub(crate) async fn run_early(&self, gpu: &Gpu, image: &[f32], sure: Sure) -> Result<TensorMap, EngineError> {
        self.go(gpu, image, self.workgroups.as_ref().map(|workgroups| (workgroups, sure))).await
    }

    async fn go(&self, gpu: &Gpu, image: &[f32], early: Option<(&Workgroups, Sure)>) -> Result<TensorMap, EngineError> {
        let expected = self.input.as_ref().map_or(0, |input| input.size() as usize / 4);
        if image.len() != expected {
            return Err(EngineError::Image { found: image.len(), expected });
        }
        gpu.check()?;
        if self.busy.swap(true, Ordering::Acquire) {
            return Err(EngineError::Busy);
        }
        // Also when the caller drops this future half-way: the next run finds the results unmapped.
        let turn = Turn { executor: self };
        if let Some(input) = &self.input {
            gpu.queue.write_buffer(input, 0, bytemuck::cast_slice(image));
        }
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("photo") });
        let left = early.map(|(Workgroups { all, left }, Sure { probability, temperature })| {
            if let Some(sure) = self.scratch.get("sure") {
                gpu.queue.write_buffer(sure, 0, bytemuck::bytes_of(&[probability, temperature]));
            }
            encoder.copy_buffer_to_buffer(all, 0, left, 0, all.size());
            left
        });
        self.encode(&mut encoder, left);
        gpu.queue.submit([encoder.finish()]);
        let (sender, receiver) = futures_channel::oneshot::channel();
        self.results.map_async(wgpu::MapMode::Read, .., move |result| {
            // The receiver is gone when the caller no longer wants the answer.
            let _ = sender.send(result);
        });
        gpu.wait()?;
        let mapped = receiver.await.map_err(|_| EngineError::Device("the read-back was dropped".into()))?;
        gpu.check()?;
        mapped.map_err(|error| EngineError::Device(one_line(&error)))?;
        let results = self.results.get_mapped_range(..).map_err(|error| EngineError::Device(one_line(&error)))?;
        let mut map = TensorMap::default();
        for Slot { name, shape, integers, offset } in &self.slots {
            let words = results.get(*offset..*offset + 4 * shape.iter().product::<usize>()).unwrap_or_default();
            let tensor = if *integers {
                Tensor::i32(shape.clone(), bytemuck::pod_collect_to_vec(words))
            } else {
                Tensor::f32(shape.clone(), bytemuck::pod_collect_to_vec(words))
            };
            map.insert(name.clone(), tensor);
        }
        drop(results);
        drop(turn);
        Ok(map)
    }

    /// Consecutive dispatches share a pass; a copy ends it.
    fn encode(&self, encoder: &mut wgpu::CommandEncoder, left: Option<&wgpu::Buffer>) {
        let mut steps = self.steps.iter().peekable();
        while let Some(step) = steps.next() {
            match step {
                Step::Copy { from, to, bytes } => encoder.copy_buffer_to_buffer(from, 0, &self.results, *to, *bytes),
                Step::Dispatch(dispatch) => {
                    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
                    dispatch.encode_in(&mut pass, left);
                    while let Some(Step::Dispatch(next)) = steps.next_if(|step| matches!(step, Step::Dispatch(_))) {
                        next.encode_in(&mut pass, left);
                    }
                }
            }
        }
    }
}

impl Workgroups {
    fn new(gpu: &Gpu, recording: &Recording, storage: wgpu::BufferUsages) -> Self {
        let values = recording.workgroups().map(|(_, values)| values).unwrap_or_default();
        let size = 4 * values.len() as u64;
        let all = gpu.buffer("all workgroups", size, wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST);
        gpu.queue.write_buffer(&all, 0, bytemuck::cast_slice(&values));
        Self { all, left: gpu.buffer("workgroups", size, storage | wgpu::BufferUsages::INDIRECT) }
    }
}

/// Every dispatch's uniform struct, in order, in one buffer.
fn uniforms(gpu: &Gpu, recording: &Recording) -> wgpu::Buffer {
    let mut bytes = Vec::new();
    for command in recording.commands() {
        if let Command::Dispatch { uniforms, .. } = command {
            bytes.extend_from_slice(uniforms);
            bytes.resize(bytes.len().next_multiple_of(UNIFORM_STEP as usize), 0);
        }
    }
    let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
    let buffer = gpu.buffer("uniforms", bytes.len() as u64, usage);
    gpu.queue.write_buffer(&buffer, 0, &bytes);
    buffer
}

impl Drop for Executor {
    /// Gives its memory back at once: in a browser, a buffer that is only dropped waits for the garbage collector, which does
    /// not see its size. Work that was submitted before still runs.
    fn drop(&mut self) {
        let workgroups = self.workgroups.iter().flat_map(|Workgroups { all, left }| [all, left]);
        let own = self.scratch.values().chain(&self.input).chain([&self.uniforms, &self.results]).chain(workgroups);
        own.for_each(wgpu::Buffer::destroy);
    }
}

/// The right to use the executor's buffers.
struct Turn<'a> {
    executor: &'a Executor,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.executor.results.unmap();
        self.executor.busy.store(false, Ordering::Release);
    }
}

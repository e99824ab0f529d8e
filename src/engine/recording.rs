//! A forward pass as data: buffers, dispatches and read-backs in order. It can be printed and tested without a GPU.

mod print;
mod workgroups;

use std::fmt;

use super::layout::{Form, WeightLayout, values_a_word};
use crate::tensors::Precision;

/// How a kernel uses a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// The uniform struct, always binding 0.
    Uniform,
    /// `var<storage, read>`.
    Read,
    /// `var<storage, read_write>`.
    ReadWrite,
}

/// A binding of a shader, as naga reflected it.
#[derive(Debug)]
pub struct Binding {
    /// Its name in the shader.
    pub name: &'static str,
    /// How it is used.
    pub access: Access,
    /// The shape that the shader's comment states.
    pub shape: &'static str,
}

/// A preprocessed and validated shader; `build.rs` writes these.
#[derive(Debug)]
pub struct Shader {
    /// Name of the specialisation: label of its pipeline and of its dispatches.
    pub name: &'static str,
    /// The constants that make it this specialisation, in front of [`Shader::wgsl`].
    pub constants: &'static str,
    /// WGSL.
    pub wgsl: &'static str,
    /// Threads of a workgroup.
    pub workgroup_size: [u32; 3],
    /// Rows and columns of a result that a workgroup computes, where the shader is a tiled product; else 1 x 1.
    pub tile: [u32; 2],
    /// The side of the matrices that the device's matrix units must multiply ([`super::Gpu::matrix_units`]); 0: it uses none.
    pub matrix_units: u32,
    /// Size of the uniform struct.
    pub uniform_bytes: usize,
    /// Bindings of group 0, the uniform struct first.
    pub bindings: &'static [Binding],
}

/// A shader and what its dispatches need; `kernels.rs` lists them.
pub struct Kernel {
    /// The shader.
    pub shader: &'static Shader,
    /// Workgroups for given uniforms.
    pub grid: fn(&[u8]) -> [u32; 3],
    /// The twin on the CPU: uniforms, then the storage bindings in order.
    #[cfg(not(target_arch = "wasm32"))]
    pub cpu: fn(&[u8], &mut [Vec<f32>]),
    /// What it has to do for given uniforms.
    #[cfg(not(target_arch = "wasm32"))]
    pub cost: fn(&[u8]) -> super::Cost,
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shader.name)
    }
}

/// A buffer of a [`Recording`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BufferId(pub(crate) usize);

/// What a buffer holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// The input, written before each run.
    Input,
    /// A weight, uploaded once.
    Weight(WeightLayout),
    /// Written by kernels, as f32 or (`selected`) as u32.
    Scratch,
    /// For each dispatch that an earlier one may leave out, `[dispatches, 3]`, how many workgroups it has, as u32: laid before each
    /// run, and set to 0 by a kernel that found the answer ([`Recording::dispatch_that_ends`]).
    Workgroups,
    /// Left behind by an earlier recording that ran on the same device, found by its label; read only.
    Kept,
}

/// A named buffer with a shape.
#[derive(Debug)]
pub struct Buffer {
    /// What it is, for people and profilers.
    pub label: String,
    /// Its shape, in values of four bytes.
    pub shape: Vec<usize>,
    /// What it holds.
    pub content: Content,
}

/// One step.
#[derive(Debug)]
pub enum Command {
    /// Runs a kernel.
    Dispatch {
        /// Where in the network: "blocks.0.norm1".
        label: String,
        /// Which kernel.
        kernel: &'static Kernel,
        /// Its uniform struct.
        uniforms: Vec<u8>,
        /// The storage bindings, from binding 1 on.
        bindings: Vec<BufferId>,
        /// Its row of the [`Content::Workgroups`], where an earlier dispatch may leave it out.
        row: Option<usize>,
    },
    /// Keeps what a buffer holds at this moment for the read-back at the end.
    ReadBack {
        /// Name of the result, as in the trace files.
        name: String,
        /// The buffer.
        buffer: BufferId,
        /// True for `selected`, whose values are integers.
        integers: bool,
    },
}

/// A recording that contradicts its kernels.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the recording is wrong at \"{label}\" ({kernel}): {what}; please report this defect")]
pub struct RecordingError {
    label: String,
    kernel: &'static str,
    what: String,
}

/// Buffers and commands of one forward pass.
#[derive(Debug, Default)]
pub struct Recording {
    buffers: Vec<Buffer>,
    commands: Vec<Command>,
    /// The [`Content::Workgroups`], once a dispatch may leave out those behind it.
    workgroups: Option<BufferId>,
}

impl Recording {
    /// The input, `shape` values of f32.
    pub fn input(&mut self, label: &str, shape: &[usize]) -> BufferId {
        self.buffer(label.into(), shape.into(), Content::Input)
    }

    /// A buffer that kernels write.
    pub fn scratch(&mut self, label: impl Into<String>, shape: &[usize]) -> BufferId {
        self.buffer(label.into(), shape.into(), Content::Scratch)
    }

    /// What an earlier recording left in its buffer of that label: the hook by which a later one looks between the layers
    /// ([`crate::engine::Engine::look`]). Buffers that several layers share hold what the last of them wrote.
    pub fn kept(&mut self, label: impl Into<String>, shape: &[usize]) -> BufferId {
        self.buffer(label.into(), shape.into(), Content::Kept)
    }

    /// A weight as it lies in the file (norms, biases, embeddings).
    pub fn vector(&mut self, name: impl Into<String>, shape: &[usize]) -> BufferId {
        let name = name.into();
        let layout = WeightLayout { name: name.clone(), shape: shape.into(), rows: None, form: Form::Plain };
        self.buffer(name, shape.into(), Content::Weight(layout))
    }

    /// Some values (`rows`) of a bias of `length`.
    pub fn vector_part(&mut self, name: impl Into<String>, length: usize, rows: std::ops::Range<usize>) -> BufferId {
        let name = name.into();
        let (label, shape) = (part_label(&name, length, &rows), vec![rows.len()]);
        let layout = WeightLayout { name, shape: vec![length], rows: Some(rows), form: Form::Plain };
        self.buffer(label, shape, Content::Weight(layout))
    }

    /// The outputs `rows` of the weight of a linear layer, `[out, in...]` in the file, turned for the kernels.
    pub fn linear(
        &mut self,
        name: impl Into<String>,
        shape: &[usize],
        rows: std::ops::Range<usize>,
        precision: Precision,
    ) -> BufferId {
        let name = name.into();
        let label = part_label(&name, shape.first().copied().unwrap_or(0), &rows);
        let columns = rows.len().next_multiple_of(4) / values_a_word(precision);
        let laid_out = vec![shape.iter().skip(1).product(), columns];
        let layout = WeightLayout { name, shape: shape.into(), rows: Some(rows), form: Form::Turned(precision) };
        self.buffer(label, laid_out, Content::Weight(layout))
    }

    /// The weight of a convolution, `[out, in, k, k]` in the file, laid out tap by tap; in f16 where others have eight bits.
    pub fn convolution(&mut self, name: impl Into<String>, shape: [usize; 4], precision: Precision) -> BufferId {
        let (name, precision) = (name.into(), precision.min(Precision::F16));
        let [outputs, inputs, height, width] = shape;
        let columns = outputs.next_multiple_of(4) / values_a_word(precision);
        let laid_out = vec![height * width * inputs, columns];
        let layout = WeightLayout { name: name.clone(), shape: shape.into(), rows: None, form: Form::Taps(precision) };
        self.buffer(name, laid_out, Content::Weight(layout))
    }

    /// The scales of [`Recording::linear`] in eight bits, `[rows]`.
    pub fn scales(&mut self, name: impl Into<String>, shape: &[usize], rows: std::ops::Range<usize>) -> BufferId {
        let name = name.into();
        let label = format!("{} scale", part_label(&name, shape.first().copied().unwrap_or(0), &rows));
        let outputs = vec![rows.len()];
        let layout = WeightLayout { name, shape: shape.into(), rows: Some(rows), form: Form::Scales };
        self.buffer(label, outputs, Content::Weight(layout))
    }

    fn buffer(&mut self, label: String, shape: Vec<usize>, content: Content) -> BufferId {
        self.buffers.push(Buffer { label, shape, content });
        BufferId(self.buffers.len() - 1)
    }

    /// Runs a kernel on storage buffers in the order of its bindings.
    pub fn dispatch<U: bytemuck::Pod>(
        &mut self,
        label: impl Into<String>,
        kernel: &'static Kernel,
        uniforms: U,
        bindings: &[BufferId],
    ) {
        self.dispatch_bytes(label.into(), kernel, bytemuck::bytes_of(&uniforms), bindings);
    }

    /// The same with the uniforms of another dispatch.
    pub(super) fn dispatch_bytes(
        &mut self,
        label: String,
        kernel: &'static Kernel,
        uniforms: &[u8],
        bindings: &[BufferId],
    ) {
        let row = self.workgroups.map(|_| self.rows());
        if let Some(rows) = self.workgroups.and_then(|id| self.buffers.get_mut(id.0)?.shape.first_mut()) {
            *rows += 1;
        }
        self.commands.push(Command::Dispatch {
            label,
            kernel,
            uniforms: uniforms.into(),
            bindings: bindings.into(),
            row,
        });
    }

    /// Reads a buffer back, as it is at this point of the pass.
    pub fn read_back(&mut self, name: impl Into<String>, buffer: BufferId) {
        self.commands.push(Command::ReadBack { name: name.into(), buffer, integers: false });
    }

    /// Reads a buffer of integers back.
    pub fn read_back_integers(&mut self, name: impl Into<String>, buffer: BufferId) {
        self.commands.push(Command::ReadBack { name: name.into(), buffer, integers: true });
    }

    /// The buffers; a [`BufferId`] counts along them.
    pub fn buffers(&self) -> &[Buffer] {
        &self.buffers
    }

    /// The commands in order.
    pub fn commands(&self) -> &[Command] {
        &self.commands
    }

    /// The kernels that it runs, each once, in order of first use.
    pub fn kernels(&self) -> Vec<&'static Kernel> {
        let mut kernels: Vec<&'static Kernel> = Vec::new();
        for command in &self.commands {
            if let Command::Dispatch { kernel, .. } = command
                && !kernels.iter().any(|other| other.shader.name == kernel.shader.name)
            {
                kernels.push(kernel);
            }
        }
        kernels
    }

    /// Runs what `other` gives for a dispatch's kernel and uniforms: a specialisation that computes the same otherwise.
    pub(super) fn exchange(&mut self, other: impl Fn(&'static Kernel, &[u8]) -> &'static Kernel) {
        for command in &mut self.commands {
            if let Command::Dispatch { kernel, uniforms, .. } = command {
                *kernel = other(kernel, uniforms);
            }
        }
    }

    /// Repeats each dispatch of the kernel `name` until it runs `times` times in a row: the difference in time is the
    /// kernel's own. The result of the pass is no longer the network's.
    pub fn repeat(&mut self, name: &str, times: usize) {
        let commands = std::mem::take(&mut self.commands);
        for command in commands {
            if let Command::Dispatch { label, kernel, uniforms, bindings, row } = &command
                && kernel.shader.name == name
            {
                for _ in 1..times {
                    self.commands.push(Command::Dispatch {
                        label: label.clone(),
                        kernel,
                        uniforms: uniforms.clone(),
                        bindings: bindings.clone(),
                        row: *row,
                    });
                }
            }
            self.commands.push(command);
        }
    }

    /// Holds every dispatch to its kernel: bindings, uniform size, grid, and no buffer both read and written.
    ///
    /// # Errors
    /// [`RecordingError`] names the first dispatch that is wrong.
    pub fn check(&self) -> Result<(), RecordingError> {
        for command in &self.commands {
            let Command::Dispatch { label, kernel, uniforms, bindings, .. } = command else { continue };
            let Shader { name, uniform_bytes, bindings: expected, .. } = kernel.shader;
            let fail = |what: String| Err(RecordingError { label: label.clone(), kernel: name, what });
            if uniforms.len() != *uniform_bytes {
                return fail(format!("{} bytes of uniforms instead of {uniform_bytes}", uniforms.len()));
            }
            if bindings.len() + 1 != expected.len() {
                return fail(format!("{} storage bindings instead of {}", bindings.len(), expected.len() - 1));
            }
            if (kernel.grid)(uniforms).iter().any(|&n| n == 0 || n > 65_535) {
                return fail(format!("a grid of {:?} workgroups", (kernel.grid)(uniforms)));
            }
            for (at, (binding, buffer)) in expected.iter().skip(1).zip(bindings).enumerate() {
                let Some(used) = self.buffers.get(buffer.0) else { return fail("an unknown buffer".into()) };
                if binding.access != Access::ReadWrite {
                    continue;
                }
                if !matches!(used.content, Content::Scratch | Content::Workgroups) {
                    return fail(format!("it writes \"{}\"", used.label));
                }
                if bindings.iter().enumerate().any(|(other, id)| other != at && id == buffer) {
                    return fail(format!("\"{}\" is bound twice and written", used.label));
                }
            }
        }
        Ok(())
    }
}

/// A weight's name, with the rows where it is not the whole one.
fn part_label(name: &str, length: usize, rows: &std::ops::Range<usize>) -> String {
    if *rows == (0..length) { name.to_owned() } else { format!("{name}[{}..{}]", rows.start, rows.end) }
}

impl Buffer {
    /// Values of four bytes.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// True for a buffer without values, which no device can have.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

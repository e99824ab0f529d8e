//! A recording, printed.

use std::fmt;

use super::{Access, Buffer, BufferId, Command, Content, Recording};

/// One line a buffer and a command, for people.
impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Buffer { label, shape, content } in &self.buffers {
            let kind = match content {
                Content::Input => "input",
                Content::Weight(_) => "weight",
                Content::Scratch => "scratch",
                Content::Workgroups => "workgroups",
                Content::Kept => "kept",
            };
            writeln!(f, "{kind:8} {label} {shape:?}")?;
        }
        for command in &self.commands {
            let name = |id: &BufferId| self.buffers.get(id.0).map_or("?", |buffer| buffer.label.as_str());
            match command {
                Command::Dispatch { label, kernel, uniforms, bindings, .. } => {
                    let [x, y, z] = (kernel.grid)(uniforms);
                    write!(f, "{label}: {} {x} x {y} x {z}", kernel.shader.name)?;
                    for (binding, buffer) in kernel.shader.bindings.iter().skip(1).zip(bindings) {
                        let arrow = if binding.access == Access::ReadWrite { "->" } else { "<-" };
                        write!(f, ", {} {arrow} {}", binding.name, name(buffer))?;
                    }
                    writeln!(f)?;
                }
                Command::ReadBack { name: result, buffer, .. } => writeln!(f, "read {result} <- {}", name(buffer))?,
            }
        }
        Ok(())
    }
}

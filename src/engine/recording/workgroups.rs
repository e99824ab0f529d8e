//! Dispatches that leave out others: a kernel that has found the answer empties the workgroups of all that would follow, so that
//! the device goes no further, without a word from the processor.

use super::{BufferId, Command, Content, Kernel, Recording};

impl Recording {
    /// Runs a kernel that may leave out every dispatch behind it: to the `bindings` comes, last, the buffer that it empties from a
    /// row on, of which `uniforms` is told. What those dispatches write is then an earlier run's. Where there are several such
    /// kernels they all run: the first that found the answer counts.
    pub fn dispatch_that_ends<U: bytemuck::Pod>(
        &mut self,
        label: impl Into<String>,
        kernel: &'static Kernel,
        uniforms: impl FnOnce(u32) -> U,
        bindings: &[BufferId],
    ) {
        let row = self.rows();
        // It has no row itself: a dispatch cannot write the buffer that its own workgroups come from.
        let known = self.workgroups.take();
        let buffer = known.unwrap_or_else(|| self.buffer("workgroups".into(), vec![0, 3], Content::Workgroups));
        self.dispatch(label, kernel, uniforms(row as u32), &[bindings, &[buffer]].concat());
        self.workgroups = Some(buffer);
    }

    /// Rows of the [`Content::Workgroups`].
    pub(super) fn rows(&self) -> usize {
        self.workgroups.and_then(|id| self.buffers.get(id.0)?.shape.first().copied()).unwrap_or(0)
    }

    /// The [`Content::Workgroups`], if a dispatch may leave out others, and what is laid there before each run.
    pub fn workgroups(&self) -> Option<(BufferId, Vec<u32>)> {
        let buffer = self.workgroups?;
        let mut values = vec![0; 3 * self.rows()];
        for command in &self.commands {
            if let Command::Dispatch { kernel, uniforms, row: Some(row), .. } = command
                && let Some(grid) = values.get_mut(3 * row..3 * row + 3)
            {
                grid.copy_from_slice(&(kernel.grid)(uniforms));
            }
        }
        Some((buffer, values))
    }
}

//! What the adapter can do at most, measured on itself by small kernels (`probe_fma`, `probe_matrix`, `probe_copy`), and what share of
//! that a kernel reaches (the roofline of Williams, Waterman and Patterson, CACM 2009).

use super::kernels::{self, ProbeCopyUniforms, ProbeFmaUniforms, ProbeMatrixUniforms};
use super::pipelines::Pipelines;
use super::recording::{Buffer, Kernel, Recording};
use super::weights::WeightBuffers;
use super::{Cost, EngineError, Gpu, Profiler};
use crate::tensors::{Tensor, TensorMap};

/// A probe is made longer until it takes this many milliseconds: then neither the timer nor the start counts.
const LONG_ENOUGH: f64 = 40.0;
/// Threads of the arithmetic probe: more than any adapter runs at once.
const THREADS: u32 = 1 << 18;
/// Subgroups of the probe of matrix units.
const SUBGROUPS: u32 = 1 << 13;
/// Values of four bytes that the memory probe reads, and as many that it writes: 64 MiB each.
const VALUES: u32 = 1 << 24;
/// The best of so many runs counts: whatever else the machine does only takes time.
const RUNS: usize = 3;
/// No probe is made longer than this many times its smallest size.
const LARGEST: u32 = 1 << 14;

/// The adapter's own limits.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Peak {
    /// 10^9 operations a second in f32, a multiply-add being two.
    pub gflops: f64,
    /// The same on its matrix units, factors in halves and sums in f32; none where our kernels use none.
    pub matrix_gflops: Option<f64>,
    /// 10^9 bytes a second, read and written.
    pub gbps: f64,
}

impl Peak {
    /// Measures an adapter; takes less than a second.
    ///
    /// # Errors
    /// A device that fails, or is too small for the 128 MiB that the memory probe needs.
    pub async fn measure(gpu: &Gpu) -> Result<Self, EngineError> {
        let (gflops, _) = best(gpu, |size| fma(THREADS, 8 * size)).await?;
        let (_, gbps) = best(gpu, |size| copy(VALUES, size)).await?;
        let probe = match gpu.matrix_units() {
            16 => Some(&kernels::PROBE_MATRIX),
            8 => Some(&kernels::PROBE_MATRIX_EIGHT),
            _ => None,
        };
        let matrix_gflops = match probe {
            Some(kernel) => Some(best(gpu, |size| matrix(kernel, SUBGROUPS, 8 * size)).await?.0),
            None => None,
        };
        Ok(Self { gflops, matrix_gflops, gbps })
    }

    /// The share (0 to 1) of what this adapter allows: the time that its arithmetic or its memory needs at least for
    /// `cost`, whichever is longer, over the time that was taken. Above 1 where data stays in a cache, which the memory
    /// probe leaves. `kernel`: its name, which says whether it uses matrix units.
    pub fn share(&self, kernel: &str, cost: Cost, milliseconds: f64) -> f64 {
        let matrix = self.matrix_gflops.filter(|_| kernel.starts_with("matmul_matrix"));
        (cost.flops as f64 / matrix.unwrap_or(self.gflops)).max(cost.bytes as f64 / self.gbps) / (milliseconds * 1e6)
    }
}

/// The arithmetic probe: `turns` of its loop in `threads` threads.
fn fma(threads: u32, turns: u32) -> Recording {
    let mut recording = Recording::default();
    let x = recording.vector("x", &[threads as usize]);
    let y = recording.scratch("y", &[threads as usize]);
    // The chains run to 1 and stay there: no overflow, no denormals.
    let uniforms = ProbeFmaUniforms { threads, steps: turns, a: 0.875, b: 0.125 };
    recording.dispatch("fma", &kernels::PROBE_FMA, uniforms, &[x, y]);
    recording
}

/// The probe of matrix units: `turns` of its loop in `subgroups` subgroups.
fn matrix(kernel: &'static Kernel, subgroups: u32, turns: u32) -> Recording {
    let mut recording = Recording::default();
    let x = recording.vector("x", &[subgroups as usize]);
    let y = recording.scratch("y", &[subgroups as usize]);
    let uniforms = ProbeMatrixUniforms { subgroups, steps: turns, a: 0.0078125, b: 0.0078125 };
    recording.dispatch("matrix", kernel, uniforms, &[x, y]);
    recording
}

/// The memory probe, `times` in a row.
fn copy(values: u32, times: u32) -> Recording {
    let mut recording = Recording::default();
    let x = recording.vector("x", &[values as usize]);
    let y = recording.scratch("y", &[values as usize]);
    for _ in 0..times {
        let uniforms = ProbeCopyUniforms { count: values / 4, a: 0.5 };
        recording.dispatch("copy", &kernels::PROBE_COPY, uniforms, &[x, y]);
    }
    recording
}

/// 10^9 operations and 10^9 bytes a second of a probe that `probe` makes of any size.
async fn best(gpu: &Gpu, probe: impl Fn(u32) -> Recording) -> Result<(f64, f64), EngineError> {
    let smallest = probe(1);
    let pipelines = Pipelines::default();
    let values = smallest.buffers().first().map_or(0, Buffer::len);
    let mut input = TensorMap::default();
    input.insert("x", Tensor::f32([values], vec![1.5; values]));
    let input = WeightBuffers::upload(gpu, &smallest, &input)?;
    let mut size = 1;
    loop {
        let profiler = Profiler::of(gpu, probe(size), &pipelines, &input).await?;
        let mut lowest = f64::INFINITY;
        let mut cost = Cost::default();
        for _ in 0..RUNS {
            for kernel in profiler.kernels(1).await? {
                lowest = lowest.min(kernel.milliseconds);
                cost = kernel.cost;
            }
        }
        if lowest >= LONG_ENOUGH || size >= LARGEST {
            return Ok((cost.flops as f64 / (lowest * 1e6), cost.bytes as f64 / (lowest * 1e6)));
        }
        size *= 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_of_arithmetic_and_memory_bounds_a_kernel() {
        let peak = Peak { gflops: 100.0, matrix_gflops: Some(1000.0), gbps: 10.0 };
        let busy = Cost { flops: 50_000_000, bytes: 4000 };
        assert!((peak.share("matmul", busy, 1.0) - 0.5).abs() < 1e-12, "50 million operations take 0.5 ms");
        assert!((peak.share("matmul_matrix_f16", busy, 1.0) - 0.05).abs() < 1e-12, "a tenth of that on matrix units");
        let idle = Cost { flops: 10, bytes: 10_000_000 };
        assert!((peak.share("matmul", idle, 4.0) - 0.25).abs() < 1e-12, "10 MB take 1 ms");
    }
}

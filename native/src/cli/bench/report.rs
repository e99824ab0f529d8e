//! What came out, as JSON, as a table for people and as a row of Markdown.

use std::fmt::Write as _;

use finegrain::engine::{Clock, Peak, TileChoice, TileTime};
use finegrain::tensors::Precision;
use serde::Serialize;

/// Everything that a measurement gives, whatever was measured.
pub(super) struct Measured {
    pub(super) adapter: Adapter,
    pub(super) cold: Cold,
    pub(super) warm: Spread,
    pub(super) device_bytes: Option<u64>,
    pub(super) beside: Vec<Part>,
    pub(super) parts: Vec<Part>,
    pub(super) kernels: Option<Kernels>,
    pub(super) tiles: Option<Vec<TileChoice>>,
}

/// The document of `--json`.
#[derive(Serialize)]
pub(super) struct Report {
    pub(super) adapter: Adapter,
    /// The bundle's id or the backbone's name.
    pub(super) model: String,
    /// Height and width of a photo, in pixels.
    pub(super) size: [usize; 2],
    /// "random" without a bundle: the answers mean nothing.
    pub(super) weights: &'static str,
    /// How the weights of linear layers lie where the network runs.
    pub(super) precision: Precision,
    pub(super) runs: usize,
    pub(super) cold: Cold,
    /// A photo, from its pixels to the answer.
    pub(super) warm: Spread,
    /// Bytes on the device: weights and activations; null on the processor.
    pub(super) device_bytes: Option<u64>,
    /// Ours and the same network in burn, in turns; empty without `--beside`.
    pub(super) beside: Vec<Part>,
    /// The network without what is left out in turn; the ratio is to the first of them.
    pub(super) parts: Vec<Part>,
    /// Null on the processor.
    pub(super) kernels: Option<Kernels>,
    /// The matrix products, and the tile of each; null on the processor.
    pub(super) tiles: Option<Vec<TileChoice>>,
    /// The row alone; what its columns are is [`COLUMNS`].
    pub(super) markdown: String,
}

#[derive(Serialize)]
pub(super) struct Adapter {
    pub(super) name: String,
    pub(super) backend: String,
    pub(super) driver: String,
    /// It computes on the processor.
    pub(super) software: bool,
}

/// From weights in memory to the first answer.
#[derive(Serialize)]
pub(super) struct Cold {
    /// Upload, compilation and whatever else loading takes.
    pub(super) load_ms: f64,
    /// Of that, until the tiles of matrix products were chosen, which is measured once; null where nothing is measured.
    pub(super) tune_ms: Option<f64>,
    /// Of all, the compilation that was left to do; null where nothing is compiled.
    pub(super) compile_ms: Option<f64>,
    /// Pipelines compiled.
    pub(super) pipelines: Option<usize>,
    /// Drivers compile again when a kernel first runs.
    pub(super) first_photo_ms: f64,
}

#[derive(Serialize)]
pub(super) struct Spread {
    pub(super) median_ms: f64,
    pub(super) lowest_ms: f64,
    pub(super) highest_ms: f64,
}

#[derive(Serialize)]
pub(super) struct Part {
    pub(super) name: &'static str,
    pub(super) median_ms: f64,
    pub(super) ratio: f64,
}

#[derive(Serialize)]
pub(super) struct Kernels {
    /// What the kernels were timed with.
    pub(super) clock: Clock,
    /// What the adapter reaches in two probes.
    pub(super) peak: Peak,
    /// The slowest first.
    pub(super) table: Vec<Kernel>,
}

/// All dispatches of a kernel in one photo.
#[derive(Serialize)]
pub(super) struct Kernel {
    pub(super) name: &'static str,
    pub(super) dispatches: usize,
    pub(super) ms: f64,
    pub(super) gflops: f64,
    pub(super) gbps: f64,
    /// Of what the probes say that its arithmetic or its memory allows; above 1 where data stays in a cache.
    pub(super) share: f64,
    pub(super) flops: u64,
    pub(super) bytes: u64,
}

impl Spread {
    /// Of at least one time.
    pub(super) fn of(times: &[f64]) -> Self {
        let mut sorted = times.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        let half = sorted.len() / 2;
        let median_ms = if sorted.len() % 2 == 1 { at(half) } else { 0.5 * (at(half.wrapping_sub(1)) + at(half)) };
        Self { median_ms, lowest_ms: at(0), highest_ms: at(sorted.len().wrapping_sub(1)) }
    }
}

/// Heads of the Markdown row.
const COLUMNS: [&str; 10] = [
    "Adapter",
    "Network",
    "Pixels",
    "Weights",
    "Load, ms",
    "Compile",
    "First photo, ms",
    "Photo, ms",
    "SA alone, ms",
    "Memory, MB",
];

impl Report {
    /// Fills in the row.
    pub(super) fn finish(mut self) -> Self {
        let compile = self.cold.compile_ms.zip(self.cold.pipelines);
        let alone = self.parts.first().filter(|part| !part.name.contains('+'));
        let [height, width] = self.size;
        let cells = [
            format!("{} ({})", self.adapter.name.replace('|', "/"), self.adapter.backend),
            self.model.clone(),
            format!("{height} x {width}"),
            precision_name(self.precision).into(),
            format!("{:.0}", self.cold.load_ms),
            compile.map_or_else(|| "none".into(), |(ms, count)| format!("{count} in {ms:.0} ms")),
            format!("{:.1}", self.cold.first_photo_ms),
            format!("{:.1}", self.warm.median_ms),
            alone.map_or_else(String::new, |part| format!("{:.1}", part.median_ms)),
            self.device_bytes.map_or_else(String::new, |bytes| format!("{:.1}", bytes as f64 / 1e6)),
        ];
        self.markdown = format!("| {} |", cells.join(" | "));
        self
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let Adapter { name, backend, driver, software } = &self.adapter;
        let kind = if *software { ", software" } else { "" };
        let driver = if driver.is_empty() { String::new() } else { format!(", {driver}") };
        let [height, width] = self.size;
        let weights = if self.weights == "random" { "random weights: the answers mean nothing" } else { "a bundle" };
        let _ = writeln!(text, "{name} ({backend}{kind}{driver})");
        let stored = precision_name(self.precision);
        let _ = writeln!(text, "{} at {height} x {width} pixels, weights in {stored}, {weights}\n", self.model);
        let Cold { load_ms, tune_ms, compile_ms, pipelines, first_photo_ms } = &self.cold;
        let compiled = compile_ms.zip(*pipelines);
        let compiled = compiled.map(|(ms, count)| format!(" (of that {ms:.0} ms to compile {count} pipelines)"));
        let _ = writeln!(text, "cold     {load_ms:.0} ms to load{}", compiled.unwrap_or_default());
        if let Some(ms) = tune_ms {
            let _ = writeln!(text, "         (of that {ms:.0} ms to choose tiles)");
        }
        let _ = writeln!(text, "         {first_photo_ms:.1} ms for the first photo");
        let Spread { median_ms, lowest_ms, highest_ms } = &self.warm;
        let _ = writeln!(
            text,
            "warm     {median_ms:.1} ms a photo (median of {}; {lowest_ms:.1} to {highest_ms:.1})",
            self.runs
        );
        if let Some(bytes) = self.device_bytes {
            let _ = writeln!(text, "memory   {:.1} MB on the device", bytes as f64 / 1e6);
        }
        for (title, parts) in [("beside", &self.beside), ("parts", &self.parts)] {
            for (index, Part { name, median_ms, ratio }) in parts.iter().enumerate() {
                let head = if index == 0 { title } else { "" };
                let _ = writeln!(text, "{head:8} {median_ms:8.1} ms  {ratio:5.2}  {name}");
            }
        }
        if let Some(kernels) = &self.kernels {
            text.push('\n');
            text += &kernels.text();
        }
        if let Some(tiles) = &self.tiles {
            text.push('\n');
            text += &tiles_text(tiles);
        }
        let rule = COLUMNS.map(|_| "---").join("|");
        let _ = writeln!(text, "\n| {} |\n|{rule}|\n{}", COLUMNS.join(" | "), self.markdown);
        text
    }
}

fn tiles_text(tiles: &[TileChoice]) -> String {
    let mut text = String::new();
    let measured = tiles.iter().any(|product| !product.measured.is_empty());
    let why = if measured { "as measured here, each in every tile" } else { "the default, not measured (--tune)" };
    let _ = writeln!(text, "Tiles of the matrix products, {why}.\n");
    let _ = writeln!(text, "{:20} {:>16} {:>10} {:>8}  measured", "kernel", "M x K x N", "dispatches", "tile");
    let name = |[rows, columns]: [u32; 2], units| format!("{rows} x {columns}{}", if units { " matrix" } else { "" });
    for TileChoice { kernel, rows, inner, columns, dispatches, tile, matrix_units, measured } in tiles {
        let size = format!("{rows} x {inner} x {columns}");
        let times: Vec<String> = measured
            .iter()
            .map(|TileTime { tile, matrix_units, ms }| format!("{} {ms:.3} ms", name(*tile, *matrix_units)))
            .collect();
        let line =
            format!("{kernel:20} {size:>16} {dispatches:>10} {:>8}  {}", name(*tile, *matrix_units), times.join(", "));
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// As in `--precision`.
fn precision_name(precision: Precision) -> &'static str {
    match precision {
        Precision::F32 => "f32",
        Precision::F16 => "f16",
        Precision::Int8 => "int8",
    }
}

impl Kernels {
    fn text(&self) -> String {
        let mut text = String::new();
        let how = match self.clock {
            Clock::Timestamps => "timed by the device's timestamps, each dispatch in a pass of its own",
            Clock::Submissions => {
                "timed by the clock on the wall, one submission for each kernel, because the adapter has no timestamps: \
                 what a submission costs is in the times"
            }
        };
        let Peak { gflops, matrix_gflops, gbps } = self.peak;
        let matrix = matrix_gflops.map(|gflops| format!(" {gflops:.1} on its matrix units,")).unwrap_or_default();
        let _ = writeln!(text, "Kernels of one photo, {how}.");
        let _ = writeln!(text, "Peak of this adapter, measured: {gflops:.1} GFLOP/s in f32,{matrix} {gbps:.1} GB/s.\n");
        let _ = writeln!(
            text,
            "{:20} {:>10} {:>10} {:>10} {:>10} {:>8}",
            "kernel", "dispatches", "ms", "GFLOP/s", "GB/s", "of peak"
        );
        for Kernel { name, dispatches, ms, gflops, gbps, share, .. } in &self.table {
            let _ = writeln!(
                text,
                "{name:20} {dispatches:>10} {ms:>10.2} {gflops:>10.1} {gbps:>10.2} {:>6.0} %",
                100.0 * share
            );
        }
        let (count, ms) = self.table.iter().fold((0, 0.0), |(count, ms), k| (count + k.dispatches, ms + k.ms));
        let flops: u64 = self.table.iter().map(|kernel| kernel.flops).sum();
        let _ = writeln!(text, "{:20} {count:>10} {ms:>10.2} {:>10.1}", "all", flops as f64 / (ms * 1e6));
        text
    }
}

//! The page's network beside onnxruntime-web's, in one Chromium each, in turns:
//! `peers RUNS PATIENCE all|cpu ONNXRUNTIME_FOLDER OUT.md NETWORK SIZE VIT.onnx ...`, `OUT.md` being `-` for none.
//!
//! `cargo xtask bench` makes and fetches what it needs.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use finegrain_page_tests::browser::{Browser, Options};
use finegrain_page_tests::measure::{Times, machine, measured, our_script};
use finegrain_page_tests::peaks::peaks;
use finegrain_page_tests::random;
use finegrain_page_tests::site::Site;
use serde_json::json;

/// What is measured of each network: name, ours, back end, threads, how the weights lie on the device.
const ROWS: [(&str, bool, &str, usize, &str); 8] = [
    ("finegrain, CPU, 1 thread", true, "cpu", 1, "f32"),
    ("onnxruntime-web, wasm, 1 thread", false, "wasm", 1, "f32"),
    ("finegrain, CPU, 2 threads", true, "cpu", 2, "f32"),
    ("onnxruntime-web, wasm, 2 threads", false, "wasm", 2, "f32"),
    ("finegrain, WebGPU, weights in f32", true, "webgpu", 1, "f32"),
    ("finegrain, WebGPU, weights in f16", true, "webgpu", 1, "f16"),
    ("finegrain, WebGPU, weights in int8", true, "webgpu", 1, "int8"),
    ("onnxruntime-web, WebGPU", false, "webgpu", 1, "f32"),
];

/// A row of a table: `None` where patience ended.
struct Row {
    times: Option<Times>,
    /// Peak of the tab's process and of the graphics process, in bytes.
    memory: [f64; 2],
    /// Bytes of network and code that a page fetches.
    download: u64,
}

/// How often, how many seconds a row may take, and whether WebGPU is left out.
struct Effort {
    runs: usize,
    patience: Duration,
    cpu_only: bool,
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &str| arguments.next().with_context(|| format!("{what} is missing"));
    let runs = next("RUNS")?.parse()?;
    let patience = Duration::from_secs(next("PATIENCE")?.parse()?);
    let effort = Effort { runs, patience, cpu_only: next("all or cpu")? == "cpu" };
    let folder = PathBuf::from(next("ONNXRUNTIME_FOLDER")?);
    let out = next("OUT.md")?;
    let networks: Vec<String> = arguments.collect();
    ensure!(!networks.is_empty() && networks.len().is_multiple_of(3), "networks are NETWORK SIZE VIT.onnx each");
    let mut text = format!("{}\n", machine());
    for network in networks.chunks_exact(3) {
        let [name, size, onnx] = network else { bail!("networks are NETWORK SIZE VIT.onnx each") };
        text += &table(name, size.parse()?, &folder, Path::new(onnx), &effort)?;
        // What is there is kept, should the next network fail.
        if out != "-" {
            fs::write(&out, &text).with_context(|| format!("{out} cannot be written"))?;
        }
    }
    println!("{text}");
    Ok(())
}

/// Every row of a network, the better of two rounds by its median where the first took less than half of the patience.
fn table(name: &str, size: usize, folder: &Path, onnx: &Path, effort: &Effort) -> Result<String> {
    let files = random::bundle(name, size)?.write()?;
    let (site, _wire, www) = Site::wired(|www| {
        let bundle = www.join("models/random");
        fs::create_dir_all(&bundle)?;
        for (file, bytes) in &files {
            fs::write(bundle.join(file), bytes)?;
        }
        add_peer(www, folder, onnx)
    })?;
    let mut best: Vec<Option<Row>> = ROWS.iter().map(|_| None).collect();
    for round in 1..=2 {
        for ((what, ours, backend, threads, precision), best) in ROWS.into_iter().zip(&mut best) {
            let begin = Instant::now();
            if effort.cpu_only && backend == "webgpu"
                || best.as_ref().is_some_and(|row| row.times.is_none_or(|times| slow(&times, effort)))
            {
                continue;
            }
            let runs = if backend == "webgpu" { effort.runs.div_ceil(10) } else { effort.runs };
            let script = if ours {
                our_script("random", backend, threads, runs, precision)
            } else {
                peer_script(backend, threads, runs, size)
            };
            let browser = Browser::start(Options::default())?;
            browser.open(&site.file("bench.html"))?;
            let times = measured(&browser, &script, effort.patience).with_context(|| what.to_owned())?;
            let found = times.map_or_else(|| "patience ended".to_owned(), |times| format!("{:.1} ms", times.median));
            let took = begin.elapsed().as_secs();
            eprintln!("{name} at {size}, round {round}: {what}: {found} of {runs} ({took} s)");
            let row = Row { times, memory: peaks(browser.profile())?, download: download(&www, ours, backend)? };
            let middle = |row: &Row| row.times.map_or(f64::INFINITY, |times| times.median);
            if best.as_ref().is_none_or(|best| middle(&row) < middle(best)) {
                *best = Some(row);
            }
        }
    }
    Ok(written(name, size, &best, effort))
}

/// Whether another round would try the patience.
fn slow(times: &Times, effort: &Effort) -> bool {
    times.load + 2.0 * times.first > 500.0 * effort.patience.as_secs_f64()
}

/// Puts onnxruntime-web, its network and the script that times it beside the page.
fn add_peer(www: &Path, folder: &Path, network: &Path) -> Result<()> {
    let peer = www.join("peer");
    fs::create_dir_all(&peer)?;
    for entry in fs::read_dir(folder.join("dist")).context("onnxruntime-web has no folder dist")? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if (name.ends_with(".wasm") || name.ends_with(".mjs")) && !name.contains("bundle") {
            fs::copy(&path, peer.join(name))?;
        }
    }
    fs::copy(network, peer.join("vit.onnx"))?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../peers/onnxruntime.js");
    fs::copy(script, peer.join("onnxruntime.js"))?;
    Ok(())
}

/// Bytes of the network and of the WebAssembly that a row fetches, as they lie on the server.
fn download(www: &Path, ours: bool, backend: &str) -> Result<u64> {
    let files: &[&str] = match (ours, backend) {
        (true, "webgpu") => &["models/random/model.safetensors", "pkg/webgpu_bg.wasm"],
        (true, _) => &["models/random/model.safetensors", "pkg/cpu_fma_bg.wasm"],
        (false, "webgpu") => &["peer/vit.onnx", "peer/ort-wasm-simd-threaded.asyncify.wasm"],
        (false, _) => &["peer/vit.onnx", "peer/ort-wasm-simd-threaded.wasm"],
    };
    let size = |file: &&str| Ok(fs::metadata(www.join(file)).with_context(|| (*file).to_owned())?.len());
    files.iter().map(size).sum()
}

/// The backbone and its classifier alone.
fn peer_script(provider: &str, threads: usize, runs: usize, side: usize) -> String {
    let options = json!({ "provider": provider, "threads": threads, "runs": runs, "side": side });
    format!("const {{ measure }} = await import('/peer/onnxruntime.js'); return await measure({options});")
}

fn written(name: &str, size: usize, rows: &[Option<Row>], effort: &Effort) -> String {
    let mut text = format!(
        "\n| {name} at {size} pixels | load | first photo | median | fastest | memory, tab + graphics | network + wasm |\n\
         |---|---|---|---|---|---|---|\n"
    );
    for ((what, ..), row) in ROWS.iter().zip(rows) {
        let Some(Row { times, memory: [tab, graphics], download }) = row else { continue };
        let times = match times {
            Some(Times { load, first, median, fastest }) => {
                format!("{load:.0} ms | {first:.0} ms | {median:.1} ms | {fastest:.1} ms")
            }
            None => format!("no answer within {} s | | |", effort.patience.as_secs()),
        };
        let (tab, graphics, download) = (tab / 1e6, graphics / 1e6, *download as f64 / 1e6);
        // Writing into a string cannot fail.
        let _ = writeln!(text, "| {what} | {times} | {tab:.0} + {graphics:.0} MB | {download:.1} MB |");
    }
    text
}

//! The page's network beside onnxruntime-web's, in one Chromium: `peers RUNS ONNXRUNTIME_FOLDER VIT.onnx [OUT.md]`.
//!
//! `cargo xtask bench` makes and fetches what it needs.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use finegrain_page_tests::browser::{Browser, Options};
use finegrain_page_tests::site::Site;
use serde::Deserialize;
use serde_json::json;

/// Milliseconds.
#[derive(Deserialize)]
struct Times {
    load: f64,
    first: f64,
    median: f64,
    fastest: f64,
}

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let mut next = |what: &str| arguments.next().with_context(|| format!("{what} is missing"));
    let runs: usize = next("RUNS")?.to_string_lossy().parse()?;
    let (folder, network) = (PathBuf::from(next("ONNXRUNTIME_FOLDER")?), PathBuf::from(next("VIT.onnx")?));
    let out = arguments.next();
    let (site, _wire, www) = Site::wired(|www| add_peer(www, &folder, &network))?;
    ensure!(www.join("peer/vit.onnx").is_file(), "the copy of the page is not whole");

    let slow = runs.div_ceil(10);
    let mut rows = Vec::new();
    for round in 1..=2 {
        for (name, provider, threads, runs) in [
            ("finegrain, CPU, 1 thread", "cpu", 1, runs),
            ("onnxruntime-web, wasm, 1 thread", "wasm", 1, runs),
            ("finegrain, CPU, 2 threads", "cpu", 2, runs),
            ("onnxruntime-web, wasm, 2 threads", "wasm", 2, runs),
            ("finegrain, WebGPU in software", "webgpu", 1, slow),
            ("onnxruntime-web, WebGPU in software", "webgpu", 1, slow),
        ] {
            let browser = Browser::start(Options::default())?;
            browser.open(&site.file("bench.html"))?;
            let ours = name.starts_with("finegrain");
            let script = if ours { our_script(provider, threads, runs) } else { peer_script(provider, threads, runs) };
            let times: Times = serde_json::from_value(browser.script(&script)?).with_context(|| name.to_owned())?;
            eprintln!("round {round}: {name}: median {:.1} ms of {runs}, fastest {:.1}", times.median, times.fastest);
            rows.push((name, times));
        }
    }
    let table = table(&rows);
    println!("{table}");
    match out {
        Some(out) => fs::write(&out, table).with_context(|| format!("{} cannot be written", Path::new(&out).display())),
        None => Ok(()),
    }
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

/// The whole answer, rollout, local queries and GLCA included, as the page computes it; only the network is timed, as there.
fn our_script(backend: &str, threads: usize, runs: usize) -> String {
    format!(
        "const {{ Classifier }} = await import('/pkg/finegrain.js');
         const begin = performance.now();
         const classifier = await Classifier.load('/models/birds/', {{ backend: {backend}, threads: {threads} }});
         const load = performance.now() - begin;
         if ({threads} > 1 && !classifier.adapter.includes('{threads} threads')) throw new Error(classifier.adapter);
         const photo = await (await fetch('/samples/mallard.png')).blob();
         const times = [];
         for (let run = 0; run <= {runs}; run += 1) times.push((await classifier.classify(photo)).timings.run);
         const [first, ...warm] = times;
         warm.sort((a, b) => a - b);
         const half = warm.length / 2;
         const median = (warm[Math.floor(half)] + warm[Math.ceil(half) - 1]) / 2;
         classifier.free();
         return {{ load, first, median, fastest: warm[0] }};",
        backend = json!(backend),
    )
}

/// The backbone and its classifier alone.
fn peer_script(provider: &str, threads: usize, runs: usize) -> String {
    let options = json!({ "provider": provider, "threads": threads, "runs": runs, "side": 224 });
    format!("const {{ measure }} = await import('/peer/onnxruntime.js'); return await measure({options});")
}

/// The better of two rounds for each row, by its median.
fn table(rows: &[(&str, Times)]) -> String {
    let mut text = format!(
        "{}\n\n| ViT-Tiny at 224 pixels, f32 | load | first photo | median | fastest |\n|---|---|---|---|---|\n",
        machine()
    );
    let half = rows.len() / 2;
    for (first, second) in rows[..half].iter().zip(&rows[half..]) {
        let (name, times) = if first.1.median <= second.1.median { first } else { second };
        let Times { load, first, median, fastest } = times;
        // Writing into a string cannot fail.
        let _ = writeln!(text, "| {name} | {load:.0} ms | {first:.0} ms | {median:.1} ms | {fastest:.1} ms |");
    }
    text
}

/// Processor, cores and browser.
fn machine() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name));
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let version = Command::new("chromium").arg("--version").output().ok();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    format!("{}, {cores} cores, {version}", model.unwrap_or(std::env::consts::ARCH))
}

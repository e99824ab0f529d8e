//! How fast bundles are in the browser, in one Chromium each, in turns: `bundles RUNS PATIENCE all|cpu OUT.md BUNDLE ...`, `OUT.md` being
//! `-` for none and each `BUNDLE` a folder that `finegrain export` wrote.
//!
//! `cargo xtask bench --bundle` makes the wasm modules first.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use finegrain_page_tests::browser::{Browser, Options};
use finegrain_page_tests::measure::{machine, measured, our_script};
use finegrain_page_tests::site::Site;

/// Back end and threads of each column.
const COLUMNS: [(&str, &str, usize); 3] =
    [("CPU, 1 thread", "cpu", 1), ("CPU, 2 threads", "cpu", 2), ("WebGPU", "webgpu", 1)];

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &str| arguments.next().with_context(|| format!("{what} is missing"));
    let runs: usize = next("RUNS")?.parse()?;
    let patience = Duration::from_secs(next("PATIENCE")?.parse()?);
    let cpu_only = next("all or cpu")? == "cpu";
    let out = next("OUT.md")?;
    let bundles: Vec<PathBuf> = arguments.map(PathBuf::from).collect();
    ensure!(!bundles.is_empty(), "name a bundle's folder at least");
    let (site, _wire, _) = Site::wired(|www| {
        for (place, bundle) in bundles.iter().enumerate() {
            copy(bundle, &www.join(format!("models/measured-{place}")))?;
        }
        Ok(())
    })?;
    // The better of two rounds: another program may have been at work in one.
    let mut best = vec![[None::<f64>; COLUMNS.len()]; bundles.len()];
    for round in 1..=2 {
        for (place, (bundle, best)) in bundles.iter().zip(&mut best).enumerate() {
            for ((column, backend, threads), best) in COLUMNS.into_iter().zip(best) {
                if cpu_only && backend == "webgpu" {
                    continue;
                }
                // A software WebGPU takes a hundred times as long.
                let runs = if backend == "webgpu" { runs.div_ceil(10) } else { runs };
                let browser = Browser::start(Options::default())?;
                browser.open(&site.file("bench.html"))?;
                let script = our_script(&format!("measured-{place}"), backend, threads, runs, "auto");
                let times = measured(&browser, &script, patience).with_context(|| bundle.display().to_string())?;
                let found = times.map(|times| times.median);
                let said = found.map_or_else(|| "patience ended".to_owned(), |median| format!("{median:.1} ms"));
                eprintln!("{}, round {round}: {column}: {said} of {runs}", bundle.display());
                *best = best.iter().copied().chain(found).reduce(f64::min);
            }
        }
    }
    let table = written(&bundles, &best);
    if out != "-" {
        fs::write(&out, &table).with_context(|| format!("{out} cannot be written"))?;
    }
    println!("{table}");
    Ok(())
}

fn copy(bundle: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for file in ["manifest.json", "model.safetensors", "trace.safetensors"] {
        let from = bundle.join(file);
        fs::copy(&from, to.join(file)).with_context(|| format!("{} cannot be read", from.display()))?;
    }
    Ok(())
}

/// Median milliseconds of a photo, a row a bundle.
fn written(bundles: &[PathBuf], best: &[[Option<f64>; COLUMNS.len()]]) -> String {
    let mut text = format!("{}\n\n| a photo, median |", machine());
    for (column, ..) in COLUMNS {
        // Writing into a string cannot fail.
        let _ = write!(text, " {column} |");
    }
    text += "\n|---|---|---|---|\n";
    for (bundle, best) in bundles.iter().zip(best) {
        let name = bundle.file_name().unwrap_or(bundle.as_os_str()).to_string_lossy();
        let _ = write!(text, "| {name} |");
        for found in best {
            let _ = match found {
                Some(median) => write!(text, " {median:.1} ms |"),
                None => write!(text, " |"),
            };
        }
        text += "\n";
    }
    text
}

//! How fast a network is in the browser.

use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde::Deserialize;
use serde_json::json;

use crate::browser::Browser;

/// Milliseconds of a network in the browser.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Times {
    /// Loading the bundle.
    pub load: f64,
    /// The first photo.
    pub first: f64,
    /// The median of those after it.
    pub median: f64,
    /// The fastest of those.
    pub fastest: f64,
}

/// A script that times the bundle `models/<bundle>`: the whole answer, with whatever it has of rollout, local queries and GLCA, as the
/// page computes it; only the network is timed, as there.
#[must_use]
pub fn our_script(bundle: &str, backend: &str, threads: usize, runs: usize, precision: &str) -> String {
    format!(
        "const {{ Classifier }} = await import('/pkg/finegrain.js');
         const begin = performance.now();
         const options = {options};
         const classifier = await Classifier.load('/models/{bundle}/', options);
         const load = performance.now() - begin;
         if ({threads} > 1 && !classifier.adapter.includes('{threads} threads')) throw new Error(classifier.adapter);
         if (classifier.backend !== options.backend) throw new Error(classifier.adapter);
         const photo = await (await fetch('/samples/mallard.png')).blob();
         const times = [];
         for (let run = 0; run <= {runs}; run += 1) times.push((await classifier.classify(photo)).timings.run);
         const [first, ...warm] = times;
         warm.sort((a, b) => a - b);
         const half = warm.length / 2;
         const median = (warm[Math.floor(half)] + warm[Math.ceil(half) - 1]) / 2;
         classifier.free();
         return {{ load, first, median, fastest: warm[0] }};",
        options = json!({ "backend": backend, "threads": threads, "precision": precision }),
    )
}

/// What a script measures, or nothing where that takes longer than one has patience for.
///
/// # Errors
/// What the script throws.
pub fn measured(browser: &Browser, script: &str, patience: Duration) -> Result<Option<Times>> {
    browser.script(&format!(
        "(async () => {{ {script} }})().then((times) => (window.measured = {{ times }}),
            (error) => (window.measured = {{ error: String(error) }}));"
    ))?;
    let begin = Instant::now();
    while begin.elapsed() < patience {
        let found = browser.script("return window.measured ?? null;")?;
        if let Some(error) = found["error"].as_str() {
            bail!("{error}");
        }
        if !found.is_null() {
            return Ok(Some(serde_json::from_value(found["times"].clone())?));
        }
        sleep(Duration::from_millis(500));
    }
    Ok(None)
}

/// Processor, cores and browser.
#[must_use]
pub fn machine() -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name));
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let version = Command::new("chromium").arg("--version").output().ok();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    format!("{}, {cores} cores, {version}", model.unwrap_or(std::env::consts::ARCH))
}

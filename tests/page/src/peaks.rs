//! How much memory a browser takes.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// The most bytes of main memory that any tab's process and the graphics process of the browser with that profile ever had.
///
/// # Errors
/// Where there is no `/proc`.
pub fn peaks(profile: &Path) -> Result<[f64; 2]> {
    let profile = profile.to_str().context("the profile's name")?;
    let mut peaks = [0.0f64; 2];
    for process in fs::read_dir("/proc").context("memory is measured on Linux only")? {
        let process = process?.path();
        let Ok(command) = fs::read_to_string(process.join("cmdline")) else { continue };
        if !command.contains(profile) {
            continue;
        }
        let kind = if command.contains("--type=renderer") {
            0
        } else if command.contains("--type=gpu-process") {
            1
        } else {
            continue;
        };
        let status = fs::read_to_string(process.join("status")).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
        peaks[kind] = peaks[kind].max(peak.map_or(0.0, |kilobytes: f64| 1024.0 * kilobytes));
    }
    Ok(peaks)
}

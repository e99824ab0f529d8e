//! How much memory the process has needed.

/// The most memory that this process ever held at once, in MiB; `None` where the system does not tell (Linux does).
pub(super) fn peak_mib() -> Option<f64> {
    peak(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// The "high water mark" of `/proc/PID/status`.
fn peak(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_high_water_mark_is_read() {
        assert_eq!(peak("Name:\tx\nVmPeak:\t  9999 kB\nVmHWM:\t    5120 kB\nThreads:\t1\n"), Some(5.0));
        assert_eq!(peak("Name:\tx\n"), None);
    }
}

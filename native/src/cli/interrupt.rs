//! Ctrl-C ends long commands at a point where nothing is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

/// Raises `flag` at the first Ctrl-C (or termination); a second one ends the process.
pub(super) fn raise(flag: &Arc<AtomicBool>) -> Result<()> {
    let flag = Arc::clone(flag);
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })
    .context("Ctrl-C cannot be watched")
}

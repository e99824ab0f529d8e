//! What the tiles of matrix products take on this machine's graphics adapter, kept in the user's cache folder: measured at
//! the first load of a network (`finegrain::engine::Tuning`), read at every later one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Instant;

use anyhow::Result;
use etcetera::BaseStrategy as _;
use finegrain::engine::{AdapterFacts, Engine, Tuning};
use sha2::{Digest as _, Sha256};

use crate::store;

/// Milliseconds that a load may spend on measuring.
const BUDGET: f64 = 1000.0;
/// The same where somebody asked for it.
const ASKED: f64 = 120_000.0;

/// The file of one adapter.
pub struct TileCache {
    /// None where the user has no cache folder: then every load measures.
    path: Option<PathBuf>,
    text: Option<String>,
}

impl TileCache {
    /// Reads what was measured on this adapter; nothing where that cannot be read.
    pub fn open(adapter: &AdapterFacts) -> Self {
        let path =
            etcetera::choose_base_strategy().ok().map(|user| user.cache_dir().join("finegrain").join(name(adapter)));
        let text = path.as_ref().and_then(|path| fs::read_to_string(path).ok());
        Self { path, text }
    }

    /// What loading an engine does with it. `asked`: somebody wants it measured, on a processor too, and has the time.
    pub fn tuning(&self, asked: bool) -> Tuning<'_> {
        Tuning {
            known: self.text.as_deref(),
            software: asked,
            budget: if asked { ASKED } else { BUDGET },
            clock: milliseconds,
        }
    }

    /// Keeps what the engine knows now. Where that fails, the next load measures again: no reason to stop.
    pub fn keep(&self, engine: &Engine) {
        let text = engine.tile_times();
        if let (Some(path), Some(text)) = (&self.path, text.filter(|text| self.text.as_ref() != Some(text))) {
            let _ = write(path, &text);
        }
    }
}

/// One file for each adapter: a machine may have several.
fn name(AdapterFacts { name, vendor, backend, driver, .. }: &AdapterFacts) -> String {
    let hash = Sha256::digest(format!("{name}\n{vendor}\n{backend}\n{driver}"));
    let hex: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("tiles-{hex}.txt")
}

/// Whole or not at all: another process may be reading it.
fn write(path: &Path, text: &str) -> Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    store::replace(path, text.as_bytes())
}

/// Since the first call.
fn milliseconds() -> f64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_secs_f64() * 1e3
}

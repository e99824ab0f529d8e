//! What a run's folder tells.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use finegrain::bundle::FileEntry;
use serde_json::Value;

use super::history::History;
use crate::measure::Measures;
use crate::train::RunRecord;

/// A run, finished or not.
#[derive(Debug)]
pub struct Run {
    /// Where it lies.
    pub(super) folder: PathBuf,
    /// The last part of its folder.
    pub(super) name: String,
    /// The resolved recipe, without folders of this machine.
    pub(super) recipe: Value,
    /// The same as the run's own file has it, in its order.
    pub(super) recipe_text: String,
    /// Its log.
    pub(super) history: History,
    /// `run.json`, once it has finished.
    pub(super) record: Option<RunRecord>,
    /// `measures.json`, where there is one.
    pub(super) measures: Option<Measures>,
    /// SHA-256 of its weights, once it has finished.
    pub(super) sha256: Option<String>,
}

impl Run {
    /// Reads the folder of a run.
    ///
    /// # Errors
    /// A folder that holds no run, or a damaged file in it.
    pub fn read(folder: &Path) -> Result<Self> {
        let record = if folder.join("run.json").exists() { Some(RunRecord::read(folder)?) } else { None };
        let config = folder.join("config.toml");
        let text = match (fs::read_to_string(&config), &record) {
            (Ok(text), _) => text,
            (Err(_), Some(record)) => toml::to_string(&record.training.recipe)?,
            (Err(_), None) => bail!(
                "\"{}\" is not the folder of a training run: it holds neither run.json nor config.toml",
                folder.display()
            ),
        };
        let mut recipe: toml::Table =
            toml::from_str(&text).with_context(|| format!("\"{}\" is damaged", config.display()))?;
        let mut recipe_text = text;
        let init = recipe.get_mut("train").and_then(|train| train.get_mut("init"));
        if let Some(init) = init
            && let Some(path) = init.as_str().map(str::to_owned)
            && let Some(name) = Path::new(&path).file_name().map(|name| name.to_string_lossy().into_owned())
        {
            recipe_text = recipe_text.replace(&path, &name);
            *init = name.into();
        }
        let recipe = serde_json::to_value(recipe)?;
        let weights = folder.join("model.safetensors");
        let sha256 = match (&record, fs::read(&weights)) {
            (None, _) => None,
            (Some(_), Ok(bytes)) => Some(FileEntry::of("", &bytes).sha256),
            (Some(_), Err(error)) => bail!("\"{}\" cannot be read ({error}): the run is damaged", weights.display()),
        };
        let absolute = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
        let name = absolute.file_name().map_or_else(|| "run".into(), |name| name.to_string_lossy().into_owned());
        let history = History::read(&folder.join("log.jsonl"));
        let measures = Measures::read(folder)?;
        Ok(Self { folder: folder.to_owned(), name, recipe, recipe_text, history, record, measures, sha256 })
    }

    /// The name for people.
    pub(super) fn title(&self) -> String {
        self.recipe["title"].as_str().unwrap_or(&self.name).to_owned()
    }

    /// Epochs that the recipe asks for.
    pub(super) fn epochs(&self) -> u64 {
        self.recipe.pointer("/train/epochs").and_then(Value::as_u64).unwrap_or(0)
    }

    /// The label of a class.
    pub(super) fn label(&self, class: usize) -> &str {
        self.record.as_ref().and_then(|record| record.labels.get(class)).map_or("?", String::as_str)
    }
}

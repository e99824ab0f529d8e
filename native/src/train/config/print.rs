//! A recipe as a file with every key and its comment.

use std::fmt::Write as _;

use super::unknown::TABLES;
use super::{Config, ConfigError};

impl Config {
    /// The whole recipe as TOML: every key with its value and, above it, what it means. Reading it gives the same recipe.
    ///
    /// # Errors
    /// [`ConfigError::Write`] where a value has no form in TOML (a seed above 2^63).
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        let plain = toml::to_string(self)?;
        let (mut table, mut text) = (String::new(), String::new());
        for line in plain.lines() {
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                table = name.to_owned();
                let inner = table.split_once('.');
                let _ = writeln!(
                    text,
                    "{}",
                    comment(inner.map_or("", |(outer, _)| outer), inner.map_or(name, |(_, key)| key))
                );
                let _ = writeln!(text, "{line}");
                let _ = write!(text, "{}", self.absent(&table));
                continue;
            }
            match line.split_once(" = ") {
                Some((key, _)) if !comment(&table, key).is_empty() => {
                    let _ = writeln!(text, "{}\n{line}", comment(&table, key));
                }
                _ => {
                    let _ = writeln!(text, "{line}");
                }
            }
        }
        if self.teachers.is_none() && self.reid.is_none() {
            let _ = writeln!(text, "\n{}\n# [teachers]", comment("", "teachers"));
            let _ = writeln!(text, "{}\n# runs = [\"RUN\"]", comment("teachers", "runs"));
        }
        Ok(text)
    }

    /// Optional keys of `table` that this recipe does not have, commented out.
    fn absent(&self, table: &str) -> String {
        let (key, example) = match table {
            "model" if self.model.backbone.is_none() => ("backbone", "\"vit-tiny\""),
            "train" if self.train.init.is_none() => ("init", "\"FILE\""),
            _ => return String::new(),
        };
        format!("{}\n# {key} = {example}\n", comment(table, key))
    }
}

/// The comment of a key, as lines that start with #; empty for keys without one.
fn comment(table: &str, key: &str) -> String {
    let keys = TABLES.iter().find(|(name, _)| *name == table).map_or(&[][..], |(_, keys)| keys);
    let text = keys.iter().find(|(name, _)| *name == key).map_or("", |(_, text)| text);
    text.trim_end().lines().map(|line| format!("#{line}")).collect::<Vec<_>>().join("\n")
}

//! The recipes that come with the program, by name.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::config::Config;

/// Names and texts of the recipes in `native/recipes`.
pub const RECIPES: [(&str, &str); 19] = [
    ("birds", include_str!("../../recipes/birds.toml")),
    ("cars", include_str!("../../recipes/cars.toml")),
    ("cars-160", include_str!("../../recipes/cars-160.toml")),
    ("cars-224", include_str!("../../recipes/cars-224.toml")),
    ("cars-224-long", include_str!("../../recipes/cars-224-long.toml")),
    ("cars-256", include_str!("../../recipes/cars-256.toml")),
    ("cars-256-mixed", include_str!("../../recipes/cars-256-mixed.toml")),
    ("cars-256-long", include_str!("../../recipes/cars-256-long.toml")),
    ("cars-rectify", include_str!("../../recipes/cars-rectify.toml")),
    ("cars-rga", include_str!("../../recipes/cars-rga.toml")),
    ("cars-tasn", include_str!("../../recipes/cars-tasn.toml")),
    ("cars-ablation", include_str!("../../recipes/cars-ablation.toml")),
    ("paper-categorisation", include_str!("../../recipes/paper-categorisation.toml")),
    ("paper-persons", include_str!("../../recipes/paper-persons.toml")),
    ("paper-rectify", include_str!("../../recipes/paper-rectify.toml")),
    ("paper-rga", include_str!("../../recipes/paper-rga.toml")),
    ("paper-rga-persons", include_str!("../../recipes/paper-rga-persons.toml")),
    ("paper-tasn", include_str!("../../recipes/paper-tasn.toml")),
    ("paper-vehicles", include_str!("../../recipes/paper-vehicles.toml")),
];

/// Reads the recipe at `path`, or the one of that name that comes with the program, with some keys overridden
/// (`TABLE.KEY=VALUE`).
///
/// # Errors
/// When there is no such recipe, or it cannot be followed.
pub fn recipe(path: &Path, overrides: &[String]) -> Result<Config> {
    let name = path.to_string_lossy();
    let text = match (std::fs::read_to_string(path), RECIPES.iter().find(|(own, _)| *own == name)) {
        (Ok(text), _) => text,
        (Err(_), Some((_, text))) => (*text).to_owned(),
        (Err(error), None) => {
            let names = RECIPES.map(|(name, _)| name).join(", ");
            bail!("cannot read the recipe \"{name}\" ({error}); give a TOML file or one of: {names}");
        }
    };
    Config::parse_with(&text, overrides).with_context(|| format!("\"{name}\""))
}

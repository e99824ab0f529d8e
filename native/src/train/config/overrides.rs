//! Keys that the command line overrides.

use toml::{Table, Value};

use super::ConfigError;

/// Sets the key of each `TABLE.KEY=VALUE`; what is no TOML value (`vit-tiny`) is taken as a string.
///
/// # Errors
/// [`ConfigError::Override`] for text without a key, or with a key inside something that is no table.
pub(super) fn apply(recipe: &mut Table, overrides: &[String]) -> Result<(), ConfigError> {
    for text in overrides {
        set(recipe, text).ok_or_else(|| ConfigError::Override(text.clone()))?;
    }
    Ok(())
}

fn set(recipe: &mut Table, text: &str) -> Option<()> {
    let (path, value) = text.split_once('=')?;
    let mut parts: Vec<&str> = path.trim().split('.').collect();
    let key = parts.pop().filter(|key| !key.is_empty())?;
    let value = match toml::from_str::<Table>(&format!("value = {}", value.trim())) {
        Ok(mut parsed) => parsed.remove("value")?,
        Err(_) => Value::String(value.trim().to_owned()),
    };
    let mut table = recipe;
    for part in parts {
        table = table.entry(part).or_insert_with(|| Value::Table(Table::new())).as_table_mut()?;
    }
    table.insert(key.to_owned(), value);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_toml_or_text() {
        let mut recipe: Table = toml::from_str("id = \"a\"\n[train]\nlr = 1.0\n").unwrap();
        let overrides = ["train.lr=1e-4", "id = b", "model.mechanism.glca=false", "model.image_size=[448, 448]"];
        apply(&mut recipe, &overrides.map(str::to_owned)).unwrap();
        assert_eq!(recipe["train"]["lr"].as_float(), Some(1e-4));
        assert_eq!(recipe["id"].as_str(), Some("b"));
        assert_eq!(recipe["model"]["mechanism"]["glca"].as_bool(), Some(false));
        assert_eq!(recipe["model"]["image_size"].as_array().map(Vec::len), Some(2));
        for wrong in ["train.lr", "=3", "id.x=3"] {
            assert!(apply(&mut recipe, &[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }
}

//! Keys that do not exist, told with the nearest one that does.

use toml::{Table, Value};

use super::{Augment, Config, ConfigError, Data, Model, Pixels, Reid, Teachers, Train};

/// The tables of a recipe with their keys and comments; the first has no name.
pub(super) const TABLES: [(&str, &[(&str, &str)]); 8] = [
    ("", Config::KEYS),
    ("data", Data::KEYS),
    ("model", Model::KEYS),
    ("train", Train::KEYS),
    ("augment", Augment::KEYS),
    ("pixels", Pixels::KEYS),
    ("reid", Reid::KEYS),
    ("teachers", Teachers::KEYS),
];

/// Keys of `model.mechanism`.
const MECHANISM: [&str; 15] = [
    "name",
    "ratio",
    "glca",
    "pwca",
    "spatial",
    "channel",
    "after",
    "heads",
    "mixing",
    "zoom",
    "scale",
    "dense",
    "rounds",
    "temperature",
    "gates",
];

/// Looks for a key that no recipe has.
///
/// # Errors
/// [`ConfigError::Unknown`] names the first and the nearest valid key.
pub(super) fn check(recipe: &Table) -> Result<(), ConfigError> {
    for (key, value) in recipe {
        let known = Config::KEYS.iter().any(|(known, _)| known == key);
        match (known, TABLES.iter().find(|(name, _)| name == key), value) {
            (true, Some((name, keys)), Value::Table(table)) => {
                for (key, value) in table {
                    let path = format!("{name}.{key}");
                    if !keys.iter().any(|(known, _)| known == key) {
                        return Err(unknown(path));
                    }
                    if let (true, Value::Table(mechanism)) = (path == "model.mechanism", value)
                        && let Some(key) = mechanism.keys().find(|key| !MECHANISM.contains(&key.as_str()))
                    {
                        return Err(unknown(format!("{path}.{key}")));
                    }
                }
            }
            (true, _, _) => {}
            (false, _, _) => return Err(unknown(key.clone())),
        }
    }
    Ok(())
}

fn unknown(key: String) -> ConfigError {
    ConfigError::Unknown { nearest: nearest(&key), key }
}

/// The valid key that is written most like `key`; the right word in the wrong table counts as near.
fn nearest(key: &str) -> String {
    let split = |path: &str| -> (String, String) {
        let (table, word) = path.rsplit_once('.').unwrap_or(("", path));
        (table.to_owned(), word.to_owned())
    };
    let (table, word) = split(key);
    let keys = TABLES.iter().flat_map(|(table, keys)| {
        keys.iter().map(move |(key, _)| if table.is_empty() { (*key).to_owned() } else { format!("{table}.{key}") })
    });
    let all = keys.chain(MECHANISM.map(|key| format!("model.mechanism.{key}")));
    let distance = |candidate: &String| {
        let (other_table, other) = split(candidate);
        2 * strsim::damerau_levenshtein(&word, &other) + usize::from(table != other_table)
    };
    all.min_by_key(distance).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_the_one_that_was_meant() {
        for (wrong, right) in [
            ("train.btach", "train.batch"),
            ("train.mixup", "augment.mixup"),
            ("trian", "train"),
            ("model.drop_path", "train.drop_path"),
            ("pixels.means", "pixels.mean"),
            ("model.mechanism.gcla", "model.mechanism.glca"),
            ("lr", "train.lr"),
        ] {
            assert_eq!(nearest(wrong), right, "{wrong}");
        }
    }
}

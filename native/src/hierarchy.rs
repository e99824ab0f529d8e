//! Coarser names for the classes of a bundle: from a file, from a data set's own tree, or from the class names by a rule.
//!
//! A file is CSV: a head `class,make,body type`, then one row for each class with its label and its group on each level; an
//! empty cell says that the class has no group there.
//!
//! The rules take what the official class names say and add nothing of their own:
//! - `cars` (Stanford Cars, "Audi TTS Coupe 2012"): **make** is the first word, or the first two for the makes that have
//!   two (`TWO_WORDS`); **body type** is the last of the words in `BODY_TYPES` that the name has, none where it has none.
//! - `last-word` (CUB, "White crowned Sparrow"): **kind** is the last word of the common name. It is no taxonomy: a
//!   Goldfinch is not a Finch here.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use finegrain::bundle::{Level, check_levels};

use crate::data::detect::Layout;
use crate::data::{DatasetKind, Hierarchy, Task};

/// Makes of two words among the 196 names.
const TWO_WORDS: [&str; 3] = ["AM General", "Aston Martin", "Land Rover"];

/// Words for a body type in the 196 names, and the group that each one stands for. The cabs (crew, extended, regular, club,
/// quad, super) are those of pickups.
const BODY_TYPES: [(&str, &str); 10] = [
    ("Cab", "Pickup"),
    ("SuperCab", "Pickup"),
    ("Convertible", "Convertible"),
    ("Coupe", "Coupe"),
    ("Hatchback", "Hatchback"),
    ("Minivan", "Minivan"),
    ("SUV", "SUV"),
    ("Sedan", "Sedan"),
    ("Van", "Van"),
    ("Wagon", "Wagon"),
];

/// The levels for `labels`: `choice` is a rule (`cars`, `last-word`), `none`, or the name of a CSV file.
///
/// # Errors
/// A file that cannot be read, or does not have every label once.
pub fn levels(choice: &str, labels: &[String]) -> Result<Vec<Level>> {
    let levels = match choice {
        "none" => Vec::new(),
        "cars" => vec![by_rule("make", labels, make), by_rule("body type", labels, body_type)],
        "last-word" => vec![by_rule("kind", labels, last_word)],
        file => read(Path::new(file), labels).with_context(|| {
            format!("the hierarchy \"{file}\" cannot be used (the rules are \"cars\", \"last-word\" and \"none\")")
        })?,
    };
    Ok(levels.into_iter().filter(Level::is_coarser).collect())
}

/// The rule that suits the class names of a data set, or `none`.
pub fn rule_for(layout: Layout) -> &'static str {
    match layout {
        Layout::Classes(DatasetKind::Cars) => "cars",
        Layout::Classes(DatasetKind::Cub) => "last-word",
        Layout::Classes(_) | Layout::Identities(_) => "none",
    }
}

/// The levels of a run: what its recipe names (as in [`levels`]), or else the data set's own tree.
///
/// # Errors
/// Those of [`levels`].
pub fn of_data(choice: Option<&str>, task: &Task) -> Result<Vec<Level>> {
    let levels = match (choice, task) {
        (Some(choice), _) => levels(choice, task.labels())?,
        (None, Task::Classes(dataset)) => dataset.hierarchy.as_ref().map(of_tree).unwrap_or_default(),
        (None, Task::Identities(_)) => Vec::new(),
    };
    // What no bundle takes is told before the training, not after.
    check_levels(&levels, task.labels().len())?;
    Ok(levels)
}

/// The levels of a data set's own tree (NABirds), nearest to the classes first; the root, which holds everything, is left
/// out, and a class without so many ancestors has no group further up.
pub fn of_tree(tree: &Hierarchy) -> Vec<Level> {
    let classes = tree.of_class.len();
    let paths: Vec<Vec<&str>> = (0..classes).map(|class| tree.ancestors(class).collect()).collect();
    let depth = paths.iter().map(|path| path.len().saturating_sub(1)).max().unwrap_or(0);
    let level = |up: usize| {
        let name = if up == 0 { "group".to_owned() } else { format!("group, {} up", up + 1) };
        Level::of_names(&name, paths.iter().map(|path| (up + 1 < path.len()).then(|| path[up])))
    };
    (0..depth).map(level).filter(Level::is_coarser).collect()
}

fn by_rule(level: &str, labels: &[String], rule: fn(&str) -> Option<&str>) -> Level {
    Level::of_names(level, labels.iter().map(|label| rule(label)))
}

fn make(label: &str) -> Option<&str> {
    let two = TWO_WORDS.into_iter().find(|make| label.starts_with(make));
    two.or_else(|| label.split_whitespace().next())
}

fn body_type(label: &str) -> Option<&str> {
    let group = |word: &str| BODY_TYPES.into_iter().find(|(known, _)| *known == word).map(|(_, group)| group);
    label.split_whitespace().rev().find_map(group)
}

fn last_word(label: &str) -> Option<&str> {
    label.rsplit(|c: char| c.is_whitespace() || c == '_').find(|word| !word.is_empty())
}

fn read(file: &Path, labels: &[String]) -> Result<Vec<Level>> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(file)?;
    let head = reader.headers()?.clone();
    if head.len() < 2 {
        bail!("its first row must be \"class\" and the names of the levels");
    }
    let mut rows: HashMap<String, csv::StringRecord> = HashMap::new();
    for row in reader.into_records() {
        let row = row?;
        let label = row.get(0).unwrap_or_default().to_owned();
        if !labels.contains(&label) {
            bail!("it has a row for {label:?}, which is no class of this run");
        }
        if rows.insert(label.clone(), row).is_some() {
            bail!("it has two rows for {label:?}");
        }
    }
    if let Some(label) = labels.iter().find(|label| !rows.contains_key(*label)) {
        bail!("it has no row for the class {label:?}");
    }
    let cell = |label: &String, column| rows.get(label)?.get(column).filter(|group: &&str| !group.is_empty());
    let level = |(column, name)| Level::of_names(name, labels.iter().map(|label| cell(label, column)));
    Ok(head.iter().enumerate().skip(1).map(level).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(labels: &[&str]) -> Vec<String> {
        labels.iter().map(|&label| label.to_owned()).collect()
    }

    fn groups(level: &Level) -> Vec<Option<&str>> {
        level.of_class.iter().map(|group| group.map(|group| level.groups[group].as_str())).collect()
    }

    #[test]
    fn cars_have_a_make_and_a_body_type_in_their_names() {
        let labels = names(&[
            "Aston Martin V8 Vantage Coupe 2012",
            "Aston Martin Virage Convertible 2012",
            "Audi S6 Sedan 2011",
            "Audi TT RS Coupe 2012",
            "Ford F-450 Super Duty Crew Cab 2012",
            "Ford Ranger SuperCab 2011",
            "Ford E-Series Wagon Van 2012",
            "Infiniti G Coupe IPL 2012",
            "Rolls-Royce Phantom Drophead Coupe Convertible 2012",
            "Acura TL Type-S 2008",
        ]);
        let levels = levels("cars", &labels).unwrap();
        assert_eq!(levels.iter().map(|level| level.name.as_str()).collect::<Vec<_>>(), ["make", "body type"]);
        let makes = ["Aston Martin", "Aston Martin", "Audi", "Audi", "Ford", "Ford", "Ford", "Infiniti", "Rolls-Royce"];
        assert_eq!(groups(&levels[0])[..9], makes.map(Some));
        let bodies = ["Coupe", "Convertible", "Sedan", "Coupe", "Pickup", "Pickup", "Van", "Coupe", "Convertible"];
        assert_eq!(groups(&levels[1])[..9], bodies.map(Some));
        assert_eq!(groups(&levels[1])[9], None);
    }

    #[test]
    fn birds_have_a_kind_as_their_last_word() {
        let labels = names(&["Fox Sparrow", "001.Henslow_Sparrow", "Mallard"]);
        let levels = levels("last-word", &labels).unwrap();
        assert_eq!(groups(&levels[0]), [Some("Sparrow"), Some("Sparrow"), Some("Mallard")]);
        // Where no two classes share a word there is nothing coarser.
        assert_eq!(super::levels("last-word", &names(&["Fox Sparrow", "Mallard"])).unwrap(), []);
        assert_eq!(super::levels("none", &labels).unwrap(), []);
    }

    #[test]
    fn a_file_names_the_groups_of_every_class() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("levels.csv");
        let file = path.to_str().unwrap();
        let labels = names(&["a, the first", "b", "c"]);
        let put = |text: &str| std::fs::write(&path, text).unwrap();
        put("class,genus,family\nc,Zwei, Oben\n\"a, the first\",Eins,Oben\nb,Eins,\n");
        let found = levels(file, &labels).unwrap();
        assert_eq!(groups(&found[0]), [Some("Eins"), Some("Eins"), Some("Zwei")]);
        assert_eq!(groups(&found[1]), [Some("Oben"), None, Some("Oben")]);
        for (text, word) in [
            ("class,genus\nb,x\nc,x\n", "no row for the class"),
            ("class,genus\nb,x\nb,y\n", "two rows"),
            ("class,genus\nd,x\n", "no class of this run"),
            ("class\nb\n", "first row"),
            ("class,genus\nb\n", "found record"),
        ] {
            put(text);
            let error = format!("{:#}", levels(file, &labels).unwrap_err());
            assert!(error.contains(word), "{error}");
        }
        assert!(levels("no such file", &labels).unwrap_err().to_string().contains("last-word"));
    }

    #[test]
    fn a_tree_gives_its_levels_without_the_root() {
        // 0 root, 1 ducks, 2 finches, 3 sea ducks (ducks), 4..7 classes.
        let tree = Hierarchy {
            names: names(&["Birds", "Ducks", "Finches", "Sea ducks", "a", "b", "c", "d"]),
            parents: vec![None, Some(0), Some(0), Some(1), Some(3), Some(3), Some(2), Some(1)],
            of_class: vec![4, 5, 6, 7],
        };
        let levels = of_tree(&tree);
        assert_eq!(groups(&levels[0]), [Some("Sea ducks"), Some("Sea ducks"), Some("Finches"), Some("Ducks")]);
        assert_eq!(groups(&levels[1]), [Some("Ducks"), Some("Ducks"), None, None]);
        assert_eq!(levels.len(), 2);
    }
}

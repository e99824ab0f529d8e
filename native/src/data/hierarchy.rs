//! The tree above the classes: species, genus, family.

use std::collections::HashMap;

use super::DataError;
use super::files::List;

/// A tree whose leaves are the classes of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Names of all nodes.
    pub names: Vec<String>,
    /// Parent of each node; the root has none.
    pub parents: Vec<Option<usize>>,
    /// The node of each class.
    pub of_class: Vec<usize>,
}

impl Hierarchy {
    /// The nodes of `names` ("id name"), their parents from `parents` ("child parent"), and the ids of the classes.
    pub(super) fn new<'a>(
        names: &List,
        parents: &List,
        classes: impl Iterator<Item = &'a str>,
    ) -> Result<Self, DataError> {
        let nodes: HashMap<&str, usize> =
            names.lines.iter().enumerate().map(|(node, line)| (line.key.as_str(), node)).collect();
        let mut tree = Self {
            names: names.lines.iter().map(|line| line.value.clone()).collect(),
            parents: vec![None; names.lines.len()],
            of_class: classes.filter_map(|id| nodes.get(id).copied()).collect(),
        };
        for line in &parents.lines {
            let node = |id: &str| {
                let unknown = || parents.error(line, format!("\"{id}\" is missing from classes.txt"));
                nodes.get(id).copied().ok_or_else(unknown)
            };
            tree.parents[node(&line.key)?] = Some(node(&line.value)?);
        }
        for line in &parents.lines {
            // A walk to the root is never longer than there are nodes.
            if nodes.get(line.key.as_str()).is_some_and(|node| tree.above(*node).count() >= tree.names.len()) {
                return Err(parents.error(line, format!("\"{}\" is its own ancestor", line.key)));
            }
        }
        Ok(tree)
    }

    /// Names of the ancestors of `class` (an index into the labels), nearest first; none for a class out of range.
    pub fn ancestors(&self, class: usize) -> impl Iterator<Item = &str> {
        self.of_class.get(class).into_iter().flat_map(|node| self.above(*node)).map(|node| self.names[node].as_str())
    }

    /// The ancestors of a node, as many as there are nodes at most: a circle ends too.
    fn above(&self, node: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(self.parents[node], |node| self.parents[*node]).take(self.names.len())
    }
}

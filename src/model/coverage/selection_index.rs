//! An index of many selections: it finds those that select an object at the cost of these, not of all.
//!
//! A selection is found by an exact name, by the literal start or end of a glob, or by one label that its selector
//! requires. Only what has none of these is tried for every object: a glob such as `*`, which mostly matches, and a
//! selector that only forbids labels.

use std::collections::{BTreeSet, HashMap};

use super::ObjectSelection;
use crate::model::labels::{Labels, Operator, Selector};
use crate::model::pattern::Pattern;

/// An index of selections, each known by its position in the caller's list.
#[derive(Debug, Default)]
pub struct SelectionIndex {
    names: HashMap<Box<str>, Vec<usize>>,
    by_start: Affixes,
    by_end: Affixes,
    /// Globs that begin and end with a wildcard.
    open: Vec<(Pattern, usize)>,
    /// Selectors by a value that they require: key, then value.
    by_value: HashMap<Box<str>, ByLabel>,
    /// Selectors by a key that they require, with any value.
    by_key: ByLabel,
    /// Selectors that require no label.
    by_absence: Vec<(Selector, usize)>,
}

/// Selectors, and their positions, by a key or by a value.
type ByLabel = HashMap<Box<str>, Vec<(Selector, usize)>>;

/// Globs by their literal start or end.
#[derive(Debug, Default)]
struct Affixes {
    globs: HashMap<Box<str>, Vec<(Pattern, usize)>>,
    /// The lengths of the literals in bytes: only these are looked up.
    lengths: BTreeSet<usize>,
}

impl Affixes {
    fn add(&mut self, literal: &str, glob: &Pattern, position: usize) {
        self.lengths.insert(literal.len());
        self.globs.entry(literal.into()).or_default().push((glob.clone(), position));
    }

    /// Adds the positions of the globs that match a name, which has these literals.
    fn find<'a>(&self, name: &str, literal: impl Fn(usize) -> Option<&'a str>, found: &mut Vec<usize>) {
        let literals = self.lengths.iter().take_while(|length| **length <= name.len());
        let globs = literals.filter_map(|length| self.globs.get(literal(*length)?)).flatten();
        found.extend(globs.filter(|(glob, _)| glob.matches(name)).map(|(_, position)| *position));
    }
}

impl SelectionIndex {
    /// Returns an index of selections at their positions.
    pub fn new<'a>(selections: impl IntoIterator<Item = (usize, &'a ObjectSelection)>) -> Self {
        let mut index = Self::default();
        for (position, selection) in selections {
            for pattern in &selection.names {
                index.add_pattern(pattern, position);
            }
            if let Some(selector) = &selection.selector {
                index.add_selector(selector, position);
            }
        }
        index
    }

    fn add_pattern(&mut self, pattern: &Pattern, position: usize) {
        if !pattern.is_glob() {
            self.names.entry(pattern.as_str().into()).or_default().push(position);
            return;
        }
        match (pattern.literal_start(), pattern.literal_end()) {
            ("", "") => self.open.push((pattern.clone(), position)),
            ("", end) => self.by_end.add(end, pattern, position),
            (start, _) => self.by_start.add(start, pattern, position),
        }
    }

    fn add_selector(&mut self, selector: &Selector, position: usize) {
        let required = |wanted: fn(&Operator) -> bool| selector.requirements().find(|(_, o)| wanted(o));
        if let Some((key, Operator::In(values))) = required(|o| matches!(o, Operator::In(_))) {
            let by_value = self.by_value.entry(key.into()).or_default();
            for value in values {
                by_value.entry(value.as_str().into()).or_default().push((selector.clone(), position));
            }
        } else if let Some((key, _)) = required(|o| matches!(o, Operator::Exists)) {
            self.by_key.entry(key.into()).or_default().push((selector.clone(), position));
        } else {
            self.by_absence.push((selector.clone(), position));
        }
    }

    /// Returns the positions of the selections that select an object by its name or its labels, each once and sorted.
    /// Exclusions are the caller's matter.
    pub fn selecting(&self, name: &str, labels: &Labels) -> Vec<usize> {
        let mut found = self.names.get(name).cloned().unwrap_or_default();
        self.by_start.find(name, |length| name.get(..length), &mut found);
        self.by_end.find(name, |length| name.get(name.len() - length..), &mut found);
        let open = self.open.iter().filter(|(glob, _)| glob.matches(name));
        found.extend(open.map(|(_, position)| *position));
        let of_label = |(key, value): (&str, &str)| {
            let by_value = self.by_value.get(key).and_then(|values| values.get(value));
            by_value.into_iter().chain(self.by_key.get(key)).flatten()
        };
        let selectors = labels.iter().flat_map(of_label).chain(&self.by_absence);
        let matching = selectors.filter(|(selector, _)| selector.matches(labels));
        found.extend(matching.map(|(_, position)| *position));
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Returns the only names that anything here selects; `None` where a glob or a selector may select others.
    pub fn only_names(&self) -> Option<impl Iterator<Item = &str>> {
        let open =
            self.open.len() + self.by_absence.len() + self.by_start.globs.len() + self.by_end.globs.len();
        let named = open == 0 && self.by_value.is_empty() && self.by_key.is_empty();
        named.then(|| self.names.keys().map(|name| &**name))
    }
}

#[cfg(test)]
mod tests;

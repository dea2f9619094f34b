//! Namespaces that a binding selects by name or label, and does not cover: an exclusion or an opt-out has precedence. The
//! status names the rule.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::adoption::listed;
use super::snapshot::Snapshot;
use super::view::NamespaceFacts;
use crate::api::names;
use crate::model::coverage::ObjectSelection;

/// The rule by which a selected namespace is not covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Excluded,
    OptsOut,
}

impl Rule {
    /// Returns the rule for a namespace; `None` where it is covered, not selected, or being deleted.
    fn of(selection: &ObjectSelection, name: &str, facts: &NamespaceFacts) -> Option<Self> {
        if facts.terminating || !selection.selects(name, &facts.labels) {
            return None;
        }
        match selection.excluded_by(name) {
            Some(_) => Some(Self::Excluded),
            None => facts.skip.then_some(Self::OptsOut),
        }
    }
}

/// The namespaces that each binding selects and does not cover.
#[derive(Debug, Default)]
pub struct PassedOver {
    by_binding: HashMap<Arc<str>, BTreeMap<Arc<str>, Rule>>,
    /// The same by namespace, so that an event of one asks only the bindings that it concerns.
    by_namespace: HashMap<Arc<str>, BTreeSet<Arc<str>>>,
}

impl PassedOver {
    /// Begins again with a binding, none of whose namespaces was observed.
    pub fn reset(&mut self, binding: &Arc<str>) {
        self.forget(binding);
        self.by_binding.insert(binding.clone(), BTreeMap::new());
    }

    /// Forgets a binding.
    pub fn forget(&mut self, binding: &str) {
        for namespace in self.by_binding.remove(binding).unwrap_or_default().into_keys() {
            self.unlist(&namespace, binding);
        }
    }

    fn unlist(&mut self, namespace: &str, binding: &str) {
        let Some(listed) = self.by_namespace.get_mut(namespace) else { return };
        listed.remove(binding);
        if listed.is_empty() {
            self.by_namespace.remove(namespace);
        }
    }

    /// Observes a namespace as it is now, for one binding; `None` where it does not exist. Returns whether anything
    /// changed.
    pub fn observe(
        &mut self,
        binding: &Arc<str>,
        selection: &ObjectSelection,
        namespace: &Arc<str>,
        facts: Option<&NamespaceFacts>,
    ) -> bool {
        let Some(known) = self.by_binding.get_mut(binding) else { return false };
        match facts.and_then(|facts| Rule::of(selection, namespace, facts)) {
            Some(rule) => {
                self.by_namespace.entry(namespace.clone()).or_default().insert(binding.clone());
                known.insert(namespace.clone(), rule) != Some(rule)
            }
            None => {
                let was_known = known.remove(namespace).is_some();
                if was_known {
                    self.unlist(namespace, binding);
                }
                was_known
            }
        }
    }

    /// Observes a namespace for all bindings. Returns those for which anything changed. It costs the bindings that
    /// select the namespace or did, not all of them.
    pub fn observe_all(
        &mut self,
        namespace: &Arc<str>,
        facts: Option<&NamespaceFacts>,
        snapshot: &Snapshot,
    ) -> Vec<Arc<str>> {
        let selecting = facts.map(|facts| snapshot.selecting(namespace, facts)).unwrap_or_default();
        let before = self.by_namespace.get(namespace).into_iter().flatten();
        let mut concerned: BTreeSet<usize> = before.filter_map(|name| snapshot.index_of(name)).collect();
        concerned.extend(selecting);
        let bindings = concerned.into_iter().map(|i| &snapshot.resolved(i).binding);
        let changed =
            bindings.filter(|binding| self.observe(&binding.name, &binding.namespaces, namespace, facts));
        changed.map(|binding| binding.name.clone()).collect()
    }

    /// Returns which rule passed over what, for a binding that covers no namespace.
    pub fn why_nothing(&self, binding: &str, selection: &ObjectSelection) -> Option<String> {
        let empty = BTreeMap::new();
        let known = self.by_binding.get(binding).unwrap_or(&empty);
        let mut reasons: Vec<String> = excluded_names(selection).into_iter().collect();
        let mut excluded: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for namespace in known.iter().filter(|(_, rule)| **rule == Rule::Excluded).map(|(name, _)| name) {
            let written = selection.names.iter().any(|pattern| pattern.as_str() == &**namespace);
            if let Some(pattern) = selection.excluded_by(namespace).filter(|_| !written) {
                excluded.entry(pattern.as_str().to_owned()).or_default().push(namespace);
            }
        }
        let each = excluded.iter();
        reasons.extend(each.map(|(pattern, names)| {
            format!(
                "spec.watchNamespaces.exclude has {pattern}, which excludes {}",
                listed(names, names.len())
            )
        }));
        let out: Vec<&str> =
            known.iter().filter(|(_, rule)| **rule == Rule::OptsOut).map(|(name, _)| &**name).collect();
        if !out.is_empty() {
            let verb = if out.len() == 1 { "opts" } else { "opt" };
            reasons.push(format!("{} {verb} out by {}", listed(&out, out.len()), names::SKIP));
        }
        let unmatched = selection.names.iter().filter(|pattern| {
            selection.excluded_by(pattern.as_str()).is_none()
                && !known.keys().any(|name| pattern.matches(name))
        });
        let unmatched: Vec<&str> = unmatched.map(|pattern| pattern.as_str()).collect();
        if !unmatched.is_empty() {
            reasons.push(format!("no namespace matches {}", listed(&unmatched, unmatched.len())));
        }
        if selection.selector.is_some() && known.is_empty() {
            reasons.push("no namespace has the labels of spec.watchNamespaces.selector".to_owned());
        }
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }
}

/// Returns the names that a binding lists and excludes at the same time, and the cure.
pub fn excluded_names(selection: &ObjectSelection) -> Option<String> {
    let excluded =
        |pattern: &str| Some((pattern.to_owned(), selection.excluded_by(pattern)?.as_str().to_owned()));
    let found: Vec<(String, String)> =
        selection.names.iter().filter_map(|pattern| excluded(pattern.as_str())).collect();
    let (_, first) = found.first()?;
    let names: Vec<&str> =
        found.iter().filter(|(_, by)| by == first).map(|(name, _)| name.as_str()).collect();
    let others = found.len() - names.len();
    let more = if others == 0 { String::new() } else { format!(" ({others} more by other patterns)") };
    Some(format!(
        "spec.watchNamespaces.names has {}, but spec.watchNamespaces.exclude has {first}, which has precedence{more}: take \
         it out of exclude to cover them",
        listed(&names, names.len())
    ))
}

#[cfg(test)]
mod tests;

//! What stands, namespace by namespace, counted as it changes: a report never walks the cluster.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::failure::Failure;
use super::namespace::NamespaceResult;
use super::secret::DomainConflict;

/// One namespace in a tally.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    failure: Option<Failure>,
    domain_conflicts: Arc<[DomainConflict]>,
    matched: u32,
    bound: u32,
}

/// What stands for one binding.
#[derive(Clone, Debug, Default)]
pub struct Rollup {
    namespaces: BTreeMap<Arc<str>, Entry>,
    failing: BTreeSet<Arc<str>>,
    pending: HashSet<Arc<str>>,
    converging: bool,
    matched: i64,
    bound: i64,
}

impl Rollup {
    /// Namespaces that are covered and were looked at.
    pub fn namespaces(&self) -> impl Iterator<Item = &Arc<str>> {
        self.namespaces.keys()
    }

    /// Whether a namespace is covered and was looked at.
    pub fn covers(&self, namespace: &str) -> bool {
        self.namespaces.contains_key(namespace)
    }

    /// How many namespaces are covered.
    pub fn matched(&self) -> usize {
        self.namespaces.len()
            + self.pending.iter().filter(|name| !self.namespaces.contains_key(*name)).count()
    }

    /// How many namespaces have their Secret.
    pub fn ready(&self) -> usize {
        self.namespaces.len() - self.failing.len()
    }

    /// How many ServiceAccounts are covered, and how many carry our entry.
    pub fn service_accounts(&self) -> (i64, i64) {
        (self.matched, self.bound)
    }

    /// Whether every namespace was looked at since the binding last changed.
    pub fn is_settled(&self) -> bool {
        self.pending.is_empty()
    }

    /// Whether the binding asks something new, and not every namespace was looked at since.
    pub fn is_converging(&self) -> bool {
        self.converging && !self.pending.is_empty()
    }

    /// Namespaces whose Secret does not stand, or which lose a domain.
    pub fn failing(&self) -> impl Iterator<Item = &Arc<str>> {
        self.failing.iter()
    }

    /// Why the Secret of a namespace does not stand.
    pub fn failure(&self, namespace: &str) -> Option<&Failure> {
        self.namespaces.get(namespace)?.failure.as_ref()
    }

    /// Which domains a registry of `binding` loses in a namespace.
    pub fn conflict(&self, namespace: &str, binding: &str, registry: usize) -> Option<&DomainConflict> {
        let domain_conflicts = &self.namespaces.get(namespace)?.domain_conflicts;
        domain_conflicts.iter().find(|c| &*c.binding == binding && c.registry == registry)
    }

    fn put(&mut self, namespace: &Arc<str>, binding: &str, entry: Option<Entry>) -> bool {
        let awaited = self.pending.remove(namespace);
        let before = match &entry {
            Some(entry) => self.namespaces.insert(namespace.clone(), entry.clone()),
            None => self.namespaces.remove(namespace),
        };
        if let Some(before) = &before {
            self.matched -= i64::from(before.matched);
            self.bound -= i64::from(before.bound);
        }
        self.failing.remove(namespace);
        if let Some(entry) = &entry {
            self.matched += i64::from(entry.matched);
            self.bound += i64::from(entry.bound);
            if entry.failure.is_some() || entry.domain_conflicts.iter().any(|c| &*c.binding == binding) {
                self.failing.insert(namespace.clone());
            }
        }
        awaited || before != entry
    }
}

/// The tallies of all bindings.
#[derive(Clone, Debug, Default)]
pub struct Rollups {
    bindings: HashMap<Arc<str>, Rollup>,
    /// Which bindings have an entry for a namespace, to take it out again when they cover it no more.
    covering: HashMap<Arc<str>, Vec<Arc<str>>>,
}

impl Rollups {
    /// The tally of a binding.
    pub fn of(&self, binding: &str) -> Option<&Rollup> {
        self.bindings.get(binding)
    }

    /// Says which namespaces a binding covers now, all of them still to be looked at, and whether it asks
    /// something `new` of them.
    pub fn expect(&mut self, binding: &Arc<str>, namespaces: HashSet<Arc<str>>, new: bool) {
        let rollup = self.bindings.entry(binding.clone()).or_default();
        rollup.converging = new || rollup.is_converging();
        rollup.pending = namespaces;
    }

    /// Drops a binding.
    pub fn remove(&mut self, binding: &str) {
        self.bindings.remove(binding);
    }

    /// Records what stands in a namespace. Returns the bindings whose figures changed.
    pub fn record(&mut self, namespace: &Arc<str>, results: &[NamespaceResult]) -> Vec<Arc<str>> {
        let mut changed = Vec::new();
        let before = self.covering.remove(namespace).unwrap_or_default();
        for binding in before.iter().filter(|b| !results.iter().any(|s| s.binding == **b)) {
            if self.bindings.get_mut(binding).is_some_and(|rollup| rollup.put(namespace, binding, None)) {
                changed.push(binding.clone());
            }
        }
        for result in results {
            let entry = Entry {
                failure: result.secret.as_ref().err().cloned(),
                domain_conflicts: result.domain_conflicts.clone(),
                matched: result.matched,
                bound: result.bound,
            };
            let rollup = self.bindings.entry(result.binding.clone()).or_default();
            if rollup.put(namespace, &result.binding, Some(entry)) {
                changed.push(result.binding.clone());
            }
        }
        // A namespace that no binding covers any more was awaited all the same.
        for (binding, rollup) in &mut self.bindings {
            if !results.iter().any(|s| s.binding == *binding) && rollup.pending.remove(namespace) {
                changed.push(binding.clone());
            }
        }
        if !results.is_empty() {
            self.covering.insert(namespace.clone(), results.iter().map(|s| s.binding.clone()).collect());
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::{Failure, Rollups};
    use crate::api::Reason;
    use crate::plan::NamespaceResult;
    use std::sync::Arc;

    fn result(binding: &str, failure: Option<Reason>, matched: u32, bound: u32) -> NamespaceResult {
        let secret = failure.map_or(Ok(()), |reason| Err(Failure::new(reason, "why")));
        NamespaceResult { binding: binding.into(), secret, domain_conflicts: Arc::from([]), matched, bound }
    }

    #[test]
    fn figures_follow_each_record() {
        let mut rollups = Rollups::default();
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        rollups.expect(&"x".into(), [a.clone(), b.clone()].into(), true);
        let read =
            |t: &Rollups| t.of("x").map(|t| (t.matched(), t.ready(), t.service_accounts(), t.is_settled()));
        assert_eq!(read(&rollups), Some((2, 0, (0, 0), false)));
        assert_eq!(rollups.record(&a, &[result("x", None, 3, 2)]), ["x".into()]);
        rollups.record(&b, &[result("x", Some(Reason::SecretConflict), 1, 0)]);
        assert_eq!(read(&rollups), Some((2, 1, (4, 2), true)));
        rollups.record(&a, &[result("x", None, 3, 3)]);
        assert_eq!(read(&rollups), Some((2, 1, (4, 3), true)));
        assert_eq!(rollups.record(&b, &[]), ["x".into()]);
        assert_eq!(read(&rollups), Some((1, 1, (3, 3), true)));
    }

    #[test]
    fn the_same_record_twice_changes_nothing() {
        let mut rollups = Rollups::default();
        let a: Arc<str> = "a".into();
        rollups.record(&a, &[result("x", None, 3, 2)]);
        assert!(rollups.record(&a, &[result("x", None, 3, 2)]).is_empty());
    }

    #[test]
    fn a_namespace_that_went_away_is_awaited_no_more() {
        let mut rollups = Rollups::default();
        let a: Arc<str> = "a".into();
        rollups.expect(&"x".into(), [a.clone()].into(), true);
        assert_eq!(rollups.record(&a, &[]), ["x".into()]);
        assert_eq!(rollups.of("x").map(super::Rollup::is_settled), Some(true));
    }
}

//! The results of all namespaces, added up as they change: a status never walks the cluster.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::failure::Failure;
use super::namespace::NamespaceResult;
use super::secret::DomainConflict;

/// One namespace in a rollup. There is one for each binding and namespace, so it is small.
#[derive(Clone, Debug, PartialEq, Eq)]
struct RolledUp {
    trouble: Option<Box<Trouble>>,
    matched: u32,
    bound: u32,
    contended: u32,
    opted_out: u32,
}

/// What is not as wanted in a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Trouble {
    failure: Option<Failure>,
    unattached: Option<Failure>,
    contention: Option<Failure>,
    domain_conflicts: Arc<[DomainConflict]>,
}

impl RolledUp {
    fn of(result: &NamespaceResult) -> Self {
        let trouble = Trouble {
            failure: result.secret.as_ref().err().cloned(),
            unattached: result.unattached.clone(),
            contention: result.contention.clone(),
            domain_conflicts: result.domain_conflicts.clone(),
        };
        let none = trouble == Trouble::default();
        Self {
            trouble: (!none).then(|| Box::new(trouble)),
            matched: result.matched,
            bound: result.bound,
            contended: result.contended,
            opted_out: result.opted_out,
        }
    }
}

/// The results of one binding.
#[derive(Clone, Debug, Default)]
pub struct Rollup {
    namespaces: BTreeMap<Arc<str>, RolledUp>,
    failing: BTreeSet<Arc<str>>,
    unattached: BTreeSet<Arc<str>>,
    contended: BTreeSet<Arc<str>>,
    pending: HashSet<Arc<str>>,
    converging: bool,
    matched: i64,
    bound: i64,
    contended_accounts: i64,
    opted_out: i64,
}

impl Rollup {
    fn trouble(&self, namespace: &str) -> Option<&Trouble> {
        self.namespaces.get(namespace)?.trouble.as_deref()
    }

    /// Returns the namespaces that are covered and were reconciled.
    pub fn namespaces(&self) -> impl Iterator<Item = &Arc<str>> {
        self.namespaces.keys()
    }

    /// Returns the report on a writer that reverts our writes in one of the namespaces, if one does.
    pub fn contention(&self) -> Option<&Failure> {
        self.trouble(self.contended.first()?)?.contention.as_ref()
    }

    /// Returns the namespaces with a ServiceAccount whose entry fails, and why.
    pub fn unattached(&self) -> impl Iterator<Item = (&Arc<str>, &Failure)> {
        let why = |namespace: &Arc<str>| self.trouble(namespace)?.unattached.as_ref();
        self.unattached.iter().filter_map(move |namespace| Some((namespace, why(namespace)?)))
    }

    /// Returns why a ServiceAccount of a namespace has no entry, if one fails.
    pub fn unattached_in(&self, namespace: &str) -> Option<&Failure> {
        self.trouble(namespace)?.unattached.as_ref()
    }

    /// Returns the number of namespaces that are covered.
    pub fn matched(&self) -> usize {
        self.namespaces.len()
            + self.pending.iter().filter(|name| !self.namespaces.contains_key(*name)).count()
    }

    /// Returns the number of namespaces that have their Secret.
    pub fn ready(&self) -> usize {
        self.namespaces.len() - self.failing.len()
    }

    /// Returns the number of ServiceAccounts that are covered, and of those that carry our entry.
    pub fn service_accounts(&self) -> (i64, i64) {
        (self.matched, self.bound)
    }

    /// Returns the number of ServiceAccounts whose entry rests, since another writer keeps removing it.
    pub fn contended_accounts(&self) -> i64 {
        self.contended_accounts
    }

    /// Returns the number of ServiceAccounts that it selects and that opt out.
    pub fn opted_out(&self) -> i64 {
        self.opted_out
    }

    /// Returns whether every namespace was reconciled since the binding last changed.
    pub fn is_settled(&self) -> bool {
        self.pending.is_empty()
    }

    /// Returns whether every namespace was reconciled, and is as wanted.
    pub fn is_as_wanted(&self) -> bool {
        self.is_settled() && self.ready() == self.matched()
    }

    /// Returns whether the binding asks something new, and not every namespace was reconciled since.
    pub fn is_converging(&self) -> bool {
        self.converging && !self.pending.is_empty()
    }

    /// Returns the namespaces whose Secret is not as wanted, or which lose a domain.
    pub fn failing(&self) -> impl Iterator<Item = &Arc<str>> {
        self.failing.iter()
    }

    /// Returns why the Secret of a namespace is not as wanted.
    pub fn failure(&self, namespace: &str) -> Option<&Failure> {
        self.trouble(namespace)?.failure.as_ref()
    }

    /// Returns the domains that a registry of `binding` loses in a namespace.
    pub fn conflict(&self, namespace: &str, binding: &str, registry: usize) -> Option<&DomainConflict> {
        let domain_conflicts = &self.trouble(namespace)?.domain_conflicts;
        domain_conflicts.iter().find(|c| &*c.binding == binding && c.registry == registry)
    }

    /// Records that a namespace was reconciled. Returns whether it was awaited.
    fn take_pending(&mut self, namespace: &str) -> bool {
        let awaited = self.pending.remove(namespace);
        if self.pending.is_empty() {
            // Its room would stay, for each of thousands of bindings.
            self.pending = HashSet::new();
        }
        awaited
    }

    fn put(&mut self, namespace: &Arc<str>, binding: &str, entry: Option<RolledUp>) -> bool {
        let awaited = self.take_pending(namespace);
        let before = match &entry {
            Some(entry) => self.namespaces.insert(namespace.clone(), entry.clone()),
            None => self.namespaces.remove(namespace),
        };
        if let Some(before) = &before {
            self.matched -= i64::from(before.matched);
            self.bound -= i64::from(before.bound);
            self.contended_accounts -= i64::from(before.contended);
            self.opted_out -= i64::from(before.opted_out);
        }
        self.failing.remove(namespace);
        self.unattached.remove(namespace);
        self.contended.remove(namespace);
        if let Some(entry) = &entry {
            self.matched += i64::from(entry.matched);
            self.bound += i64::from(entry.bound);
            self.contended_accounts += i64::from(entry.contended);
            self.opted_out += i64::from(entry.opted_out);
        }
        if let Some(trouble) = entry.as_ref().and_then(|entry| entry.trouble.as_ref()) {
            let loses = trouble.domain_conflicts.iter().any(|conflict| &*conflict.binding == binding);
            if trouble.failure.is_some() || loses {
                self.failing.insert(namespace.clone());
            }
            if trouble.unattached.is_some() {
                self.unattached.insert(namespace.clone());
            }
            if trouble.contention.is_some() {
                self.contended.insert(namespace.clone());
            }
        }
        awaited || before != entry
    }
}

/// The rollups of all bindings.
#[derive(Clone, Debug, Default)]
pub struct Rollups {
    bindings: HashMap<Arc<str>, Rollup>,
    /// The bindings with a result in a namespace, which is removed once they no longer cover it.
    covering: HashMap<Arc<str>, Vec<Arc<str>>>,
    /// The bindings that wait for a namespace, and some that waited.
    awaiting: HashMap<Arc<str>, Vec<Arc<str>>>,
}

impl Rollups {
    /// Returns the rollup of a binding.
    pub fn of(&self, binding: &str) -> Option<&Rollup> {
        self.bindings.get(binding)
    }

    /// Returns the rollups with the names of their bindings.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Rollup)> {
        self.bindings.iter()
    }

    /// Records which namespaces a binding covers now, all of them still to be reconciled, and whether it asks something
    /// `new` of them.
    pub fn expect(&mut self, binding: &Arc<str>, namespaces: HashSet<Arc<str>>, new: bool) {
        let rollup = self.bindings.entry(binding.clone()).or_default();
        rollup.converging = new || rollup.is_converging();
        for namespace in namespaces.difference(&rollup.pending) {
            self.awaiting.entry(namespace.clone()).or_default().push(binding.clone());
        }
        rollup.pending = namespaces;
    }

    /// Forgets a binding.
    pub fn remove(&mut self, binding: &str) {
        self.bindings.remove(binding);
    }

    /// Records the results of a namespace. Returns the bindings whose figures changed.
    pub fn record(&mut self, namespace: &Arc<str>, results: &[NamespaceResult]) -> Vec<Arc<str>> {
        let mut changed = Vec::new();
        let reported: HashSet<&Arc<str>> = results.iter().map(|result| &result.binding).collect();
        let before = self.covering.remove(namespace).unwrap_or_default();
        for binding in before.iter().filter(|binding| !reported.contains(*binding)) {
            if self.bindings.get_mut(binding).is_some_and(|rollup| rollup.put(namespace, binding, None)) {
                changed.push(binding.clone());
            }
        }
        for result in results {
            let rollup = self.bindings.entry(result.binding.clone()).or_default();
            if rollup.put(namespace, &result.binding, Some(RolledUp::of(result))) {
                changed.push(result.binding.clone());
            }
        }
        // A binding may wait for a namespace that it no longer covers.
        for binding in self.awaiting.remove(namespace).into_iter().flatten() {
            let rollup = self.bindings.get_mut(&binding).filter(|_| !reported.contains(&binding));
            if rollup.is_some_and(|rollup| rollup.take_pending(namespace)) {
                changed.push(binding);
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
        let binding = binding.into();
        NamespaceResult {
            binding,
            secret,
            domain_conflicts: Arc::from([]),
            matched,
            bound,
            contended: 0,
            opted_out: 0,
            unattached: None,
            contention: None,
        }
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

    /// A binding that is edited again waits for the namespaces of its last spec.
    #[test]
    fn only_the_last_expectation_counts() {
        let mut rollups = Rollups::default();
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        rollups.expect(&"x".into(), [a.clone(), b.clone()].into(), true);
        rollups.expect(&"x".into(), [b.clone()].into(), true);
        rollups.expect(&"y".into(), [a.clone()].into(), true);
        assert_eq!(rollups.record(&a, &[]), ["y".into()]);
        rollups.expect(&"x".into(), [a.clone(), b.clone()].into(), true);
        assert_eq!(rollups.record(&b, &[result("y", None, 1, 1)]), ["y".into(), "x".into()]);
        assert_eq!(rollups.record(&a, &[]), ["x".into()]);
        assert_eq!(rollups.of("x").map(super::Rollup::is_settled), Some(true));
    }

    #[test]
    fn a_namespace_that_is_gone_is_no_longer_awaited() {
        let mut rollups = Rollups::default();
        let a: Arc<str> = "a".into();
        rollups.expect(&"x".into(), [a.clone()].into(), true);
        assert_eq!(rollups.record(&a, &[]), ["x".into()]);
        assert_eq!(rollups.of("x").map(super::Rollup::is_settled), Some(true));
    }
}

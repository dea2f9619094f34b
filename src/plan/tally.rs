//! What stands, namespace by namespace, counted as it changes: a report never walks the cluster.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::namespace::Standing;
use super::secret::Contest;
use crate::api::Reason;

/// Why something does not stand: a reason to match on, and a sentence with the cure. Never a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// For scripts.
    pub reason: Reason,
    /// For people.
    pub message: Arc<str>,
}

impl Failure {
    /// A failure with its message.
    pub fn new(reason: Reason, message: impl Into<Arc<str>>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// One namespace in a tally.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    failure: Option<Failure>,
    contests: Arc<[Contest]>,
    matched: u32,
    bound: u32,
}

/// What stands for one binding.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    namespaces: BTreeMap<Arc<str>, Entry>,
    failing: BTreeSet<Arc<str>>,
    pending: HashSet<Arc<str>>,
    converging: bool,
    matched: i64,
    bound: i64,
}

impl Tally {
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
    pub fn contest(&self, namespace: &str, binding: &str, registry: usize) -> Option<&Contest> {
        let contests = &self.namespaces.get(namespace)?.contests;
        contests.iter().find(|c| &*c.binding == binding && c.registry == registry)
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
            if entry.failure.is_some() || entry.contests.iter().any(|c| &*c.binding == binding) {
                self.failing.insert(namespace.clone());
            }
        }
        awaited || before != entry
    }
}

/// The tallies of all bindings.
#[derive(Clone, Debug, Default)]
pub struct Tallies {
    bindings: HashMap<Arc<str>, Tally>,
    /// Which bindings have an entry for a namespace, to take it out again when they cover it no more.
    covering: HashMap<Arc<str>, Vec<Arc<str>>>,
}

impl Tallies {
    /// The tally of a binding.
    pub fn of(&self, binding: &str) -> Option<&Tally> {
        self.bindings.get(binding)
    }

    /// Says which namespaces a binding covers now, all of them still to be looked at, and whether it asks
    /// something `new` of them.
    pub fn expect(&mut self, binding: &Arc<str>, namespaces: HashSet<Arc<str>>, new: bool) {
        let tally = self.bindings.entry(binding.clone()).or_default();
        tally.converging = new || tally.is_converging();
        tally.pending = namespaces;
    }

    /// Drops a binding.
    pub fn remove(&mut self, binding: &str) {
        self.bindings.remove(binding);
    }

    /// Records what stands in a namespace. Returns the bindings whose figures changed.
    pub fn record(&mut self, namespace: &Arc<str>, standings: &[Standing]) -> Vec<Arc<str>> {
        let mut changed = Vec::new();
        let before = self.covering.remove(namespace).unwrap_or_default();
        for binding in before.iter().filter(|b| !standings.iter().any(|s| s.binding == **b)) {
            if self.bindings.get_mut(binding).is_some_and(|tally| tally.put(namespace, binding, None)) {
                changed.push(binding.clone());
            }
        }
        for standing in standings {
            let entry = Entry {
                failure: standing.secret.as_ref().err().cloned(),
                contests: standing.contests.clone(),
                matched: standing.matched,
                bound: standing.bound,
            };
            let tally = self.bindings.entry(standing.binding.clone()).or_default();
            if tally.put(namespace, &standing.binding, Some(entry)) {
                changed.push(standing.binding.clone());
            }
        }
        // A namespace that no binding covers any more was awaited all the same.
        for (binding, tally) in &mut self.bindings {
            if !standings.iter().any(|s| s.binding == *binding) && tally.pending.remove(namespace) {
                changed.push(binding.clone());
            }
        }
        if !standings.is_empty() {
            self.covering.insert(namespace.clone(), standings.iter().map(|s| s.binding.clone()).collect());
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::{Failure, Tallies};
    use crate::api::Reason;
    use crate::plan::Standing;
    use std::sync::Arc;

    fn standing(binding: &str, failure: Option<Reason>, matched: u32, bound: u32) -> Standing {
        let secret = failure.map_or(Ok(()), |reason| Err(Failure::new(reason, "why")));
        Standing { binding: binding.into(), secret, contests: Arc::from([]), matched, bound }
    }

    #[test]
    fn figures_follow_each_record() {
        let mut tallies = Tallies::default();
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        tallies.expect(&"x".into(), [a.clone(), b.clone()].into(), true);
        let read =
            |t: &Tallies| t.of("x").map(|t| (t.matched(), t.ready(), t.service_accounts(), t.is_settled()));
        assert_eq!(read(&tallies), Some((2, 0, (0, 0), false)));
        assert_eq!(tallies.record(&a, &[standing("x", None, 3, 2)]), ["x".into()]);
        tallies.record(&b, &[standing("x", Some(Reason::SecretConflict), 1, 0)]);
        assert_eq!(read(&tallies), Some((2, 1, (4, 2), true)));
        tallies.record(&a, &[standing("x", None, 3, 3)]);
        assert_eq!(read(&tallies), Some((2, 1, (4, 3), true)));
        assert_eq!(tallies.record(&b, &[]), ["x".into()]);
        assert_eq!(read(&tallies), Some((1, 1, (3, 3), true)));
    }

    #[test]
    fn the_same_record_twice_changes_nothing() {
        let mut tallies = Tallies::default();
        let a: Arc<str> = "a".into();
        tallies.record(&a, &[standing("x", None, 3, 2)]);
        assert!(tallies.record(&a, &[standing("x", None, 3, 2)]).is_empty());
    }

    #[test]
    fn a_namespace_that_went_away_is_awaited_no_more() {
        let mut tallies = Tallies::default();
        let a: Arc<str> = "a".into();
        tallies.expect(&"x".into(), [a.clone()].into(), true);
        assert_eq!(tallies.record(&a, &[]), ["x".into()]);
        assert_eq!(tallies.of("x").map(super::Tally::is_settled), Some(true));
    }
}

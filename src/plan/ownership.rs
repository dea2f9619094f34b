//! Ownership after a restart: which bindings have a part in what exists, as far as the objects themselves show it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::resolved_binding::ResolvedBinding;
use super::snapshot::Snapshot;
use super::view::{NamespaceFacts, NamespaceView, Provenance, ServiceAccountView};

/// A binding that may have covered namespaces before this process started.
#[derive(Clone, Debug)]
pub struct Claimant {
    /// The binding.
    pub binding: Arc<str>,
    /// Namespaces that its status names.
    pub reported: BTreeSet<Arc<str>>,
    /// Whether it covers nothing now: an unclaimed Secret may be its own.
    pub lost_all: bool,
}

/// The namespaces in which a binding has a part, though it may not cover them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Namespaces whose Secret provably holds its credentials.
    pub verified: HashSet<Arc<str>>,
    /// Namespaces whose Secret may hold its credentials.
    pub unverified: HashSet<Arc<str>>,
}

/// The search for the parts of claimants, namespace by namespace.
#[derive(Debug)]
pub struct Recovery<'a> {
    snapshot: &'a Snapshot,
    claimants: &'a [Claimant],
    /// The claimants whose status names a namespace.
    reported: HashMap<&'a str, Vec<usize>>,
    parts: BTreeMap<Arc<str>, Parts>,
}

impl<'a> Recovery<'a> {
    /// Returns a search that observed no namespace yet.
    pub fn of(snapshot: &'a Snapshot, claimants: &'a [Claimant]) -> Self {
        let mut reported: HashMap<&str, Vec<usize>> = HashMap::new();
        for (i, claimant) in claimants.iter().enumerate() {
            claimant.reported.iter().for_each(|name| reported.entry(name).or_default().push(i));
        }
        Self { snapshot, claimants, reported, parts: BTreeMap::new() }
    }

    /// Returns whether the status of some claimant names a namespace.
    pub fn is_reported(&self, namespace: &str) -> bool {
        self.reported.contains_key(namespace)
    }

    /// Returns the namespaces that are named by the statuses of bindings which still cover something. A binding that lost
    /// all is held where its Secret shows its part, and nowhere else.
    pub fn reported(&self) -> impl Iterator<Item = &Arc<str>> {
        self.claimants.iter().filter(|claimant| !claimant.lost_all).flat_map(|claimant| &claimant.reported)
    }

    /// Observes a namespace with our Secret.
    pub fn observe(&mut self, view: &NamespaceView) {
        let Some(facts) = view.facts.as_ref().filter(|facts| facts.is_open()) else { return };
        let Some(provenance) = view.secret.as_ref().map(|secret| secret.provenance) else { return };
        if provenance == Provenance::Elsewhere {
            return;
        }
        let unclaimed = self.snapshot.covering(&view.name, facts).is_empty();
        // A copy that a user made does not belong to any binding.
        let unclaimed = unclaimed && provenance == Provenance::Here;
        let mut may_own: BTreeSet<usize> =
            self.reported.get(&*view.name).into_iter().flatten().copied().collect();
        if unclaimed {
            may_own.extend((0..self.claimants.len()).filter(|&i| self.claimants[i].lost_all));
        }
        let candidates = may_own.into_iter().map(|i| &self.claimants[i].binding);
        let candidates: Vec<usize> =
            candidates.filter_map(|binding| self.snapshot.index_of(binding)).collect();
        if candidates.is_empty() {
            return;
        }
        let owners = owners(self.snapshot, view, facts, &candidates);
        let verified = owners.is_some();
        for index in owners.unwrap_or(candidates) {
            let binding = self.snapshot.resolved(index).binding.name.clone();
            let parts = self.parts.entry(binding).or_default();
            let names = if verified { &mut parts.verified } else { &mut parts.unverified };
            names.insert(view.name.clone());
        }
    }

    /// Returns the parts that were found of each claimant.
    pub fn found(self) -> BTreeMap<Arc<str>, Parts> {
        self.parts
    }
}

/// Returns the candidates that have a part in the existing Secret. It shows that by itself, as long as nothing was
/// renewed; `None` where it does not.
fn owners(
    snapshot: &Snapshot,
    view: &NamespaceView,
    facts: &NamespaceFacts,
    candidates: &[usize],
) -> Option<Vec<usize>> {
    let found = view.secret.as_ref()?.fingerprint;
    let covering = snapshot.covering(&view.name, facts);
    let lost: Vec<usize> = candidates.iter().copied().filter(|i| !covering.contains(i)).collect();
    let holds = |part: &[usize]| {
        let mut set = [&covering[..], part].concat();
        set.sort_unstable();
        snapshot.content(&set).fingerprint == found
    };
    let parts = lost.iter().map(std::slice::from_ref).chain([&lost[..], &[]]);
    let part = parts.into_iter().find(|part| holds(part))?;
    Some(candidates.iter().copied().filter(|i| covering.contains(i) || part.contains(i)).collect())
}

/// Whether a binding lost all its ServiceAccounts, found out namespace by namespace.
#[derive(Debug)]
pub struct AccountLoss<'a> {
    resolved: &'a ResolvedBinding,
    snapshot: &'a Snapshot,
    covers_none: bool,
    left_entries: bool,
}

impl<'a> AccountLoss<'a> {
    /// Returns the question for one binding of a snapshot.
    pub fn of(resolved: &'a ResolvedBinding, snapshot: &'a Snapshot) -> Self {
        Self { resolved, snapshot, covers_none: true, left_entries: false }
    }

    /// Observes a namespace that it covers. Returns `true` once the answer is known.
    pub fn observe(&mut self, view: &NamespaceView) -> bool {
        let Some(facts) = &view.facts else { return false };
        let covers = |resolved: &ResolvedBinding, account: &ServiceAccountView| {
            resolved.binding.service_accounts.covers(&account.name, &account.labels)
        };
        let accounts = || view.service_accounts.iter().filter(|account| !account.skip);
        self.covers_none &= !accounts().any(|account| covers(self.resolved, account));
        let ours = view.secret.as_ref().is_some_and(|secret| secret.ours);
        let alone = |account: &ServiceAccountView| {
            let here = self.snapshot.covering(&view.name, facts);
            !here.into_iter().any(|other| covers(self.snapshot.resolved(other), account))
        };
        let carries = |account: &ServiceAccountView| {
            account.pull_secrets.iter().any(|name| **name == *self.snapshot.secret_name())
        };
        let left = |account: &ServiceAccountView| carries(account) && alone(account);
        self.left_entries |= self.covers_none && ours && accounts().any(left);
        !self.covers_none
    }

    /// Returns whether it covers no ServiceAccount, while entries exist that it alone can have given.
    pub fn is_lost(&self) -> bool {
        self.covers_none && self.left_entries
    }
}

#[cfg(test)]
mod tests;

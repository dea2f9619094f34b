//! The guard against the worst mistake: one edit that withdraws everything everywhere.
//!
//! A binding that covered namespaces and suddenly covers none is more often a typo in a label than intended, and a failing
//! pull is noticed late. Its part stays for a grace period, and its status reports it. A confirmation, or the deletion of
//! the binding, withdraws it at once. A single namespace is held too: a typo looks the same there.
//!
//! ```text
//! covered ──relabelled──► recently lost ──others are still covered──► withdrawn
//!    │                          │ none is covered any longer
//!    └──the spec is edited──────┴──────► held ──grace over, confirmed, binding deleted──► withdrawn
//! ```
//!
//! A namespace that is deleted or opts out is never held: its owner decided.
//!
//! In the same way, the entries of a binding stay that covers namespaces, but suddenly no ServiceAccount in them.

mod coverage;
mod entries;
mod intent;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

pub use self::coverage::RELABEL_WINDOW;
use self::coverage::{GuardedBinding, Hold, whole_seconds};
use self::entries::Entries;
pub use self::entries::EntryLoss;
pub use self::intent::WithdrawalIntent;
use super::failure::Failure;
use super::ownership::Parts;
use super::resolved_binding::{Phase, ResolvedBinding};
use super::snapshot::Snapshot;
use super::view::NamespaceFacts;
use crate::api::{Reason, names};
use crate::model::Binding;
use crate::model::count::count;

/// A binding whose part stays in a namespace, though it does not cover it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retained {
    /// The binding.
    pub binding: Arc<str>,
    /// Whether it is held and reported in the status, rather than merely not withdrawn yet.
    pub held: bool,
    /// Whether the existing Secret provably holds this binding's credentials. After a restart, an unclaimed Secret may
    /// have been any binding's. After an edit, new registries were never meant for it.
    pub verified: bool,
}

/// The guard of all bindings.
#[derive(Debug)]
pub struct WithdrawalGuard {
    grace: SignedDuration,
    known: HashMap<Arc<str>, GuardedBinding>,
    /// The bindings that know of a namespace: they cover it, or their part may stay. Some may know it no longer.
    by_namespace: HashMap<Arc<str>, BTreeSet<Arc<str>>>,
    entries: Entries,
    /// When the CustomResourceDefinition was created. `None`: it is being deleted, does not exist, or was not read yet.
    defined_at: Option<Timestamp>,
}

impl WithdrawalGuard {
    /// Returns a guard with this grace period; zero switches it off.
    pub fn new(grace: SignedDuration) -> Self {
        let (known, by_namespace) = (HashMap::new(), HashMap::new());
        Self { grace, known, by_namespace, entries: Entries::default(), defined_at: None }
    }

    /// Returns whether the binding was ever observed.
    pub fn knows(&self, binding: &str) -> bool {
        self.known.contains_key(binding)
    }

    /// Returns the namespaces that a binding covers, as far as they were observed.
    pub fn covered(&self, binding: &str) -> Option<&HashSet<Arc<str>>> {
        self.known.get(binding).map(|known| &known.covered)
    }

    /// Forgets a binding that is gone. Returns the namespaces in which it had a part.
    pub fn forget(&mut self, binding: &str) -> Vec<Arc<str>> {
        self.entries.forget(binding);
        let Some(known) = self.known.remove(binding) else { return Vec::new() };
        let parts: Vec<Arc<str>> = known.covered.iter().chain(known.namespaces()).cloned().collect();
        parts.iter().for_each(|namespace| self.unlist(namespace, binding));
        parts
    }

    fn unlist(&mut self, namespace: &str, binding: &str) {
        let Some(listed) = self.by_namespace.get_mut(namespace) else { return };
        listed.remove(binding);
        if listed.is_empty() {
            self.by_namespace.remove(namespace);
        }
    }

    /// Lists a binding that knows of namespaces.
    fn list<'a>(&mut self, binding: &Arc<str>, namespaces: impl IntoIterator<Item = &'a Arc<str>>) {
        for namespace in namespaces {
            self.by_namespace.entry(namespace.clone()).or_default().insert(binding.clone());
        }
    }

    /// Records what a binding covered before a restart, and since when its status says that a withdrawal is held.
    pub fn remember(&mut self, binding: &Arc<str>, parts: Parts, held_since: Option<Timestamp>) {
        let Parts { verified, unverified } = parts;
        let covered = &verified | &unverified;
        self.list(binding, &covered);
        let known = self.known.entry(binding.clone()).or_default();
        known.unverified = &unverified - &verified;
        match held_since {
            // Some may be covered again: the others are still held.
            Some(since) => known.held = Some(Hold { namespaces: covered.into_iter().collect(), since }),
            None => known.covered = covered,
        }
    }

    /// Observes the spec of a binding, before its coverage. Where it named other registries, its part is no longer
    /// refreshed: the new ones were never asked for there.
    pub fn observe_spec(&mut self, binding: &Arc<Binding>) {
        let known = self.known.entry(binding.name.clone()).or_default();
        let before = known.spec.replace(binding.clone());
        known.same_selection = before.as_ref().is_some_and(|before| before.namespaces == binding.namespaces);
        if before.is_some_and(|before| before.registries != binding.registries) {
            let retained: Vec<Arc<str>> = known.namespaces().chain(&known.covered).cloned().collect();
            known.unverified.extend(retained);
        }
    }

    /// Forgets the namespaces that a binding loses by its new coverage, and in which nothing is served: no Pod pulls by what
    /// is withdrawn there. It comes before [`Self::observe_coverage`].
    pub fn forget_unserved(
        &mut self,
        binding: &str,
        covered: &HashSet<Arc<str>>,
        is_served: impl Fn(&str) -> bool,
    ) {
        let Some(known) = self.known.get_mut(binding) else { return };
        let lost = known.covered.difference(covered).filter(|namespace| !is_served(namespace));
        let unserved: HashSet<Arc<str>> = lost.cloned().collect();
        known.covered.retain(|namespace| !unserved.contains(namespace));
        unserved.iter().for_each(|namespace| self.unlist(namespace, binding));
    }

    /// Observes the coverage and the intent of a binding after an edit or a restart. Returns the namespaces in which
    /// its part does not stay any longer.
    pub fn observe_coverage(
        &mut self,
        binding: &Arc<str>,
        covered: HashSet<Arc<str>>,
        intent: WithdrawalIntent,
        now: Timestamp,
    ) -> Vec<Arc<str>> {
        let guarded = self.grace.is_positive();
        let earlier = self.known.get(binding).map(|known| &known.covered);
        let gained = covered.iter().filter(|name| earlier.is_none_or(|earlier| !earlier.contains(*name)));
        let gained: Vec<Arc<str>> = gained.cloned().collect();
        self.list(binding, &gained);
        let known = self.known.entry(binding.clone()).or_default();
        let before: Vec<Arc<str>> = known.namespaces().cloned().collect();
        known.forget_expired(self.grace, now);
        let resumed = known.intent == WithdrawalIntent::Suspended && intent == WithdrawalIntent::Guarded;
        let lost = std::mem::replace(&mut known.covered, covered);
        known.intent = intent;
        known.recently_lost.retain(|name, _| !known.covered.contains(name));
        known.unverified.retain(|name| !known.covered.contains(name));
        match intent {
            WithdrawalIntent::Confirmed => known.held = None,
            WithdrawalIntent::Guarded | WithdrawalIntent::Suspended if guarded => {
                if known.same_selection {
                    // Labels are removed one by one: the event of each namespace is yet to come.
                    let relabelled: Vec<_> = lost.difference(&known.covered).cloned().collect();
                    relabelled.iter().for_each(|name| known.lose(name, now));
                }
                if known.covered.is_empty() || intent == WithdrawalIntent::Suspended {
                    known.hold(lost, now);
                }
                if let (true, Some(hold)) = (resumed, &mut known.held) {
                    hold.since = whole_seconds(now);
                }
            }
            WithdrawalIntent::Guarded | WithdrawalIntent::Suspended => known.held = None,
            WithdrawalIntent::Leaving => {}
        }
        if let Some(hold) = &mut known.held {
            hold.namespaces.retain(|name| !known.covered.contains(name));
        }
        known.held = known.held.take().filter(|hold| !hold.namespaces.is_empty());
        before.into_iter().filter(|name| !known.keeps(name)).collect()
    }

    /// Observes whether a binding lost all its ServiceAccounts while entries exist that it alone can have given.
    pub fn observe_accounts(&mut self, binding: &Arc<Binding>, loss: EntryLoss) {
        let guarded = self.grace.is_positive() && loss.intent == WithdrawalIntent::Guarded;
        self.entries.observe(binding, EntryLoss { now: whole_seconds(loss.now), ..loss }, guarded);
    }

    /// Marks a binding whose entries stay. While the CustomResourceDefinition does not exist, bindings disappear one by
    /// one without being deleted on purpose: an active one is suspended.
    pub fn restrict(&self, resolved: &mut ResolvedBinding) {
        resolved.keeps_entries = self.keeps_entries(&resolved.binding.name);
        if self.is_undefined() && resolved.phase == Phase::Active {
            resolved.phase = Phase::Suspended;
        }
    }

    /// Returns whether entries stay that a binding no longer covers.
    pub fn keeps_entries(&self, binding: &str) -> bool {
        self.entries.since(binding).is_some()
    }

    /// Observes a namespace as it is now; `None` where it does not exist. `is_served`: a Secret of ours exists there.
    /// Returns the bindings whose hold began or ended. It costs the bindings that cover the namespace or did, not all of
    /// them.
    pub fn observe(
        &mut self,
        namespace: &Arc<str>,
        (facts, is_served): (Option<&NamespaceFacts>, bool),
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Vec<Arc<str>> {
        let facts = facts.filter(|facts| facts.is_open());
        let covering = facts.map(|facts| snapshot.covering(namespace, facts)).unwrap_or_default();
        let covering: HashSet<&Arc<str>> =
            covering.iter().map(|&i| &snapshot.resolved(i).binding.name).collect();
        let listed = self.by_namespace.get(namespace).cloned().unwrap_or_default();
        let gained = covering.iter().filter(|name| !listed.contains(**name)).map(|name| (*name).clone());
        let gained: Vec<Arc<str>> = gained.filter(|name| self.known.contains_key(name)).collect();
        let grace = self.grace;
        let (mut changed, mut over) = (Vec::new(), Vec::new());
        for binding in listed.iter().chain(&gained) {
            let Some(known) = self.known.get_mut(binding).filter(|_| snapshot.index_of(binding).is_some())
            else {
                continue;
            };
            let held_before = known.holds(namespace);
            known.forget_expired(grace, now);
            match facts {
                Some(_) if covering.contains(binding) => {
                    known.covered.insert(namespace.clone());
                    known.release(namespace);
                }
                Some(_) => {
                    if known.covered.remove(namespace) && is_served && known.is_guarded(grace) {
                        known.lose(namespace, now);
                    }
                }
                None => {
                    known.covered.remove(namespace);
                    known.release(namespace);
                }
            }
            if known.is_guarded(grace)
                && (known.covered.is_empty() || known.intent == WithdrawalIntent::Suspended)
            {
                known.hold(HashSet::new(), now);
            }
            if known.holds(namespace) != held_before {
                changed.push(binding.clone());
            }
            if !known.covered.contains(namespace) && !known.keeps(namespace) {
                over.push(binding.clone());
            }
        }
        gained.iter().for_each(|binding| self.list(binding, [namespace]));
        over.iter().for_each(|binding| self.unlist(namespace, binding));
        changed
    }

    /// Returns the bindings whose part stays in a namespace, though they do not cover it, in the order of precedence.
    ///
    /// `facts` may be newer than the last observation: what they show to be lost counts as lost now.
    pub fn retained(
        &self,
        namespace: &str,
        facts: Option<&NamespaceFacts>,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Vec<Retained> {
        let Some(facts) = facts.filter(|facts| facts.is_open()) else { return Vec::new() };
        let retained = |binding: &Arc<str>| {
            let known = self.known.get(binding)?;
            let position = snapshot.index_of(binding)?;
            if snapshot.resolved(position).binding.namespaces.covers(namespace, &facts.labels) {
                return None;
            }
            let held = known.holds(namespace);
            let lost_now = known.is_guarded(self.grace) && known.covered.contains(namespace);
            let verified = !known.unverified.contains(namespace);
            (held || lost_now || known.lost_recently(namespace, self.grace, now))
                .then(|| (position, Retained { binding: binding.clone(), held, verified }))
        };
        let listed = self.by_namespace.get(namespace).into_iter().flatten();
        let mut retained: Vec<(usize, Retained)> = listed.filter_map(retained).collect();
        retained.sort_by_key(|(position, _)| *position);
        retained.into_iter().map(|(_, retained)| retained).collect()
    }

    /// Ends a hold whose grace period is over. Returns its namespaces, if there was one.
    pub fn release_due(&mut self, binding: &str, now: Timestamp) -> Option<Vec<Arc<str>>> {
        let due = self.until(binding).is_some_and(|until| until <= now);
        let known = self.known.get_mut(binding).filter(|_| due)?;
        self.entries.release(binding);
        Some(known.held.take().into_iter().flat_map(|hold| hold.namespaces).collect())
    }

    /// Returns until when the part of a binding stays. `None`: nothing is held, or no grace period runs.
    pub fn until(&self, binding: &str) -> Option<Timestamp> {
        let known = self.known.get(binding).filter(|known| known.intent == WithdrawalIntent::Guarded)?;
        let since = known.held.as_ref().map(|hold| hold.since).or_else(|| self.entries.since(binding))?;
        Some(since.checked_add(self.grace).unwrap_or(Timestamp::MAX))
    }

    /// Returns the namespaces in which the part of a binding stays, though it no longer covers them.
    pub fn namespaces(&self, binding: &str) -> impl Iterator<Item = &Arc<str>> {
        self.known.get(binding).into_iter().flat_map(GuardedBinding::namespaces)
    }

    /// Returns since when the part of a binding is held, and the report with the cure.
    pub fn report(&self, binding: &str, generation: i64) -> Option<(Timestamp, Failure)> {
        let until = whole_seconds(self.until(binding)?);
        let known = self.known.get(binding)?;
        let confirm = format!(
            "To confirm it, annotate the binding with {}: \"{generation}\", or delete the binding",
            names::ANNOTATION_CONFIRM_WITHDRAWAL
        );
        let Some(hold) = &known.held else {
            let message = format!(
                "this binding no longer covers a ServiceAccount. The entries that it added are kept until {until}, then \
                 removed. If that is a mistake, correct spec.serviceAccounts. {confirm}"
            );
            return Some((self.entries.since(binding)?, Failure::new(Reason::CoverageLost, message)));
        };
        let lost = hold.namespaces.len();
        let mut listed = hold.namespaces.iter().take(3).map(|name| &**name).collect::<Vec<_>>().join(", ");
        if lost > 3 {
            listed = format!("{listed} and {} more", lost - 3);
        }
        let message = format!(
            "this binding no longer covers {} ({listed}). Their pull Secrets are kept and refreshed until {until}, then \
             removed. If that is a mistake, correct spec.watchNamespaces or the labels. {confirm}",
            count(lost, "namespace", "namespaces")
        );
        Some((hold.since, Failure::new(Reason::CoverageLost, message)))
    }

    /// Records when the CustomResourceDefinition was created. `None`: it does not exist, or is being deleted.
    pub fn define(&mut self, created: Option<Timestamp>) {
        self.defined_at = created;
    }

    /// Returns until when namespaces are left alone that no binding covers, no status names, and this process never
    /// served. Bindings that went with the CustomResourceDefinition may come back while it is young.
    pub fn unclaimed_until(&self) -> Timestamp {
        match self.defined_at {
            Some(created) => created.checked_add(self.grace).unwrap_or(Timestamp::MAX),
            None => Timestamp::MAX,
        }
    }

    /// Returns whether the CustomResourceDefinition does not exist, is being deleted, or was not read yet.
    pub fn is_undefined(&self) -> bool {
        self.defined_at.is_none()
    }
}

#[cfg(test)]
mod tests;

//! Feeds the guard of [`crate::plan::withdrawal_guard`]: coverage of the bindings, now and before this process started.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;

use super::clock;
use super::state::{SharedState, State};
use crate::model::Binding;
use crate::model::coverage::SelectionIndex;
use crate::plan::ownership::{AccountLoss, Claimant, Recovery};
use crate::plan::priority::Priority;
use crate::plan::withdrawal_guard::EntryLoss;
use crate::plan::{NamespaceView, Phase, Snapshot};

/// The namespaces that bindings cover, by binding.
pub(super) type Coverage = HashMap<Arc<str>, HashSet<Arc<str>>>;

impl SharedState {
    /// Observes a namespace whose object changed, and queues it.
    pub fn observe_namespace(&self, namespace: Arc<str>) {
        let mut state = self.state();
        let facts = self.index.read(&namespace, |view| view.facts.clone()).flatten();
        let snapshot = self.snapshot();
        let passed_over = state.passed_over.observe_all(&namespace, facts.as_ref(), &snapshot);
        passed_over.into_iter().for_each(|binding| self.schedule_status(binding));
        let observed = (facts.as_ref(), self.is_served(&namespace));
        let changed = state.guard.observe(&namespace, observed, &snapshot, clock::now());
        for binding in changed {
            // The others that were lost with this one are held from now on.
            let others = state.guard.namespaces(&binding).filter(|name| **name != namespace).cloned();
            others.for_each(|name| self.namespaces.add(name, Priority::Bulk));
            self.schedule_status(binding);
        }
        drop(state);
        self.wake_namespace(namespace);
    }

    /// Returns whether a Secret of ours exists in a namespace, by which Pods may pull.
    pub(super) fn is_served(&self, namespace: &str) -> bool {
        let served = |view: &NamespaceView| view.secret.as_ref().is_some_and(|secret| secret.ours);
        self.index.read(namespace, served).unwrap_or_default()
    }

    /// Returns the namespaces that each of these bindings covers, and observes those that it selects and does not cover.
    /// The cluster is walked once for all of them, or not at all where they name their namespaces.
    pub(super) fn coverage_of(&self, state: &mut State, names: &[Arc<str>], snapshot: &Snapshot) -> Coverage {
        let existing = names.iter().filter(|name| state.bindings.get(name).is_some());
        let mut coverage: Coverage = existing.map(|name| (name.clone(), HashSet::new())).collect();
        let in_force: Vec<&Binding> = names
            .iter()
            .filter_map(|name| Some(&*snapshot.resolved(snapshot.index_of(name)?).binding))
            .collect();
        in_force.iter().for_each(|binding| state.passed_over.reset(&binding.name));
        let selections = in_force.iter().map(|binding| &binding.namespaces).enumerate();
        self.index.selected_by(&SelectionIndex::new(selections), |position, namespace, facts| {
            let binding = in_force[position];
            if facts.skip || binding.namespaces.excluded_by(namespace).is_some() {
                state.passed_over.observe(&binding.name, &binding.namespaces, namespace, Some(facts));
            } else if facts.is_open() {
                coverage.entry(binding.name.clone()).or_default().insert(namespace.clone());
            }
        });
        coverage
    }

    /// Recovers what bindings covered before this process started, so that a grace period outlives a restart. Their
    /// statuses show it, and so does each Secret of ours that no binding covers.
    pub(super) fn remember(&self, state: &mut State, snapshot: &Snapshot, coverage: &Coverage) {
        let unknown = coverage.iter().filter(|(name, _)| !state.guard.knows(name));
        let unknown = unknown.filter_map(|(name, covered)| Some((name, covered, state.bindings.get(name)?)));
        let unknown = unknown.filter(|(.., entry)| entry.may_have_covered());
        let claimants: Vec<(Claimant, Option<Timestamp>)> = unknown
            .map(|(name, covered, entry)| {
                let since = entry.held_since();
                let reported = entry.reported_namespaces().into_iter().map(Arc::from).collect();
                let lost_all = since.is_some() || covered.is_empty();
                (Claimant { binding: name.clone(), reported, lost_all }, since)
            })
            .collect();
        if claimants.is_empty() {
            return;
        }
        let (claimants, since): (Vec<_>, Vec<_>) = claimants.into_iter().unzip();
        let mut recovery = Recovery::of(snapshot, &claimants);
        // A new binding that covers something has no part from before.
        let may_have_parts = |claimant: &Claimant| claimant.lost_all || !claimant.reported.is_empty();
        if claimants.iter().any(may_have_parts) {
            let ours = self.index.with_our_secret();
            for namespace in ours.iter().filter(|namespace| recovery.is_reported(namespace)) {
                self.index.update(namespace, |record| record.reported = true);
            }
            // Where a withdrawal was interrupted, entries may be left, though the Secret was deleted meanwhile.
            for namespace in recovery.reported() {
                self.index.update(namespace, |record| record.reported = true);
                state.left.insert(namespace.clone());
            }
            self.index.read_until(&ours, |view| {
                recovery.observe(view);
                false
            });
        }
        let mut recovered = recovery.found();
        for (claimant, since) in claimants.iter().zip(since) {
            let parts = recovered.remove(&claimant.binding).unwrap_or_default();
            state.guard.remember(&claimant.binding, parts, since);
        }
    }

    /// Observes whether the named bindings lost all their ServiceAccounts while entries exist that they alone gave.
    /// Returns the snapshot, in which such entries stay.
    pub(super) fn observe_accounts(
        &self,
        state: &mut State,
        mut snapshot: Snapshot,
        names: &[Arc<str>],
        observation: (&Coverage, Timestamp),
    ) -> Snapshot {
        let (coverage, now) = observation;
        for name in names {
            let Some(position) = snapshot.index_of(name) else { continue };
            let Some(entry) = state.bindings.get(name) else { continue };
            let (intent, reported_since) = (entry.intent(), entry.held_since());
            let resolved = snapshot.resolved(position);
            let mut loss = AccountLoss::of(resolved, &snapshot);
            let covered = coverage.get(name).or_else(|| state.guard.covered(name));
            if resolved.phase == Phase::Active {
                self.index.read_until(covered.into_iter().flatten(), |view| loss.observe(view));
            }
            let loss = EntryLoss { is_lost: loss.is_lost(), intent, reported_since, now };
            state.guard.observe_accounts(&resolved.binding, loss);
            snapshot = snapshot.keeping_entries(position, state.guard.keeps_entries(name));
        }
        snapshot
    }
}

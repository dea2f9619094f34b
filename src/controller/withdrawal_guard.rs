//! Feeds the guard of [`crate::plan::withdrawal_guard`]: coverage of the bindings, now and before this process started.

use std::collections::HashSet;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;

use super::clock;
use super::state::{SharedState, State};
use crate::plan::ownership::{AccountLoss, Claimant, Recovery};
use crate::plan::priority::Priority;
use crate::plan::view::NamespaceFacts;
use crate::plan::withdrawal_guard::EntryLoss;
use crate::plan::{Phase, ResolvedBinding, Snapshot};

impl SharedState {
    /// Observes a namespace whose object changed, and queues it.
    pub fn observe_namespace(&self, namespace: Arc<str>) {
        let mut state = self.state();
        let facts = self.index.read(&namespace, |view| view.facts.clone()).flatten();
        let snapshot = self.snapshot();
        let passed_over = state.passed_over.observe_all(&namespace, facts.as_ref(), &snapshot);
        passed_over.into_iter().for_each(|binding| self.schedule_status(binding));
        let changed = state.guard.observe(&namespace, facts.as_ref(), &snapshot, clock::now());
        for binding in changed {
            // The others that were lost with this one are held from now on.
            let others = state.guard.namespaces(&binding).filter(|name| **name != namespace).cloned();
            others.for_each(|name| self.namespaces.add(name, Priority::Bulk));
            self.schedule_status(binding);
        }
        drop(state);
        self.wake_namespace(namespace);
    }

    /// Returns the namespaces that a binding covers.
    pub(super) fn covered_by(&self, resolved: &ResolvedBinding) -> HashSet<Arc<str>> {
        let selection = &resolved.binding.namespaces;
        let covered =
            |name: &str, facts: &NamespaceFacts| facts.is_open() && selection.covers(name, &facts.labels);
        self.index.matching(covered).into_iter().collect()
    }

    /// Observes which namespaces a binding selects and does not cover.
    pub(super) fn observe_passed_over(&self, state: &mut State, resolved: &ResolvedBinding) {
        let binding = &resolved.binding;
        state.passed_over.reset(&binding.name);
        let selected = |name: &str, facts: &NamespaceFacts| {
            binding.namespaces.selects(name, &facts.labels)
                && (facts.skip || binding.namespaces.excluded_by(name).is_some())
        };
        for namespace in self.index.matching(selected) {
            let facts = self.index.read(&namespace, |view| view.facts.clone()).flatten();
            state.passed_over.observe(&binding.name, &binding.namespaces, &namespace, facts.as_ref());
        }
    }

    /// Recovers what the named bindings covered before this process started, so that a grace period outlives a restart.
    /// Their statuses show it, and so does each Secret of ours that no binding covers.
    pub(super) fn remember(&self, state: &mut State, snapshot: &Snapshot, names: &[Arc<str>]) {
        let known = |name: &&Arc<str>| !state.guard.knows(name);
        let unknown = names.iter().filter(known).filter_map(|name| Some((name, state.bindings.get(name)?)));
        let unknown = unknown.filter(|(_, entry)| entry.may_have_covered());
        let covers = |i: usize| !self.covered_by(snapshot.resolved(i)).is_empty();
        let claimants: Vec<(Claimant, Option<Timestamp>)> = unknown
            .map(|(name, entry)| {
                let since = entry.held_since();
                let reported = entry.reported_namespaces().into_iter().map(Arc::from).collect();
                let lost_all = since.is_some() || !snapshot.index_of(name).is_some_and(covers);
                (Claimant { binding: name.clone(), reported, lost_all }, since)
            })
            .collect();
        if claimants.is_empty() {
            return;
        }
        let ours = self.index.with_our_secret();
        let named = |namespace: &Arc<str>| claimants.iter().any(|(c, _)| c.reported.contains(namespace));
        for namespace in ours.iter().filter(|namespace| named(namespace)) {
            self.index.update(namespace, |record| record.reported = true);
        }
        let (claimants, since): (Vec<_>, Vec<_>) = claimants.into_iter().unzip();
        let mut recovery = Recovery::of(snapshot, &claimants);
        self.index.read_until(&ours, |view| {
            recovery.observe(view);
            false
        });
        let mut recovered = recovery.found();
        for (claimant, since) in claimants.into_iter().zip(since) {
            let parts = recovered.remove(&claimant.binding).unwrap_or_default();
            state.guard.remember(&claimant.binding, parts, since);
        }
    }

    /// Observes whether the named bindings lost all their ServiceAccounts while entries exist that they alone gave.
    pub(super) fn observe_accounts(
        &self,
        state: &mut State,
        all: &[ResolvedBinding],
        names: &[Arc<str>],
        now: Timestamp,
    ) {
        for resolved in all.iter().filter(|resolved| names.contains(&resolved.binding.name)) {
            let Some(entry) = state.bindings.get(&resolved.binding.name) else { continue };
            let (intent, reported_since) = (entry.intent(), entry.held_since());
            let mut loss = AccountLoss::of(resolved, all, &self.template().name);
            if resolved.phase == Phase::Active {
                self.index.read_until(&self.covered_by(resolved), |view| loss.observe(view));
            }
            let loss = EntryLoss { is_lost: loss.is_lost(), intent, reported_since, now };
            state.guard.observe_accounts(&resolved.binding, loss);
        }
    }
}

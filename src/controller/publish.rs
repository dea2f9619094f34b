//! Publishes snapshots: what the bindings ask now, and which namespaces and statuses follow from it.

use std::collections::HashSet;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;

use super::clock;
use super::state::{SharedState, State};
use crate::api::AcrCredentialBinding;
use crate::plan::Snapshot;
use crate::plan::admission_mode::{AdmissionModes, AppliedParameters};
use crate::plan::credential_cache::{CredentialCache, SavedCredentials};
use crate::plan::priority::Priority;
use crate::plan::transition::{CoverageChange, Transition};

/// The reason why a snapshot is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishReason {
    /// A binding asks something else: it is not ready before every namespace was reconciled.
    SpecChanged,
    /// The process started, or credentials were refreshed: the existing Secrets are good meanwhile.
    CredentialsChanged,
}

impl SharedState {
    /// Records a binding, once the labels that it selects by are complete.
    pub fn put_binding(&self, object: AcrCredentialBinding) {
        let Some(mut object) = self.hold_for_labels(object) else { return };
        // Nothing reads the record of its writers, which is larger than many a binding.
        object.metadata.managed_fields = None;
        let name: Arc<str> = object.metadata.name.clone().unwrap_or_default().into();
        let mut state = self.state();
        let news = state.bindings.put(object, &self.cluster_region);
        if news.changed {
            self.refresh_demands(&mut state);
            if let (true, Some(binding)) =
                (news.refresh, state.bindings.get(&name).and_then(|entry| entry.good.clone()))
            {
                state.credentials.force(binding.registries.iter().map(|registry| registry.key.clone()));
            }
            self.publish(&mut state, std::slice::from_ref(&name), PublishReason::SpecChanged);
        }
        if state.guard.is_undefined() {
            self.definition.notify_one();
        }
        drop(state);
        self.bindings.add(name, Priority::Changed);
        self.config_map.notify_one();
    }

    /// Forgets a binding.
    pub fn remove_binding(&self, name: &str) {
        self.waiting.remove(name);
        let mut state = self.state();
        if state.bindings.remove(name) {
            self.refresh_demands(&mut state);
            self.publish(&mut state, &[name.into()], PublishReason::SpecChanged);
            state.rollups.remove(name);
            state.notes.remove(name);
        }
        drop(state);
        self.config_map.notify_one();
    }

    /// Records a binding that cannot be read: until it can, coverage is unknown and nothing is withdrawn.
    pub fn hold_unreadable(&self, name: &str) {
        let mut state = self.state();
        if state.bindings.get(name).is_none() {
            state.bindings.add_unreadable(name);
            self.publish(&mut state, &[], PublishReason::SpecChanged);
        }
    }

    fn refresh_demands(&self, state: &mut State) {
        let mut demands = state.bindings.demands();
        for key in state.bindings.keys() {
            demands.entry(key).or_default();
        }
        state.credentials.track(&demands);
        self.credentials.notify_one();
    }

    /// Begins the work: all caches are full, and this replica holds the lease. What it assumed as a standby is
    /// forgotten: it goes on from the saved credentials and the statuses, as a process that starts now.
    pub fn begin(&self, saved: SavedCredentials, config_map: bool) {
        let mut state = self.state();
        (state.live, state.config_map) = (true, config_map);
        state.credentials = CredentialCache::new(saved);
        let asking = state.bindings.begin();
        self.refresh_demands(&mut state);
        for binding in asking {
            state.credentials.force(binding.registries.iter().map(|registry| registry.key.clone()));
        }
        self.namespaces.clear();
        let names = state.bindings.names();
        self.publish(&mut state, &names, PublishReason::CredentialsChanged);
        drop(state);
        for name in names {
            self.bindings.add(name, Priority::Changed);
        }
    }

    /// Publishes what the named bindings ask now, and queues the namespaces that this concerns.
    pub fn publish(&self, state: &mut State, changed: &[Arc<str>], reason: PublishReason) {
        let now = clock::now();
        let next = Arc::new(self.assemble(state, changed, now));
        let before = self.snapshot.send_replace(next.clone());
        if !state.live {
            return;
        }
        self.remember(state, &next, changed);
        let changes = changed.iter().map(|name| {
            self.change_of(state, name, Publication { before: &before, next: &next, reason, now })
        });
        let changes = changes.collect();
        self.follow(state, Transition::between(&before, &next, changes));
    }

    /// Returns the snapshot of this moment.
    fn assemble(&self, state: &mut State, changed: &[Arc<str>], now: Timestamp) -> Snapshot {
        let mut resolved = state.bindings.resolved_bindings(&state.credentials, now);
        if state.live {
            self.observe_accounts(state, &resolved, changed, now);
        }
        state.guard.restrict(&mut resolved);
        let unknown = !state.live || state.bindings.coverage_unknown();
        let next = Snapshot::new(self.template().clone(), resolved, unknown);
        let awaiting = state.applied.differ_from(&next.parameters().data);
        let until = Some(state.guard.unclaimed_until()).filter(|until| now < *until);
        next.awaiting_admission(awaiting).protecting_unclaimed_until(until)
    }

    /// Has the guard observe a changed binding, and returns how its coverage changed.
    fn change_of(&self, state: &mut State, name: &Arc<str>, publication: Publication<'_>) -> CoverageChange {
        let Publication { before, next, reason, now } = publication;
        let covered = |snapshot: &Snapshot| {
            let index = snapshot.index_of(name);
            index.map(|index| self.covered_by(snapshot.resolved(index))).unwrap_or_default()
        };
        let (before, after) = (covered(before), covered(next));
        let binding = name.clone();
        let Some(entry) = state.bindings.get(name) else {
            let retained = state.guard.namespaces(name).cloned().collect();
            return CoverageChange { binding, before, retained, ..CoverageChange::default() };
        };
        let (intent, is_new) = (entry.intent(), reason == PublishReason::SpecChanged || !entry.is_observed());
        if let Some(index) = next.index_of(name) {
            state.guard.observe_spec(&next.resolved(index).binding);
            self.observe_passed_over(state, next.resolved(index));
        }
        let released = state.guard.observe_coverage(name, after.clone(), intent, now).into_iter().collect();
        let retained: HashSet<Arc<str>> = state.guard.namespaces(name).cloned().collect();
        CoverageChange { binding, exists: true, is_new, before, after, retained, released }
    }

    fn follow(&self, state: &mut State, transition: Transition) {
        for expected in transition.expected {
            state.rollups.expect(&expected.binding, expected.namespaces, expected.is_new);
        }
        for binding in &transition.forgotten {
            state.guard.forget(binding);
            state.passed_over.forget(binding);
        }
        let mut dirty = transition.dirty;
        if transition.unblocks_ours {
            dirty.extend(self.index.with_our_secret());
        }
        if transition.unblocks_admission {
            dirty.extend(self.index.awaiting_admission());
        }
        for namespace in dirty {
            self.namespaces.add(namespace, Priority::Bulk);
        }
    }

    /// Changes the modes, and has the bindings that ask for admission report it.
    pub fn change_modes(&self, change: impl FnOnce(&mut AdmissionModes)) {
        let changed = self.modes.send_if_modified(|modes| {
            let before = modes.clone();
            change(modes);
            *modes != before
        });
        let names = if changed { self.state().bindings.names() } else { Vec::new() };
        names.into_iter().for_each(|name| self.bindings.add(name, Priority::Changed));
    }

    /// Records what the API server adds by itself. Withdrawals that waited for it continue.
    pub fn set_applied(&self, applied: AppliedParameters) {
        let mut state = self.state();
        state.applied = applied;
        let snapshot = self.snapshot();
        if state.applied.differ_from(&snapshot.parameters().data) != snapshot.awaits_admission() {
            self.publish(&mut state, &[], PublishReason::CredentialsChanged);
        }
    }

    /// Records when the CustomResourceDefinition was created; `None` while it does not exist or is being deleted.
    /// Returns until when unclaimed Secrets are left alone.
    pub fn define(&self, created_at: Option<Timestamp>) -> Timestamp {
        let mut state = self.state();
        let was_undefined = state.guard.is_undefined();
        state.guard.define(created_at);
        let same = was_undefined == created_at.is_none();
        let changed = if same { Vec::new() } else { state.bindings.names() };
        self.publish(&mut state, &changed, PublishReason::CredentialsChanged);
        state.guard.unclaimed_until()
    }

    /// Ends the hold of a binding whose grace period is over. Returns whether one ended.
    pub fn release_due(&self, state: &mut State, binding: &Arc<str>) -> bool {
        let Some(over) = state.guard.release_due(binding, clock::now()) else { return false };
        for namespace in over {
            self.namespaces.add(namespace, Priority::Bulk);
        }
        self.publish(state, std::slice::from_ref(binding), PublishReason::SpecChanged);
        true
    }
}

/// A snapshot that is published.
#[derive(Clone, Copy)]
struct Publication<'a> {
    before: &'a Snapshot,
    next: &'a Snapshot,
    reason: PublishReason,
    now: Timestamp,
}

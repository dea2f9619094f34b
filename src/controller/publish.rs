//! Publishes snapshots: what the bindings ask now, and which namespaces and statuses follow from it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use k8s_openapi::jiff::Timestamp;

use super::clock;
use super::state::{SharedState, State};
use crate::api::AcrCredentialBinding;
use crate::cluster::clock::monotonic;
use crate::model::RegistryKey;
use crate::model::coverage::SelectionIndex;
use crate::plan::admission_mode::{AdmissionModes, AppliedParameters};
use crate::plan::credential_cache::{CredentialCache, SavedCredentials};
use crate::plan::priority::Priority;
use crate::plan::stored_binding::StoredBinding;
use crate::plan::transition::{CoverageChange, Transition};
use crate::plan::unpublished::Churn;
use crate::plan::{Phase, Rollup, Snapshot};

/// Namespaces that go ahead of others, where a publication concerns no more: those of one new binding do not wait for
/// thousands that are refreshed or left. A new binding with no more than these waits for no other.
const FEW: usize = 16;

/// The reason why a snapshot is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishReason {
    /// A binding asks something else: it is not ready before every namespace was reconciled.
    SpecChanged,
    /// The process started, or credentials were refreshed: the existing Secrets are good meanwhile.
    CredentialsChanged,
}

impl SharedState {
    /// Records a binding, once the labels that it selects by are complete. It is published together with others that
    /// change now.
    pub fn put_binding(&self, object: AcrCredentialBinding) {
        let Some(mut object) = self.hold_for_labels(object) else { return };
        // Nothing reads the record of its writers, which is larger than many a binding.
        object.metadata.managed_fields = None;
        let name: Arc<str> = object.metadata.name.clone().unwrap_or_default().into();
        let mut state = self.state();
        let news = state.bindings.put(object, &self.cluster_region);
        if news.changed {
            let leaves = state.bindings.get(&name).is_some_and(StoredBinding::is_deleting);
            let churn = match self.snapshot().index_of(&name) {
                _ if leaves => Churn::Leaves,
                Some(_) => Churn::Edited,
                None if self.covers_few(&state, &name) => Churn::JoinsFew,
                None => Churn::Joins,
            };
            let stored = state.bindings.get(&name);
            let awaits_more = stored.is_some_and(|stored| stored.good.is_some() && !stored.is_governed());
            state.unpublished.add(&name, churn, awaits_more, monotonic());
            self.publications.notify_one();
        }
        if state.guard.is_undefined() {
            self.definition.notify_one();
        }
        let priority = state.priority_of(&name);
        drop(state);
        self.bindings.add(name, priority);
        self.config_map.notify_one();
    }

    /// Returns whether a binding selects few namespaces now.
    fn covers_few(&self, state: &State, name: &str) -> bool {
        let good = state.bindings.get(name).filter(|_| state.live).and_then(|stored| stored.good.as_ref());
        good.is_some_and(|good| {
            let mut count = 0;
            let selections = SelectionIndex::new([(0, &good.namespaces)]);
            self.index.selected_by(&selections, |_, namespace, facts| {
                count += usize::from(facts.is_open() && good.namespaces.excluded_by(namespace).is_none());
            });
            count <= FEW
        })
    }

    /// Forgets a binding.
    pub fn remove_binding(&self, name: &str) {
        self.waiting.remove(name);
        let name: Arc<str> = name.into();
        let mut state = self.state();
        if state.bindings.remove(&name) {
            // Where its part was taken back, nothing is left to plan.
            let taken_back = state.rollups.of(&name).is_some_and(Rollup::is_as_wanted)
                && self.snapshot().phase_of(&name).is_some_and(Phase::is_leaving);
            let parts = state.guard.forget(&name);
            if !taken_back {
                state.left.extend(parts);
            }
            state.passed_over.forget(&name);
            state.rollups.remove(&name);
            state.notes.remove(&name);
            self.publish_soon(&mut state, &name, Churn::Leaves);
        }
        drop(state);
        self.config_map.notify_one();
    }

    /// Publishes a binding soon, together with others.
    pub fn publish_soon(&self, state: &mut State, name: &Arc<str>, churn: Churn) {
        state.unpublished.add(name, churn, false, monotonic());
        self.publications.notify_one();
    }

    /// Publishes bindings that changed, once no others follow.
    pub async fn keep_publishing(self: Arc<Self>) {
        loop {
            let due_at = self.state().unpublished.due_at();
            let wait = async {
                match due_at {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.publications.notified() => continue,
                () = wait => {}
            }
            self.publish_due(monotonic());
        }
    }

    /// Publishes all bindings that wait: a list is complete.
    pub fn publish_waiting(&self) {
        let due_at = self.state().unpublished.last_due_at();
        due_at.into_iter().for_each(|at| self.publish_due(at));
    }

    /// Publishes the bindings that are due.
    pub fn publish_due(&self, now: Instant) {
        let mut state = self.state();
        let due = state.unpublished.take_due(now);
        if !due.is_empty() {
            self.publish(&mut state, &due, PublishReason::SpecChanged);
        }
        // Their status waited for this.
        for name in due {
            let priority = state.priority_of(&name);
            self.bindings.add(name, priority);
        }
    }

    /// Records a binding that cannot be read: until it can, coverage is unknown and nothing is withdrawn.
    pub fn hold_unreadable(&self, name: &str) {
        let mut state = self.state();
        if state.bindings.get(name).is_none() {
            state.bindings.add_unreadable(name);
            self.publish(&mut state, &[], PublishReason::SpecChanged);
        }
    }

    fn refresh_demands(&self, state: &mut State, changed: &[Arc<str>]) {
        let tracked = state.bindings.tracked();
        state.credentials.track(&tracked);
        let requested = changed.iter().filter_map(|name| state.bindings.take_refresh(name));
        let requested: Vec<RegistryKey> = requested.flatten().collect();
        state.credentials.force(requested);
        self.credentials.notify_one();
    }

    /// Begins the work: all caches are full, and this replica holds the lease. What it assumed as a standby is
    /// forgotten: it goes on from the saved credentials and the statuses, as a process that starts now.
    pub fn begin(&self, saved: SavedCredentials, config_map: bool) {
        let mut state = self.state();
        (state.live, state.config_map) = (true, config_map);
        state.credentials = CredentialCache::new(saved);
        state.bindings.begin();
        self.namespaces.clear();
        let names = state.bindings.names();
        self.publish(&mut state, &names, PublishReason::CredentialsChanged);
        drop(state);
        for name in names {
            self.bindings.add(name, Priority::Changed);
        }
    }

    /// Publishes the credentials of these registries, where they differ from the published ones. Returns the bindings
    /// that use them.
    pub fn publish_credentials(&self, state: &mut State, registries: &[RegistryKey]) -> Vec<Arc<str>> {
        let (now, snapshot) = (clock::now(), self.snapshot());
        let users = state.bindings.users(registries);
        let differs = |name: &&Arc<str>| {
            let published = snapshot.index_of(name).map(|i| snapshot.resolved(i));
            let current = state.bindings.resolved(name, &state.credentials, now);
            match (published, current) {
                (Some(published), Some(current)) => !published.has_same_credentials(&current),
                (published, current) => published.is_some() != current.is_some(),
            }
        };
        // One that changed itself is published soon.
        let waits = |name: &&Arc<str>| state.unpublished.contains(name);
        let changed: Vec<Arc<str>> =
            users.iter().filter(|name| !waits(name) && differs(name)).cloned().collect();
        if !changed.is_empty() {
            self.publish(state, &changed, PublishReason::CredentialsChanged);
        }
        users
    }

    /// Publishes what the named bindings ask now, and queues the namespaces that this concerns. It costs these
    /// namespaces, not those of other bindings.
    pub fn publish(&self, state: &mut State, changed: &[Arc<str>], reason: PublishReason) {
        let now = clock::now();
        let before = self.snapshot();
        let mut edited: HashSet<&Arc<str>> =
            changed.iter().filter(|name| state.unpublished.take(name) | !state.guard.knows(name)).collect();
        if reason == PublishReason::SpecChanged {
            edited.extend(changed);
        }
        if !edited.is_empty() {
            self.refresh_demands(state, changed);
        }
        let next = self.assemble(state, &before, changed, now);
        let edited: Vec<Arc<str>> = edited.into_iter().cloned().collect();
        let coverage = if state.live { self.coverage_of(state, &edited, &next) } else { HashMap::new() };
        let next =
            if state.live { self.observe_accounts(state, next, changed, (&coverage, now)) } else { next };
        let next = Arc::new(next);
        self.snapshot.send_replace(next.clone());
        if !state.live {
            return;
        }
        self.remember(state, &next, &coverage);
        let mut coverage = coverage;
        let changes = changed.iter().filter_map(|name| {
            let covered = coverage.remove(name);
            self.change_of(state, name, Publication { next: &next, covered, reason, now })
        });
        let transition = Transition::between(&before, &next, changes);
        self.follow(state, transition);
    }

    /// Returns the snapshot of this moment: the one before, with what changed.
    fn assemble(
        &self,
        state: &mut State,
        before: &Snapshot,
        changed: &[Arc<str>],
        now: Timestamp,
    ) -> Snapshot {
        let is_undefined = state.guard.is_undefined();
        let all = is_undefined != std::mem::replace(&mut state.published_undefined, is_undefined);
        let names = if all { state.bindings.names() } else { changed.to_vec() };
        let resolved = names.into_iter().map(|name| {
            let mut resolved = state.bindings.resolved(&name, &state.credentials, now);
            resolved.iter_mut().for_each(|resolved| state.guard.restrict(resolved));
            (name, resolved)
        });
        let next = before.replacing(resolved.collect());
        let awaiting = state.applied.differ_from(&next.parameters().data);
        let until = Some(state.guard.unclaimed_until()).filter(|until| now < *until);
        next.knowing_coverage(!state.live || state.bindings.coverage_unknown())
            .awaiting_admission(awaiting)
            .protecting_unclaimed_until(until)
    }

    /// Has the guard observe a changed binding, and returns how its coverage changed.
    fn change_of(
        &self,
        state: &mut State,
        name: &Arc<str>,
        publication: Publication<'_>,
    ) -> Option<CoverageChange> {
        let Publication { next, covered, reason, now } = publication;
        let entry = state.bindings.get(name)?;
        let (intent, is_new) = (entry.intent(), reason == PublishReason::SpecChanged || !entry.is_observed());
        let before = state.guard.covered(name).cloned().unwrap_or_default();
        let change = CoverageChange { binding: name.clone(), is_new, ..CoverageChange::default() };
        let change = match covered {
            Some(after) => {
                if let Some(index) = next.index_of(name) {
                    state.guard.observe_spec(&next.resolved(index).binding);
                }
                state.guard.forget_unserved(name, &after, |namespace| self.is_served(namespace));
                let released = state.guard.observe_coverage(name, after.clone(), intent, now);
                CoverageChange { before, after, released: released.into_iter().collect(), ..change }
            }
            // Only its credentials changed.
            None => CoverageChange { after: before, ..change },
        };
        Some(CoverageChange { retained: state.guard.namespaces(name).cloned().collect(), ..change })
    }

    fn follow(&self, state: &mut State, transition: Transition) {
        for expected in transition.expected {
            state.rollups.expect(&expected.binding, expected.namespaces, expected.is_new);
        }
        let mut dirty = transition.dirty;
        dirty.extend(state.left.drain());
        if transition.unblocks_ours {
            dirty.extend(self.index.with_our_secret());
        }
        if transition.unblocks_admission {
            dirty.extend(self.index.awaiting_admission());
        }
        let few = dirty.len() <= FEW;
        for namespace in dirty {
            match few {
                true => self.namespaces.add_ahead(namespace, Priority::Bulk),
                false => self.namespaces.add(namespace, Priority::Bulk),
            }
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

/// A binding of a snapshot that is published.
struct Publication<'a> {
    next: &'a Snapshot,
    /// The namespaces that it covers, where its spec changed.
    covered: Option<HashSet<Arc<str>>>,
    reason: PublishReason,
    now: Timestamp,
}

#[cfg(test)]
mod tests;

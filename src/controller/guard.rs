//! What bindings cover, and what is not taken back though it is covered no more: the board's side of [`crate::plan::guard`].

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::clock;
use super::state::{PublishReason, SharedState, State};
use super::work_queue::Priority;
use crate::plan::guard::STRAY;
use crate::plan::view::{NamespaceFacts, ServiceAccountView};
use crate::plan::{NamespaceView, Phase, ResolvedBinding, Retained, Snapshot};

impl SharedState {
    pub(super) fn covered_by(&self, resolved: &ResolvedBinding) -> HashSet<Arc<str>> {
        let selection = &resolved.binding.namespaces;
        let covered =
            |name: &str, facts: &NamespaceFacts| facts.is_open() && selection.covers(name, &facts.labels);
        self.index.matching(covered).into_iter().collect()
    }

    /// What bindings covered before this process began: a grace outlives a restart. Their status tells it, and so does
    /// each Secret of ours that nobody covers.
    pub(super) fn remember(&self, state: &mut State, snapshot: &Snapshot, names: &[Arc<str>]) {
        let unknown = names.iter().filter_map(|name| Some((name, state.bindings.get(name)?)));
        let unknown = unknown.filter(|(name, entry)| !state.guard.knows(name) && entry.may_have_covered());
        let unknown: Vec<_> = unknown
            .map(|(name, entry)| {
                let told: Vec<Arc<str>> = entry.reported_namespaces().into_iter().map(Arc::from).collect();
                let since = entry.held_since();
                let covers = |i: usize| !self.covered_by(snapshot.resolved(i)).is_empty();
                let lost_all = since.is_some() || !snapshot.index_of(name).is_some_and(covers);
                (name.clone(), told, lost_all, since)
            })
            .collect();
        if unknown.is_empty() {
            return;
        }
        let unclaimed: Vec<Arc<str>> = self
            .index
            .with_our_secret()
            .into_iter()
            .filter(|name| {
                let nobodys =
                    |facts: &NamespaceFacts| facts.is_open() && snapshot.covering(name, facts).is_empty();
                self.index.read(name, |view| view.facts.as_ref().is_some_and(nobodys)).unwrap_or_default()
            })
            .collect();
        let stands = |name: &Arc<str>| {
            let ours = |view: &NamespaceView| {
                let open = view.facts.as_ref().is_some_and(NamespaceFacts::is_open);
                open && view.secret.as_ref().is_some_and(|secret| secret.ours)
            };
            self.index.read(name, ours).unwrap_or_default()
        };
        let mut may_have: HashMap<Arc<str>, Vec<usize>> = HashMap::new();
        for (binding, told, lost_all, _) in &unknown {
            let Some(index) = snapshot.index_of(binding) else { continue };
            let told = told.iter().filter(|name| stands(name));
            let all: HashSet<_> = told.chain(unclaimed.iter().filter(|_| *lost_all)).collect();
            all.into_iter().for_each(|name| may_have.entry(name.clone()).or_default().push(index));
        }
        let mut owners: HashMap<usize, (HashSet<_>, HashSet<_>)> = HashMap::new();
        for (name, may_have) in may_have {
            let (found, verified) = match self.whose(snapshot, &name, &may_have) {
                Some(found) => (found, true),
                None => (may_have, false),
            };
            for index in found {
                let (known, unverified) = owners.entry(index).or_default();
                let names = if verified { known } else { unverified };
                names.insert(name.clone());
            }
        }
        for (binding, _, _, since) in unknown {
            let found = snapshot.index_of(&binding).and_then(|index| owners.remove(&index));
            let (verified, unverified) = found.unwrap_or_default();
            state.guard.remember(&binding, verified, unverified, since);
        }
    }

    /// Which of the bindings that may have covered a namespace have a part in the Secret that stands there: it tells by
    /// itself, as long as nothing was renewed. `None`: it does not tell.
    fn whose(&self, snapshot: &Snapshot, namespace: &Arc<str>, may_have: &[usize]) -> Option<Vec<usize>> {
        let (facts, stands) = self
            .index
            .read(namespace, |view| Some((view.facts.clone()?, view.secret.as_ref()?.fingerprint)))??;
        let covering = snapshot.covering(namespace, &facts);
        let lost: Vec<usize> = may_have.iter().copied().filter(|i| !covering.contains(i)).collect();
        let holds = |part: &[usize]| {
            let mut set = [&covering[..], part].concat();
            set.sort_unstable();
            snapshot.content(&set).fingerprint == stands
        };
        let parts = lost.iter().map(std::slice::from_ref).chain([&lost[..], &[]]);
        let part = parts.into_iter().find(|part| holds(part))?;
        Some(may_have.iter().copied().filter(|i| covering.contains(i) || part.contains(i)).collect())
    }

    /// Takes in of a binding whether it covers no ServiceAccount any more, and gave entries that stand.
    pub(super) fn entitle(
        &self,
        state: &mut State,
        resolved_bindings: &[ResolvedBinding],
        name: &Arc<str>,
        now: Timestamp,
    ) {
        let Some(entry) = state.bindings.get(name) else { return };
        let (intent, told) = (entry.intent(), entry.held_since());
        let Some(resolved) = resolved_bindings.iter().find(|resolved| resolved.binding.name == *name) else {
            return;
        };
        let lost = resolved.phase == Phase::Active && self.has_lost_all_accounts(resolved, resolved_bindings);
        state.guard.entitle(&resolved.binding, lost, intent, (told, now));
    }

    fn has_lost_all_accounts(
        &self,
        resolved: &ResolvedBinding,
        resolved_bindings: &[ResolvedBinding],
    ) -> bool {
        let secret = &self.template().name;
        let covers = |resolved: &ResolvedBinding, account: &ServiceAccountView| {
            resolved.binding.service_accounts.covers(&account.name, &account.labels)
        };
        let (mut none, mut left) = (true, false);
        let look = |view: &NamespaceView| {
            let Some(facts) = &view.facts else { return false };
            let accounts = || view.service_accounts.iter().filter(|account| !account.skip);
            none &= !accounts().any(|account| covers(resolved, account));
            let ours = view.secret.as_ref().is_some_and(|secret| secret.ours);
            let alone = |account: &ServiceAccountView| {
                let other =
                    |other: &&ResolvedBinding| other.binding.namespaces.covers(&view.name, &facts.labels);
                !resolved_bindings.iter().filter(other).any(|other| covers(other, account))
            };
            let carries = |account: &ServiceAccountView| account.pull_secrets.contains(secret);
            left |= none && ours && accounts().any(|account| carries(account) && alone(account));
            !none
        };
        self.index.read_until(&self.covered_by(resolved), look);
        none && left
    }

    /// The snapshot for a look at a namespace, and whose part stays in it though it is covered no more.
    pub fn look(&self, namespace: &Arc<str>) -> (Arc<Snapshot>, Vec<Retained>) {
        let mut state = self.state();
        let snapshot = self.snapshot();
        let facts = self.index.read(namespace, |view| view.facts.clone()).flatten();
        let look = state.guard.look(namespace, facts.as_ref(), &snapshot, clock::now());
        for binding in look.changed {
            // The others that strayed with this one are held from now on, and told.
            let others = state.guard.namespaces(&binding).filter(|name| *name != namespace).cloned();
            others.for_each(|name| self.namespaces.add(name, Priority::Low));
            self.bindings.add_after(binding, crate::plan::binding_step::SETTLE);
        }
        drop(state);
        if look.retained.iter().any(|retained| !retained.held) {
            self.namespaces.add_after(namespace.clone(), Duration::try_from(STRAY).unwrap_or_default());
        }
        (snapshot, look.retained)
    }

    /// Takes in when the CustomResourceDefinition was made, or that it is going. Returns until when what nobody covers
    /// is left as it is.
    pub fn define(&self, created: Option<Timestamp>) -> Timestamp {
        let mut state = self.state();
        let was_undefined = state.guard.is_undefined();
        state.guard.define(created);
        let changed = if was_undefined == created.is_none() { Vec::new() } else { state.bindings.names() };
        self.publish(&mut state, &changed, PublishReason::CredentialsChanged);
        state.guard.unclaimed_until()
    }

    /// A binding's grace may be over: what was held of it is taken back then.
    pub fn release_due(&self, state: &mut State, binding: &Arc<str>) -> bool {
        let Some(over) = state.guard.release_due(binding, clock::now()) else { return false };
        for name in over {
            self.namespaces.add(name, Priority::Low);
        }
        self.publish(state, std::slice::from_ref(binding), PublishReason::SpecChanged);
        true
    }
}

//! What the loops share: the bindings, what is held for them, what stands, and who must look next.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use super::admission::{AdmissionModes, AppliedParameters};
use super::binding_store::BindingStore;
use super::clock;
use super::credential_cache::CredentialCache;
use super::sources;
use super::work_queue::{Priority, WorkQueue};
use crate::api::{AcrCredentialBinding, ConditionType};
use crate::cluster::Index;
use crate::cluster::named_secret::SecretState;
use crate::cluster::store::Tokens;
use crate::model::identity::CredentialSource;
use crate::plan::guard::WithdrawalGuard;
use crate::plan::rollup::Rollups;
use crate::plan::{Failure, NamespaceResult, Phase, Rollup, Snapshot, Template};

/// Workers that may be busy with bulk work, of all.
pub const WORKERS: usize = 20;
const BULK_WORKERS: usize = 16;

/// Why the namespaces are shown something new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishReason {
    /// A binding asks something else: it is not ready before every namespace was looked at.
    SpecChanged,
    /// A start, or fresh credentials: what stands is good meanwhile.
    CredentialsChanged,
}

/// The shared state.
#[derive(Debug)]
pub struct SharedState {
    /// What is known of the cluster.
    pub index: Arc<Index>,
    /// Namespaces to look at.
    pub namespaces: Arc<WorkQueue<Arc<str>>>,
    /// Bindings whose status or finalizer to look at.
    pub bindings: Arc<WorkQueue<Arc<str>>>,
    /// Told when what is wanted of the cloud changed.
    pub credentials: Notify,
    /// Told when the ConfigMap or its binding changed.
    pub config_map: Notify,
    /// Told when the CustomResourceDefinition may have changed.
    pub definition: Notify,
    cluster_region: Box<str>,
    template: Arc<Template>,
    snapshot: watch::Sender<Arc<Snapshot>>,
    modes: watch::Sender<AdmissionModes>,
    state: Mutex<State>,
}

/// What is behind the lock.
#[derive(Debug)]
pub struct State {
    /// The bindings.
    pub bindings: BindingStore,
    /// What is held.
    pub credentials: CredentialCache,
    /// What stands.
    pub rollups: Rollups,
    /// What is covered, and what is not taken back though it is covered no more.
    pub guard: WithdrawalGuard,
    /// Conditions that hold for one binding, decided elsewhere.
    pub notes: HashMap<Arc<str>, Vec<(ConditionType, bool, Failure)>>,
    /// Namespaces in which somebody undoes what is written there, and what is to be said of it.
    pub contended: BTreeMap<Arc<str>, Failure>,
    /// Conditions that hold for every binding.
    pub common: Vec<(ConditionType, bool, Failure)>,
    /// What the API server adds by itself.
    applied: AppliedParameters,
    /// Namespaces that were looked at while nothing could be taken back, for that reason.
    awaiting: HashSet<Arc<str>>,
    /// Whether the ConfigMap is looked at.
    config_map: bool,
    /// Whether the work has begun: before that, no list of namespaces means anything.
    live: bool,
}

impl State {
    fn new(guard: WithdrawalGuard) -> Self {
        Self {
            bindings: BindingStore::default(),
            credentials: CredentialCache::default(),
            rollups: Rollups::default(),
            guard,
            notes: HashMap::new(),
            contended: BTreeMap::new(),
            common: Vec::new(),
            applied: AppliedParameters::default(),
            awaiting: HashSet::new(),
            config_map: false,
            live: false,
        }
    }

    /// Who undoes what is written in a namespace that a binding covers, if anybody does.
    pub fn contended_for(&self, rollup: &Rollup) -> Option<(ConditionType, bool, Failure)> {
        let mut all = self.contended.iter();
        let (_, why) = all.find(|(namespace, _)| rollup.covers(namespace))?;
        Some((ConditionType::Contended, true, why.clone()))
    }

    /// Whether a converted binding's status must wait for the first look at the ConfigMap.
    pub fn awaits_config_map(&self, name: &str) -> bool {
        let converted =
            self.bindings.get(name).and_then(|entry| entry.good.as_ref()).is_some_and(|good| good.converted);
        self.config_map && converted && !self.notes.contains_key(name)
    }
}

impl SharedState {
    /// A board that knows nothing yet.
    pub fn new(cluster_region: &str, template: Arc<Template>, guard: WithdrawalGuard) -> Arc<Self> {
        Arc::new(Self {
            index: Arc::default(),
            namespaces: WorkQueue::new(BULK_WORKERS),
            bindings: WorkQueue::new(BULK_WORKERS),
            credentials: Notify::new(),
            config_map: Notify::new(),
            definition: Notify::new(),
            cluster_region: cluster_region.into(),
            snapshot: watch::Sender::new(Arc::new(Snapshot::new(template.clone(), Vec::new(), true))),
            modes: watch::Sender::default(),
            template,
            state: Mutex::new(State::new(guard)),
        })
    }

    /// The shared state. Held for a moment only, never across an await.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All bindings as the namespaces see them now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.borrow().clone()
    }

    /// Told of each change of the bindings.
    pub fn snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.subscribe()
    }

    /// How ServiceAccounts are served while they are created.
    pub fn modes(&self) -> watch::Receiver<AdmissionModes> {
        self.modes.subscribe()
    }

    /// Takes in what became of one way, and has the bindings that ask for it say so.
    pub fn change_modes(&self, change: impl FnOnce(&mut AdmissionModes)) {
        let changed = self.modes.send_if_modified(|modes| {
            let before = modes.clone();
            change(modes);
            *modes != before
        });
        if changed {
            for name in self.state().bindings.names() {
                self.bindings.add(name, Priority::High);
            }
        }
    }

    /// How our Secrets look.
    pub fn template(&self) -> &Arc<Template> {
        &self.template
    }

    /// A namespace changed.
    pub fn wake_namespace(&self, name: Arc<str>) {
        self.namespaces.add(name, Priority::High);
    }

    /// Takes in a binding.
    pub fn put_binding(&self, object: AcrCredentialBinding) {
        let name: Arc<str> = object.metadata.name.clone().unwrap_or_default().into();
        let mut state = self.state();
        let news = state.bindings.put(object, &self.cluster_region);
        if news.changed {
            self.refresh_wants(&mut state);
            if let (true, Some(binding)) =
                (news.refresh, state.bindings.get(&name).and_then(|e| e.good.clone()))
            {
                state.credentials.force(binding.registries.iter().map(|registry| registry.key.clone()));
            }
            self.publish(&mut state, std::slice::from_ref(&name), PublishReason::SpecChanged);
        }
        if state.guard.is_undefined() {
            self.definition.notify_one();
        }
        drop(state);
        self.bindings.add(name, Priority::High);
        self.config_map.notify_one();
    }

    /// Forgets a binding.
    pub fn remove_binding(&self, name: &str) {
        let mut state = self.state();
        if state.bindings.remove(name) {
            self.refresh_wants(&mut state);
            self.publish(&mut state, &[name.into()], PublishReason::SpecChanged);
            state.rollups.remove(name);
            state.notes.remove(name);
        }
        drop(state);
        self.config_map.notify_one();
    }

    /// A binding is there that cannot be read: until it can, nobody knows what is not wanted.
    pub fn hold_unreadable(&self, name: &str) {
        let mut state = self.state();
        if state.bindings.get(name).is_none() {
            state.bindings.add_unreadable(name);
            self.publish(&mut state, &[], PublishReason::SpecChanged);
        }
    }

    fn refresh_wants(&self, state: &mut State) {
        let mut wants = state.bindings.wants();
        for key in state.bindings.keys() {
            wants.entry(key).or_default();
        }
        state.credentials.want(&wants);
        self.credentials.notify_one();
    }

    /// The work begins: all caches are full, so from here on what is not listed does not exist, and this replica holds
    /// the lease. What it made up while it stood by is forgotten: it begins as a process that starts now, with what
    /// the one before it kept and reported.
    pub fn begin(&self, kept: Tokens, config_map: bool) {
        let mut state = self.state();
        state.live = true;
        state.config_map = config_map;
        state.credentials = CredentialCache::new(kept);
        let asking = state.bindings.begin();
        self.refresh_wants(&mut state);
        for binding in asking {
            state.credentials.force(binding.registries.iter().map(|registry| registry.key.clone()));
        }
        self.namespaces.clear();
        let names = state.bindings.names();
        self.publish(&mut state, &names, PublishReason::CredentialsChanged);
        drop(state);
        for name in names {
            self.bindings.add(name, Priority::High);
        }
    }

    /// Shows the namespaces what the named bindings ask now, and sends workers to those that they cover or covered.
    pub fn publish(&self, state: &mut State, changed: &[Arc<str>], cause: PublishReason) {
        let now = clock::now();
        let unknown = !state.live || state.bindings.coverage_unknown();
        let mut resolved_bindings = state.bindings.resolved_bindings(&state.credentials, now);
        if state.live {
            changed.iter().for_each(|name| self.entitle(state, &resolved_bindings, name, now));
        }
        resolved_bindings
            .iter_mut()
            .for_each(|b| b.keeps_entries = state.guard.keeps_entries(&b.binding.name));
        if state.guard.is_undefined() {
            // Bindings go one by one, and none of them by a wish.
            resolved_bindings
                .iter_mut()
                .filter(|b| b.phase == Phase::Active)
                .for_each(|b| b.phase = Phase::Suspended);
        }
        let next = Snapshot::new(self.template.clone(), resolved_bindings, unknown);
        let awaiting = state.applied.differ_from(&next.parameters().data);
        let unclaimed = (now < state.guard.unclaimed_until()).then_some(now);
        let next = next.awaiting_admission(awaiting).keeping_unclaimed_until(unclaimed);
        let next = Arc::new(next);
        let before = self.snapshot.send_replace(next.clone());
        if !state.live {
            return;
        }
        let mut dirty: HashSet<Arc<str>> = HashSet::new();
        self.remember(state, &next, changed);
        for name in changed {
            let of = |snapshot: &Snapshot| {
                snapshot.index_of(name).map(|i| self.covered_by(snapshot.resolved(i))).unwrap_or_default()
            };
            let (covered_before, mut covered) = (of(&before), of(&next));
            dirty.extend(covered_before);
            if let Some(entry) = state.bindings.get(name) {
                let (intent, new) =
                    (entry.intent(), cause == PublishReason::SpecChanged || !entry.is_observed());
                if let Some(index) = next.index_of(name) {
                    state.guard.ask(&next.resolved(index).binding);
                }
                dirty.extend(state.guard.cover(name, covered.clone(), intent, now));
                covered.extend(state.guard.namespaces(name).cloned());
                dirty.extend(covered.iter().cloned());
                state.rollups.expect(name, covered, new);
            } else {
                dirty.extend(state.guard.namespaces(name).cloned());
                state.guard.forget(name);
            }
        }
        let settled = before.coverage_unknown() && !unknown;
        if settled || before.unclaimed_until().is_some() && unclaimed.is_none() {
            dirty.extend(self.index.with_our_secret());
        }
        if !awaiting {
            dirty.extend(std::mem::take(&mut state.awaiting));
        }
        for name in dirty {
            self.namespaces.add(name, Priority::Low);
        }
    }

    /// Takes in what the API server adds by itself. What waited for it to add less goes on.
    pub fn set_applied(&self, applied: AppliedParameters) {
        let mut state = self.state();
        state.applied = applied;
        let snapshot = self.snapshot();
        if state.applied.differ_from(&snapshot.parameters().data) != snapshot.awaits_admission() {
            self.publish(&mut state, &[], PublishReason::CredentialsChanged);
        }
    }

    /// A namespace was looked at while nothing could be taken back: it is looked at again when that is over.
    pub fn look_again_after(&self, snapshot: &Snapshot, namespace: &Arc<str>) {
        if !snapshot.awaits_admission() {
            return;
        }
        let mut state = self.state();
        match self.snapshot().awaits_admission() {
            true => drop(state.awaiting.insert(namespace.clone())),
            false => self.namespaces.add(namespace.clone(), Priority::High),
        }
    }

    /// A Secret that identities begin with changed. `pair`: it is a key pair of the controller's namespace, not a
    /// source of the own identity.
    pub fn source_changed(&self, secret: &str, pair: bool, seen: &SecretState) {
        let data = match seen {
            SecretState::Present(data) => Some(data),
            SecretState::Absent | SecretState::Refused(_) => None,
        };
        let mut state = self.state();
        match pair {
            true => {
                let key_id = data.and_then(|data| sources::key_id(data));
                state.credentials.beginning_changed(|base| sources::begins_with(base, secret), key_id);
            }
            false => state
                .credentials
                .beginning_changed(|base| *base == CredentialSource::ControllerIdentity, None),
        }
        drop(state);
        self.credentials.notify_one();
    }

    /// Says of a namespace that somebody undoes what is written there, or that nobody does any more.
    pub fn set_contended(&self, namespace: &Arc<str>, why: Option<Failure>) {
        let mut state = self.state();
        let before = state.contended.get(namespace).cloned();
        if before == why {
            return;
        }
        match why {
            Some(why) => drop(state.contended.insert(namespace.clone(), why)),
            None => drop(state.contended.remove(namespace)),
        }
        let names = state.bindings.names();
        drop(state);
        for name in names {
            self.bindings.add_after(name, super::binding::SETTLE);
        }
    }

    /// Whether somebody was said to undo what is written in a namespace.
    pub fn is_contended(&self, namespace: &str) -> bool {
        self.state().contended.contains_key(namespace)
    }

    /// Records what stands in a namespace.
    pub fn record(&self, namespace: &Arc<str>, results: &[NamespaceResult]) {
        let changed = self.state().rollups.record(namespace, results);
        for binding in changed {
            self.bindings.add_after(binding, super::binding::SETTLE);
        }
    }
}
